"""The commands on a saved task: add, remove, and which package is found for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from handful.runtime.package.read import SHIPPED

from .called import error, run


@pytest.fixture
def task(photos: Path, tmp_path: Path) -> Path:
    """Bars and dashes, by a package that does not ship."""
    package = shutil.copytree(SHIPPED / "omniglot-leo", tmp_path / "mine")
    manifest = package / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    adapted = run("adapt", package, photos, "--out", tmp_path / "task.npz")
    assert adapted.exit_code == 0, adapted.stderr
    return tmp_path / "task.npz"


@pytest.fixture
def more(tmp_path: Path) -> Path:
    """Another bar, and the first frame."""
    pixels = np.full((28, 28), 255, np.uint8)
    pixels[3:24, 13:17] = 0
    frame = np.full((28, 28), 255, np.uint8)
    frame[3:25, 3:25] = 0
    frame[5:23, 5:23] = 255  # thin: more ink would be unlike any character
    for name, picture in (("bar", pixels), ("frame", frame)):
        (tmp_path / "more" / name).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "more" / name / "1.png")
    return tmp_path / "more"


def label_of(task: Path, picture: Path) -> str:
    result = run("predict", task, picture)
    assert result.exit_code == 0, result.stderr
    return result.stdout.split("\t")[0]


def test_the_package_is_found_until_it_moves(task: Path, tmp_path: Path) -> None:
    assert label_of(task, tmp_path / "new bar.png") == "bar"
    (tmp_path / "mine").rename(tmp_path / "moved")
    assert error(run("predict", task, tmp_path / "new bar.png")) == (
        "error: task.npz was saved with a package that does not ship with handful\n"
        "\n"
        "hint: name the package: --package FOLDER\n"
    )
    named = run("predict", task, tmp_path / "new bar.png", "--package", tmp_path / "moved")
    assert named.stdout.startswith("bar\t")


def test_examples_are_added_as_if_adapted_at_once(
    task: Path, photos: Path, more: Path, tmp_path: Path
) -> None:
    out = tmp_path / "larger.npz"
    added = run("add", task, more, "--out", out)
    assert (added.exit_code, added.stdout) == (0, "")
    assert added.stderr == (
        f"wrote {out}: bar (2), dash (1), frame (1)\nnext: handful predict {out} FILE\n"
    )
    assert label_of(out, more / "frame" / "1.png") == "frame"
    learner = handful.load(tmp_path / "mine")
    files = [*photos.rglob("*.png"), *more.rglob("*.png")]
    at_once = learner.adapt(sorted(files), [file.parent.name for file in sorted(files)])
    found = learner.load_task(out)
    query = str(tmp_path / "new dash.png")
    wanted = dict(zip(at_once.classes, at_once.predict_proba(query), strict=True))
    for label, probability in zip(found.classes, found.predict_proba(query), strict=True):
        assert probability == pytest.approx(wanted[label], abs=1e-5)


def test_classes_are_removed_in_place(task: Path, more: Path, tmp_path: Path) -> None:
    assert run("add", task, more, "--force").exit_code == 0
    removed = run("remove", task, "frame", "frame", "--force")
    assert removed.stderr == (
        f"wrote {task}: bar (2), dash (1)\nnext: handful predict {task} FILE\n"
    )
    assert label_of(task, tmp_path / "new dash.png") == "dash"


def test_nothing_is_replaced_without_force(task: Path, more: Path, tmp_path: Path) -> None:
    before = task.read_bytes()
    for command in (("add", task, more), ("remove", task, "bar")):
        assert error(run(*command)) == (
            f"error: {task} would be replaced\n\n"
            "hint: name another file by --out, or replace it with --force\n"
        )
        (tmp_path / "other.npz").write_text("mine")
        assert error(run(*command, "--out", tmp_path / "other.npz")) == (
            f"error: {tmp_path}/other.npz exists\n\n"
            "hint: name another file, or replace it with --force\n"
        )
        assert (tmp_path / "other.npz").read_text() == "mine"
    assert task.read_bytes() == before


def test_what_cannot_be_changed_leaves_the_task(task: Path, more: Path) -> None:
    before = task.read_bytes()
    assert error(run("remove", task, "cup", "--force")) == (
        "error: no class 'cup' in the task\n\nhint: its classes: bar, dash\n"
    )
    assert error(run("remove", "bar", task, "--force")).startswith(
        f"error: bar is no task file, {task} is one\n"
    )
    assert error(run("remove", task, "BARR", "--force")) == (
        "error: no class 'BARR' in the task\n\nhint: did you mean bar? Its classes: bar, dash\n"
    )
    assert error(run("remove", task, "bar", "--force")) == (
        "error: 1 class, this package takes 2 or more\n\nhint: add classes\n"
    )
    (more / "bar" / "1.png").write_bytes(b"bad")
    assert error(run("add", task, more, "--force")) == (
        f"error: {more}/bar/1.png is not a picture that can be read\n\n"
        "hint: one of PNG, JPEG, BMP, GIF, WEBP, TIFF, PPM\n"
    )
    assert task.read_bytes() == before


def test_examples_that_are_nearly_the_same_are_named(
    task: Path, photos: Path, more: Path, tmp_path: Path
) -> None:
    shutil.copy(photos / "bar" / "1.png", photos / "dash" / "wrong.png")
    shutil.copy(photos / "dash" / "1.png", photos / "dash" / "2.png")
    adapted = run("adapt", tmp_path / "mine", photos, "--out", tmp_path / "other.npz")
    assert adapted.exit_code == 0
    assert adapted.stderr.splitlines()[:3] == [
        f"warning: {photos}/bar/1.png and {photos}/dash/wrong.png are nearly the same to this"
        " package, but of the classes bar and dash",
        f"warning: {photos}/dash/1.png and {photos}/dash/2.png, both of dash, are nearly the same:"
        " together they teach little more than one",
        f"wrote {tmp_path}/other.npz: bar (1), dash (3)",
    ]
    shutil.copy(photos / "bar" / "1.png", more / "frame" / "wrong.png")
    added = run("add", task, more, "--force")
    assert added.stderr.splitlines()[:2] == [
        f"warning: example 1 of bar and {more}/frame/wrong.png are nearly the same to this"
        " package, but of the classes bar and frame",
        f"wrote {task}: bar (2), dash (1), frame (2)",
    ]
