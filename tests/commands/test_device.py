"""The commands that a device has: verify, inspect, bench, adapt, predict."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from handful.runtime.package.read import SHIPPED
from handful.runtime.tools.inspect import describe

from ..runtime.confident import grid, sure
from .called import error, run


def test_a_package_says_what_it_is(package: Path) -> None:
    lines = run("inspect", package).stdout.splitlines()
    assert lines[1:4] == [
        "input   array [8]",
        "limits  way 2 or more, shot 1 or more, at most 1369 examples in all",
        "order   embed → encoder → latent_step × 5 → decoder → finetune_step × 5 → predict",
    ]
    assert [line.split()[0] for line in lines[7:13]] == list(describe(package).manifest.graphs)
    description = json.loads(run("inspect", package, "--json").stdout)
    assert description["manifest"]["learner"] == "leo"


def test_verify_exits_one_where_a_vector_differs(package: Path, tmp_path: Path) -> None:
    whole = run("verify", package)
    assert whole.exit_code == 0
    assert "23 golden vectors, worst difference" in whole.stdout
    for file in package.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with np.load(package / "conformance.npz") as golden:
        changed = {**golden, "logits": golden["logits"] + 1}
    np.savez(tmp_path / "conformance.npz", **changed)
    broken = run("verify", tmp_path, "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["ok"] is False
    assert broken.stderr.endswith(
        " does not give what its trainer got: logits\n\nhint: export the package again\n"
    )


def test_bench_measures(package: Path) -> None:
    measured = json.loads(run("bench", package, "--way", 3, "--runs", 2, "--json").stdout)
    assert measured["way"] == 3
    assert measured["cold_start_ms"] > measured["adapt_ms"] > 0


def test_the_next_command_stands_as_it_is_given(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    adapted = run("adapt", "omniglot-leo", photos, "--out", "./-my task.npz")
    assert adapted.stderr.endswith("next: handful predict './-my task.npz' FILE\n")


def test_from_photographs_to_answers(photos: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.npz"
    adapted = run("adapt", "omniglot-leo", photos, "--out", task)
    assert (adapted.exit_code, adapted.stdout) == (0, "")
    assert adapted.stderr == (
        f"wrote {task}: bar (1), dash (1)\nnext: handful predict {task} FILE\n"
    )
    new = [tmp_path / "new bar.png", tmp_path / "new dash.png"]
    for package in ((), ("--package", "omniglot-leo")):
        lines = run("predict", task, *new, *package).stdout.splitlines()
        assert [line.split("\t")[::2] for line in lines] == [
            ["bar", str(new[0])],
            ["dash", str(new[1])],
        ]
    answers = json.loads(run("predict", task, new[0], "--json").stdout)
    assert answers[0]["label"] == "bar"
    assert answers[0]["score"] == answers[0]["probabilities"]["bar"]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1)
    assert error(run("predict", task, new[0], "--windows")) == (
        "error: package omniglot-leo takes no series, and nothing is cut\n"
    )


def test_what_is_cut_off_a_wide_photograph_is_said_wherever_it_is_read(
    photos: Path, tmp_path: Path
) -> None:
    """Its object at a side, of which the middle square holds nothing."""
    task, wide, said = tmp_path / "task.npz", tmp_path / "wide", []
    for name in ("bar", "dash"):
        (wide / name).mkdir(parents=True)
        for i in range(2):
            picture = Image.new("L", (84, 28), 255)
            picture.paste(Image.open(tmp_path / f"new {name}.png"), (56 * i, 0))
            picture.save(wide / name / f"{i}.png")
    for words in (
        ("adapt", "omniglot-leo", wide, "--out", task),
        ("add", task, wide, "--out", tmp_path / "more.npz"),
        ("predict", task, wide / "bar" / "0.png"),
        ("test", task, wide),
    ):
        said.append(run(*words).stderr)
    first = f"{wide}/bar/0.png is 84 × 28: 67 % of it is cut off at both its ends"
    for text in said:
        assert text.count("cut off") == 1
        assert f"warning: {first}" in text
    assert [text.count("and so for 3 more files; cut it around") for text in said] == [1, 1, 0, 1]


def test_from_readings_to_answers(tmp_path: Path) -> None:
    """Two movements of a pen, each in a .npy and a .csv file; a recording of both in a row."""
    turn = np.linspace(0, 2 * np.pi, 64)
    ring = np.stack([300 + 90 * np.cos(turn), 200 + 90 * np.sin(turn), turn >= 0], axis=1)
    line = np.stack([300 + 20 * turn, 200 + 3 * turn, turn >= 0], axis=1)
    for name, trace in (("line", line), ("ring", ring)):
        (tmp_path / "moves" / name).mkdir(parents=True)
        np.save(tmp_path / "moves" / name / "1.npy", trace.astype(np.int16))
        np.savetxt(tmp_path / "moves" / name / "2.csv", trace[:50], "%.2f", ",", header="x,y,pen",
                   comments="")  # fmt: skip
    task, new = tmp_path / "task.npz", tmp_path / "new.npy"
    adapted = run("adapt", "pen-proto-maml", tmp_path / "moves", "--out", task)
    assert (adapted.exit_code, adapted.stdout) == (0, "")
    assert f"wrote {task}: line (2), ring (2)\n" in adapted.stderr
    np.save(new, np.repeat(ring, 4, axis=0))  # a pen that reads four times as often
    found = run("predict", task, new, tmp_path / "moves" / "line" / "1.npy")
    assert found.stderr == f"note: {new}, 256 readings, read as 64 along their path\n"
    lines = found.stdout.splitlines()
    answers = {line.split("\t")[2]: line.split("\t")[0] for line in lines}
    assert answers == {str(new): "ring", str(tmp_path / "moves/line/1.npy"): "line"}
    np.save(new, np.concatenate([ring, line]))  # a stream of movements is cut when that is asked
    found = run("predict", task, new, "--windows")
    assert found.stderr == f"note: {new}, 128 readings, cut into 3 windows of 64\n"
    lines = found.stdout.splitlines()
    answers = {line.split("\t")[2]: line.split("\t")[0] for line in lines}
    assert list(answers) == [f"{new}[{i}]" for i in range(3)]
    assert [answers[f"{new}[0]"], answers[f"{new}[2]"]] == ["ring", "line"]
    (tmp_path / "new.jpg").write_bytes(b"")
    assert error(run("predict", task, tmp_path / "new.jpg")) == (
        f"error: {tmp_path}/new.jpg is not named as a file of readings\n"
        "\n"
        "hint: a .npy file of numbers, or a .csv file with a line for each reading\n"
    )


def test_what_is_none_of_the_classes_has_no_label(photos: Path, tmp_path: Path) -> None:
    package, task = tmp_path / "package", tmp_path / "task.npz"
    shutil.copytree(SHIPPED / "omniglot-leo", package)
    sure(package, grid(scores=(1e9, 0.0, -1e9)))  # from nothing that is accepted to everything
    run("adapt", package, photos, "--out", task)
    answers = ("predict", task, tmp_path / "new bar.png", "--package", package)
    for rate, label in (("1%", "-"), ("0.01", "-"), ("50 %", "bar"), (".5", "bar")):
        line = run(*answers, "--unknown", rate).stdout
        assert line.split("\t")[::2] == [label, f"{tmp_path / 'new bar.png'}\n"]
    (found,) = json.loads(run(*answers, "--unknown", "1%", "--json").stdout)
    assert found["label"] is None
    assert found["score"] is found["probabilities"] is None
    assert error(run(*answers, "--unknown", "60%")) == (
        "error: unknown is 0.6, package omniglot-leo has 0.01 to 0.5\n\n"
        "hint: give a share, as unknown=0.1\n"
    )


def test_what_may_follow_is_quoted_for_a_shell(photos: Path, tmp_path: Path) -> None:
    task = tmp_path / "Anna's cups; $HOME.npz"
    line = run("adapt", "omniglot-leo", photos, "--out", task).stderr.splitlines()[-1]
    assert shlex.split(line) == [*("next:", "handful", "predict", str(task), "FILE")]


def test_a_task_file_is_replaced_only_by_force(photos: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.npz"
    task.write_text("mine")
    assert error(run("adapt", "omniglot-leo", photos, "--out", task)) == (
        f"error: {task} exists\n\nhint: name another file, or replace it with --force\n"
    )
    assert task.read_text() == "mine"
    assert run("adapt", "omniglot-leo", photos, "--out", task, "--force").exit_code == 0


def test_a_task_belongs_to_its_package(package: Path, photos: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.npz"
    with np.load(package / "conformance.npz") as golden:
        x, y = golden["support_x"], golden["support_y"]
    handful.load(package).adapt(x, [str(i) for i in y.argmax(axis=1)]).save(task)
    assert error(run("predict", task, tmp_path / "new bar.png")) == (
        "error: task.npz was saved with a package that does not ship with handful\n"
        "\n"
        "hint: name the package: --package FOLDER\n"
    )
    other = run("predict", task, tmp_path / "new bar.png", "--package", "omniglot-leo")
    assert error(other) == (
        "error: task.npz was saved with another package than omniglot-leo as it is now\n"
        "\n"
        "hint: load it with the package that made it, or adapt again\n"
    )
    assert error(run("adapt", package, photos, "--out", tmp_path / "other.npz")) == (
        "error: 2 of 2 files of readings cannot be read:\n"
        f"  {photos}/bar/1.png is not named as a file of readings\n"
        f"  {photos}/dash/1.png is not named as a file of readings\n"
        "\n"
        "hint: mend them, or leave them out\n"
    )


def test_what_is_no_task_says_so(tmp_path: Path) -> None:
    (tmp_path / "task.npz").write_bytes(b"no archive")
    assert error(run("predict", tmp_path / "task.npz", "a.png")).startswith("error: task.npz ")
    assert error(run("predict", tmp_path / "absent.npz", "a.png")).startswith(
        f"error: no file absent.npz in {tmp_path}\n"
    )
