"""`handful test`: numbers, a picture, and what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from handful.runtime.package.read import SHIPPED
from handful.runtime.tools.on_files import Answer
from handful.runtime.tools.tested import (
    DARKEST,
    LARGEST,
    Checked,
    Outcome,
    cell_of,
    draw_confusion,
)

from ..runtime.confident import grid, sure
from .called import error, run


@pytest.fixture
def task(photos: Path, tmp_path: Path) -> Path:
    adapted = run("adapt", "omniglot-leo", photos, "--out", tmp_path / "task.npz")
    assert adapted.exit_code == 0, adapted.stderr
    return tmp_path / "task.npz"


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Two bars, and a dash beside a bar that lies with the dashes."""
    bar, dash = (11, 3, 16, 24), (3, 11, 24, 16)
    for name, corners in (("bar/1", bar), ("bar/2", bar), ("dash/1", dash), ("dash/2", bar)):
        file = tmp_path / "others" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("L", (28, 28), 255)
        ImageDraw.Draw(picture).rectangle(corners, fill=0)
        picture.save(file)
    return tmp_path / "others"


def test_what_was_right_and_what_was_not(task: Path, others: Path) -> None:
    lines = run("test", task, others).stdout.splitlines()
    assert lines[0] == "accuracy 75.0 %: 3 of 4 right"
    assert lines[6:9] == [
        "class \\ answer  bar  dash",
        "bar               2     0",
        "dash              1     1",
    ]
    assert lines[-1].split()[:2] + lines[-1].split()[3:] == ["dash", "bar", f"{others}/dash/2.png"]
    content = json.loads(run("test", task, others, "--json").stdout)
    assert content["confusion"] == [[2, 0], [1, 1]]
    assert content["per_class"]["dash"] == {"accuracy": 0.5, "right": 1, "count": 2}
    (wrong,) = content["wrong"]
    assert (wrong["class"], wrong["label"]) == ("dash", "bar")
    assert wrong["score"] == wrong["probabilities"]["bar"]


def test_a_class_that_the_task_does_not_have(task: Path, others: Path) -> None:
    (others / "dash").rename(others / "hat")
    assert error(run("test", task, others)) == (
        "error: the task has no class hat\n"
        "\n"
        "hint: its classes: bar, dash; what is none of them is tested by --unknown 5%\n"
    )


def test_the_picture(task: Path, others: Path, tmp_path: Path) -> None:
    png = tmp_path / "confusion.png"
    assert run("test", task, others, "--png", png).exit_code == 0
    with Image.open(png) as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("L").getcolors(256) or ()) > 3
    assert error(run("test", task, others, "--png", png)) == (
        f"error: {png} exists\n\nhint: name another file, or replace it with --force\n"
    )
    assert run("test", task, others, "--png", png, "--force").exit_code == 0
    assert error(run("test", task, others, "--png", tmp_path / "a.jpg")) == (
        f"error: --png {tmp_path}/a.jpg is not a .png file\n\nhint: name it so: confusion.png\n"
    )
    assert error(run("test", task, others, "--png", tmp_path / "none" / "a.png")) == (
        f"error: --png: no folder {tmp_path}/none\n\nhint: make it first\n"
    )


def test_the_picture_needs_pillow_alone(
    task: Path, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a device; a class with no letters of Pillow's own font is drawn as well."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "handful.trainer", None)
    png = tmp_path / "confusion.png"
    assert run("test", task, others, "--png", png).exit_code == 0
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    said = error(run("test", task, others, "--png", tmp_path / "again.png"))
    assert said == "error: Pillow is not installed\n\nhint: pip install pillow\n"


def test_the_matrix_is_drawn_from_few_classes_to_many() -> None:
    """Every cell has the shade of its share: white where there is none, the darkest where all."""
    for count in (1, 12, 800):
        labels = tuple(f"类{i}" for i in range(count))
        answers = [Answer(f"{i}", labels[i % count], 1.0, {}) for i in range(count)]
        checked = [Checked(labels[i], answer, True, Path()) for i, answer in enumerate(answers)]
        picture = draw_confusion(Outcome(labels, (*labels, None), tuple(checked)))
        pixels = np.asarray(picture)
        cell = cell_of(count + 1)
        dark = (pixels == DARKEST).all(axis=-1).sum()
        assert 0.5 * count * cell**2 < dark <= count * cell**2, count
        assert max(picture.size) < LARGEST + 600


def test_what_is_none_of_the_classes_is_right_without_a_label(
    photos: Path, others: Path, tmp_path: Path
) -> None:
    """Thresholds that accept nothing at 1 %, and everything at 50 %."""
    package, task = tmp_path / "package", tmp_path / "sure.npz"
    shutil.copytree(SHIPPED / "omniglot-leo", package)
    sure(package, grid(scores=(1e9, 0.0, -1e9)))
    assert run("adapt", package, photos, "--out", task).exit_code == 0
    (others / "dash").rename(others / "hat")
    strict = json.loads(run("test", task, others, "--unknown", "1%", "--json").stdout)
    assert (strict["classes"], strict["answers"]) == (["bar", "hat"], ["bar", "dash", None])
    assert strict["confusion"] == [[0, 0, 2], [0, 0, 2]]
    assert strict["accuracy"] == 0.5
    loose = json.loads(run("test", task, others, "--unknown", "50%", "--json").stdout)
    assert loose["confusion"] == [[2, 0, 0], [1, 1, 0]]
    assert loose["per_class"]["hat"]["right"] == 0


def test_one_bad_file_stops_nothing(task: Path, others: Path) -> None:
    """`predict`, `test` and `report` go on, name it on stderr and in JSON, and exit with 1."""
    (others / "bar" / "0.png").write_bytes(b"bad")
    bad = f"{others}/bar/0.png"
    said = f"error: {bad} is not a picture that can be read\n\nhint: one of PNG, "
    result = run("predict", task, others)
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 4)
    assert result.stderr.startswith(said)
    content = json.loads(run("predict", task, others / "bar", "--json").stdout)
    assert [Path(entry["file"]).name for entry in content] == ["1.png", "2.png", "0.png"]
    assert content[-1] == {"file": bad, "error": f"{bad} is not a picture that can be read"}
    tested = run("test", task, others)
    assert (tested.exit_code, tested.stdout.splitlines()[0]) == (
        *(1, "accuracy 75.0 %: 3 of 4 right"),
    )
    assert tested.stderr.startswith(said)
    assert json.loads(run("test", task, others, "--json").stdout)["unread"] == [content[-1]]
    page = task.with_suffix(".html")
    reported = run("report", task, "-o", page, "--test", others)
    assert (reported.exit_code, reported.stderr.startswith(f"wrote {page}\n{said}")) == (1, True)
    assert f"Cannot be read: {bad} is not a picture" in page.read_text(encoding="utf-8")
    for file in (others / "bar").iterdir():
        file.write_bytes(b"bad")
    assert "bar" not in json.loads(run("test", task, others, "--json").stdout)["per_class"]
    nothing = run("predict", task, bad)
    assert (nothing.exit_code, nothing.stdout) == (1, "")
