"""A task file says where its package lies; the hash decides whether that is still the one."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import PackageError, TaskFileError
from handful.runtime.package.npz import pack_npz
from handful.runtime.package.read import SHIPPED
from handful.runtime.tools.on_files import maker_of, open_task, save_task

from ..each import each
from .refusal import refusal

ABSENT = (
    "task.npz was saved with a package that does not ship with handful",
    "name the package: --package FOLDER",
)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 1), np.uint8)


@pytest.fixture
def task(folder: Path, tmp_path: Path) -> Path:
    """A task file of the package in `folder`."""
    save_task(handful.load(folder).adapt(IMAGES, ["a", "b", "a"]), tmp_path / "task.npz")
    return tmp_path / "task.npz"


def about(file: Path) -> dict[str, Any]:
    with np.load(file) as archive:
        found: dict[str, Any] = json.loads(archive["about"].tobytes())
    return found


def noted(file: Path, place: str) -> None:
    """The same task with another place in it."""
    with np.load(file) as archive:
        arrays = {**archive}
    arrays["about"] = np.frombuffer(json.dumps(about(file) | {"place": place}).encode(), np.uint8)
    file.write_bytes(pack_npz(arrays))


def test_the_package_is_found_where_it_lay(
    task: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert about(task)["place"] == str(folder.resolve())
    monkeypatch.chdir("/")
    assert maker_of(task).path == folder.resolve()
    assert open_task(task).classes == ("a", "b")


def test_a_package_is_the_same_whatever_its_lines_end_with(task: Path, folder: Path) -> None:
    """Git on Windows checks text out with CRLF."""
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"\n", b"\r\n"))
    assert open_task(task).classes == open_task(task, folder).classes == ("a", "b")


def test_a_relative_path_is_noted_as_a_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    task = handful.load(Path(folder.name)).adapt(IMAGES, ["a", "b", "a"])
    save_task(task, tmp_path / "relative.npz")
    assert about(tmp_path / "relative.npz")["place"] == str(folder.resolve())


def test_a_package_that_was_moved_or_changed_has_to_be_named(task: Path, folder: Path) -> None:
    moved = folder.rename(folder.parent / "moved")
    assert refusal(lambda: open_task(task), TaskFileError) == ABSENT
    assert open_task(task, moved).classes == ("a", "b")
    shutil.copytree(moved, folder)
    assert open_task(task).learner.path == folder.resolve()
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    assert refusal(lambda: open_task(task), TaskFileError) == ABSENT


def test_the_named_package_comes_first(task: Path, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert open_task(task, copy).learner.path == copy
    words, _ = refusal(lambda: open_task(task, tmp_path / "none"), PackageError)
    assert words.startswith("no folder ")


@each("place", ["{}", "//{}", "\\\\host\\share", "/dev/null", "/"])
def test_other_places_are_not_used(
    place: str, task: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a relative one, which would depend on where one stands, nor another machine's."""
    monkeypatch.chdir(folder.parent)
    name = str(folder) if place.startswith("/") else folder.name
    noted(task, place.format(name.lstrip("/")))
    assert refusal(lambda: open_task(task), TaskFileError) == ABSENT


def test_python_notes_no_place(task: Path, folder: Path) -> None:
    loaded = open_task(task)
    loaded.save(task)
    assert about(task)["place"] is None
    assert refusal(lambda: open_task(task), TaskFileError) == ABSENT
    np.testing.assert_array_equal(
        handful.load(folder).load_task(task).predict_proba(IMAGES), loaded.predict_proba(IMAGES)
    )


def test_a_package_that_ships_is_not_noted(tmp_path: Path) -> None:
    learner = handful.load("omniglot-leo")
    x = np.zeros((2, *learner.input.shape), np.float32)
    x[0, :, 5:9], x[1, 5:9] = 1, 1
    save_task(learner.adapt(x, ["a", "b"]), tmp_path / "task.npz")
    assert about(tmp_path / "task.npz")["place"] is None
    assert maker_of(tmp_path / "task.npz").path == SHIPPED / "omniglot-leo"
