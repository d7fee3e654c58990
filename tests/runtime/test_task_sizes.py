"""Saved tasks and their sizes: what is written can be read, and nothing small becomes large."""

import io
import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime import task_file
from handful.runtime.engine import State
from handful.runtime.errors import TaskFileError
from handful.runtime.package import npz
from handful.runtime.support import gather

from ..each import each

X = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 1), np.uint8)
FEWER = "adapt with fewer samples, or to fewer examples"


@pytest.fixture
def file(head: handful.Learner, tmp_path: Path) -> Path:
    head.adapt(X, ["a", "b", "a"]).save(tmp_path / "task.npz")
    return tmp_path / "task.npz"


def repacked(file: Path, method: int, **more: bytes) -> None:
    """The same members, packed in another way, and `more` of them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(stream, "w", method) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))
        for name, content in more.items():
            new.writestr(f"{name}.npy", content)
    file.write_bytes(stream.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packed_task_is_refused(head: handful.Learner, file: Path, method: int) -> None:
    repacked(file, method)
    with pytest.raises(TaskFileError) as error:
        head.load_task(file)
    assert str(error.value) == "task.npz: 'about.npy' is encrypted, or not stored"


def test_a_task_packed_without_packing_is_read(head: handful.Learner, file: Path) -> None:
    before = head.load_task(file).logits(X)
    repacked(file, zipfile.ZIP_STORED)
    np.testing.assert_array_equal(head.load_task(file).logits(X), before)


def test_a_bomb_takes_no_more_memory_than_its_file(head: handful.Learner, file: Path) -> None:
    repacked(file, zipfile.ZIP_DEFLATED, bomb=bytes(200_000_000))
    assert file.stat().st_size < 300_000
    tracemalloc.start()
    with pytest.raises(TaskFileError):
        head.load_task(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000  # a file is read 16 MiB at a time


@each(
    "shape",
    ["(-1, 5)", "(2.0, 5)", "(True, 5)", f"({2**70}, 0)", f"({'9' * 400}, 5)", "(2, 5, 2**9)", "2"],
)
def test_numbers_in_a_header(head: handful.Learner, file: Path, tmp_path: Path, shape: str) -> None:
    with zipfile.ZipFile(file) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    start = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    members["state/0/w.npy"] = start + members["state/0/w.npy"][-40:]
    with zipfile.ZipFile(tmp_path / "task.npz", "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    with pytest.raises(TaskFileError):
        head.load_task(tmp_path / "task.npz")


def test_a_state_behind_an_odd_header_is_read_right(head: handful.Learner, file: Path) -> None:
    """Its values then lie where no float32 does; what a graph gets is aligned."""
    before = head.load_task(file).logits(X)
    with zipfile.ZipFile(file) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 5), }"
    text += b" " * (len(text) % 2) + b"\n"  # so that its length is odd
    start = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    assert len(start) % 2 == 1
    members["state/0/w.npy"] = start + members["state/0/w.npy"][-40:]
    with zipfile.ZipFile(file, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    task = head.load_task(file)
    assert task._states[0].tensors["w"].flags.aligned
    np.testing.assert_array_equal(task.logits(X), before)


def test_too_many_arrays_are_not_saved(
    head: handful.Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = head.adapt(X, ["a", "b", "a"], samples=3, rng=np.random.default_rng(0))
    monkeypatch.setattr(npz, "MAX_MEMBERS", 5)
    with pytest.raises(TaskFileError) as error:
        task.save(tmp_path / "task.npz")
    words = str(error.value)
    assert words.startswith("the task has 6 arrays of ")
    assert words.endswith(f" bytes in all, at most 5 and {2**28} are saved")
    assert error.value.hint == FEWER
    assert list(tmp_path.iterdir()) == []


def test_what_is_saved_is_never_too_large_to_be_read(
    head: handful.Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "task.npz"
    task = head.adapt(X, ["a", "b", "a"])
    task.save(file)
    outcomes = set()
    for limit in range(file.stat().st_size - 100, file.stat().st_size + 5000, 100):
        monkeypatch.setattr(task_file, "MAX_BYTES", limit)
        file.unlink()
        try:
            task.save(file)
        except TaskFileError as error:
            outcomes.add(error.hint)
            assert list(tmp_path.iterdir()) == []
            file.touch()
        else:
            outcomes.add("read")
            np.testing.assert_array_equal(head.load_task(file).logits(X), task.logits(X))
    assert outcomes == {FEWER, "read"}


def test_what_cannot_be_read_is_not_saved(head: handful.Learner, file: Path) -> None:
    """Whatever `load_task` refuses, by whatever way it came about: save has the same rule."""
    task, before = head.load_task(file), file.read_bytes()
    w = task._states[0].tensors["w"]
    sizes = task._states[0].sizes
    for state, words in (
        (State({"w": w * np.nan}, sizes), "task.npz: `state/0/w` has values that are not finite"),
        (State({"w": w[:1]}, sizes),
         "task.npz: `state/0/w` is float32 [1, 5], wanted float32 [2, 5]"),
        (State({"w": w.astype(np.float64)}, sizes),
         "task.npz: `state/0/w` is float64 [2, 5], wanted float32 [2, 5]"),
        (State({}, sizes), "task.npz has no array `state/0/w`"),
        (State({"w": w, "z": w}, sizes), "task.npz has an unknown array 'state/0/z'"),
    ):  # fmt: skip
        with pytest.raises(TaskFileError) as error:
            replace(task, _states=(state,)).save(file)
        assert str(error.value) == words
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


FULL = """
import resource, sys, handful
learner = handful.load(sys.argv[1])
task = learner.load_task(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    task.save(sys.argv[2])
except handful.TaskFileError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_where_no_more_can_be_written_the_old_task_stays(
    packages: Any, head: handful.Learner, file: Path
) -> None:
    before = file.read_bytes()
    assert len(before) > 500
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(packages("head")), str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"cannot write {file}: File too large\n", "")
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_examples_are_in_memory_once(packages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = handful.load(packages("prototypes"))._engine
    spec = replace(handful.load(packages("head")).input, shape=(64, 64, 1))
    monkeypatch.setattr(engine, "manifest", replace(engine.manifest, input=spec))
    monkeypatch.setattr(engine, "embed", lambda x, **how: x.reshape(len(x), -1)[:, :4])
    x = np.random.default_rng(0).random((800, *spec.shape), np.float32)
    tracemalloc.start()
    gather(engine, {str(i): x[100 * i : 100 * i + 100] for i in range(8)}, None)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 0.2 * x.nbytes
