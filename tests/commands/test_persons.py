"""From folders of persons to a person who was never seen: trained, exported, adapted, asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from handful.runtime.learner import load

from .called import error, run, settings

GESTURES = ("fist", "rest")  # as few as there may be
SMALL = (
    "learner.network.filters=4",
    *(
        f"{section}.{setting}"
        for section, steps in (("pretrain", 6), ("meta", 3))
        for setting in (
            f"steps={steps}",
            "shot=[1]",
            "queries=2",
            "validation_queries=2",
            "validate_every=10",
            "validation_episodes=4",
        )
    ),
)
FILES = "{person}/{class}/{recording}_*.csv"


def write_person(folder: Path, number: int) -> Path:
    """Three takes of each gesture: 40 readings of two channels, two windows of sixteen."""
    rng = np.random.default_rng(number)
    own = rng.normal(0, 1, 2)
    for pace, gesture in enumerate(GESTURES):
        for take in "abc":
            time = np.arange(40)[:, None] + rng.uniform(0, 6)
            x = np.sin(time * (0.3 + 0.4 * pace)) + own + 0.1 * rng.normal(size=(40, 2))
            file = folder / gesture / f"{take}_0.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(file, x, delimiter=",", fmt="%.3f", header="ax,ay", comments="")
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on six persons, of whom one tests."""
    folder = tmp_path_factory.mktemp("persons")
    for number in range(6):
        write_person(folder / "data" / f"p{number}", number)
    data = ("data.split=random", "data.window=16", f"data.files='{FILES}'")
    trained = run(
        *("train", "bands-personal", "--data", folder / "data", "--out", folder / "run"),
        *("--workers", "1", *settings(*data, *SMALL)),
    )
    assert trained.exit_code == 0, trained.stderr
    exported = run("export", folder / "run", folder / "package", "--episodes", "6")
    assert exported.exit_code == 0, exported.stderr
    return folder / "package"


def test_a_package_of_a_folder_adapts_to_the_folder_of_one_person(
    package: Path, tmp_path: Path
) -> None:
    own, other = write_person(tmp_path / "own", 20), write_person(tmp_path / "other", 20)
    learner = load(package)
    assert learner.classes == GESTURES
    assert [channel.name for channel in learner.input.channels or ()] == ["ax", "ay"]
    shutil.rmtree(own / "rest")  # a class without examples stays a class
    (own / "fist" / "b_0.csv").unlink()
    task = tmp_path / "task.npz"
    adapted = run("adapt", package, own, "--out", task)
    assert adapted.stderr.endswith(f"next: handful predict {task} FILE\n")
    assert load(package).load_task(task).counts == {"fist": 8, "rest": 0}
    tested = json.loads(run("test", task, other, "--json").stdout)
    assert (tested["classes"], sum(map(sum, tested["confusion"]))) == (list(GESTURES), 24)
    answered = json.loads(run("predict", task, other / "fist" / "a_0.csv", "--json").stdout)
    assert {line["label"] for line in answered} <= set(GESTURES)
    page = tmp_path / "page.html"
    assert run("report", task, "--out", page, "--test", other).exit_code == 0


def test_a_task_without_examples_is_written_tested_and_reported(
    package: Path, tmp_path: Path
) -> None:
    other, task = write_person(tmp_path / "other", 21), tmp_path / "task.npz"
    assert run("adapt", package, "--out", task).exit_code == 0
    assert load(package).load_task(task).counts == dict.fromkeys(GESTURES, 0)
    tested = json.loads(run("test", task, other, "--json").stdout)
    reported = run("report", task, "--out", tmp_path / "page.html", "--test", other)
    assert reported.exit_code == 0, reported.stderr
    assert f"{100 * tested['accuracy']:.1f} % right" in (tmp_path / "page.html").read_text()
    added = run("add", task, other, "--out", tmp_path / "more.npz")
    assert "fist (12), rest (12)" in added.stderr
    assert error(run("adapt", "omniglot-leo", "--out", tmp_path / "none.npz")).startswith(
        "error: package omniglot-leo names no classes"
    )


def test_a_folder_with_another_name_is_met_with_the_class_that_was_meant(
    package: Path, tmp_path: Path
) -> None:
    own = write_person(tmp_path / "own", 22)
    (own / "fist").rename(own / "Fist")
    said = error(run("adapt", package, own, "--out", tmp_path / "task.npz"))
    assert "has no class 'Fist'\n\nhint: did you mean fist? Its classes: fist, rest" in said
    assert "new=['Fist'], or --new" in said


def test_the_closed_forms_are_not_for_named_classes(package: Path) -> None:
    data = settings("data.window=16", f"data.files='{FILES}'")
    said = error(run("compare", "--data", package.parent / "data", *data))
    assert "these are named" in said
    assert "leave out data.domain" in said


def test_a_package_is_measured_on_its_persons_wherever_they_lie(
    package: Path, tmp_path: Path
) -> None:
    data = package.parent / "data"
    asked = ("--shot", "1", "--episodes", "3", "--queries", "2", "--json", "--no-yardsticks")
    there = json.loads(run("evaluate", package, *asked, "--data", data).stdout)
    data.rename(tmp_path / "moved")
    here = json.loads(run("evaluate", package, *asked, "--data", tmp_path / "moved").stdout)
    (tmp_path / "moved").rename(data)
    assert here == there
    assert here[0]["persons"] == 1
    (one,) = load(package).manifest.training["data"]["meta_test"]
    (data / one).rename(tmp_path / one)
    gone = error(run("evaluate", package, *asked, "--data", data))
    assert f"the data lack domains of meta_test that were recorded: {one}" in gone
    write_person(data / one, 99)
    other = error(run("evaluate", package, *asked, "--data", data))
    assert f"are not those that were recorded: {one} has other examples" in other
