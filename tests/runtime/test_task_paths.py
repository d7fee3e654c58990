"""Where tasks are saved and loaded: paths that are none, links and folders; copies and pickles."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import AdaptError, TaskFileError

from ..each import each
from .odd_objects import Hostile

X = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1), np.uint8)
AB = ["a", "b", "a", "b"]
NAMED = "a path has 1 to 4096 bytes, no NUL and no half of a surrogate pair"


@pytest.fixture
def task(head: handful.Learner) -> handful.Task:
    return head.adapt(X, AB)


PATHS: list[tuple[Any, str, str | None]] = [
    (None, "is None, wanted a path: a string or a pathlib.Path", None),
    (3, "is 3, wanted a path: a string or a pathlib.Path", None),
    (b"task.npz", "is b'task.npz', wanted a path: a string or a pathlib.Path", None),
    (["task.npz"], "is ['task.npz'], wanted a path: a string or a pathlib.Path", None),
    (Hostile(), "is an object of type Hostile, wanted a path: a string or a pathlib.Path", None),
    ("", "is '', which no file can be called", NAMED),
    ("a\0b", r"is 'a\x00b', which no file can be called", NAMED),
    ("a\ud800", r"is 'a\ud800', which no file can be called", NAMED),
    (Path("a\0b"), r"is 'a\x00b', which no file can be called", NAMED),
    ("a" * 5000, f"is '{'a' * 56}..., which no file can be called", NAMED),
]


@each(("path", "words", "hint"), PATHS)
def test_paths(
    head: handful.Learner, task: handful.Task, path: Any, words: str, hint: str | None
) -> None:
    for call in (task.save, head.load_task):
        with pytest.raises(TaskFileError) as error:
            call(path)
        assert (str(error.value), error.value.hint) == (f"task file {words}", hint)


@each("path", [".", "..", "/", "./", "n" * 256, "none/task.npz", "/dev/null"])
def test_paths_that_are_no_file(
    head: handful.Learner,
    task: handful.Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (task.save, head.load_task):
        with pytest.raises(TaskFileError):
            call(path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_a_link_and_a_device_are_named(
    head: handful.Learner, task: handful.Task, tmp_path: Path
) -> None:
    task.save(tmp_path / "task.npz")
    (tmp_path / "link").symlink_to("task.npz")
    for name, why in (("", "Is a directory"), ("link", "it is a link, wanted a regular file")):
        with pytest.raises(TaskFileError) as error:
            task.save(tmp_path / name)
        assert str(error.value) == f"cannot write {tmp_path / name}: {why}"
    with pytest.raises(TaskFileError) as error:
        task.save("/dev/null")
    assert str(error.value) == "cannot write /dev/null: it is not a regular file"
    with pytest.raises(TaskFileError) as error:
        head.load_task(tmp_path / "link")
    assert str(error.value) == f"{tmp_path / 'link'} is a link, wanted a regular file"


def test_copies_are_the_same_and_pickles_say_what_to_do(
    head: handful.Learner, task: handful.Task
) -> None:
    assert copy.copy(task) is copy.deepcopy(task) is task
    assert copy.deepcopy([head, task]) == [head, task]
    wanted = (
        (task, "a task cannot be pickled",
         "task.save(path) writes it, learner.load_task(path) reads it in another process"),
        (head, "a learner cannot be pickled",
         "give the other process the package's path, and call handful.load(path) there"),
    )  # fmt: skip
    for subject, words, hint in wanted:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(AdaptError) as error:
                pickle.dumps(subject, protocol)
            assert (str(error.value), error.value.hint) == (words, hint)
