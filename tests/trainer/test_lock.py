"""One process at a time writes a run; the lock of a dead one is taken over, with a word."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from handful.trainer.training import folder
from handful.trainer.training.checkpoint import StorageError
from handful.trainer.training.folder import LOCK, LockError, locked

from ..each import each


def written(folder: Path, **changes: object) -> None:
    holder = {"pid": 1, "host": socket.gethostname(), "started": "2026-01-02T03:04:05Z"}
    (folder / LOCK).write_text(json.dumps({**holder, **changes}))


def said(folder: Path) -> list[str]:
    """What is said when the lock is taken; refused where another has it."""
    words: list[str] = []
    with locked(folder, words.append):
        assert json.loads((folder / LOCK).read_text())["pid"] == os.getpid()
    assert not (folder / LOCK).exists()
    return words


def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_one_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with locked(tmp_path, print):
        holder = json.loads((tmp_path / LOCK).read_text())
        with pytest.raises(LockError) as caught, locked(tmp_path, print):
            pass
        assert json.loads((tmp_path / LOCK).read_text()) == holder
    assert str(caught.value) == (
        f"{tmp_path} is being written by process {os.getpid()} on {socket.gethostname()},"
        f" since {holder['started']}"
    )
    assert caught.value.hint == (f"wait for it or stop it; if it is gone, remove {tmp_path / LOCK}")
    assert said(tmp_path) == []


def test_the_lock_goes_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path, print):
        raise KeyError
    assert said(tmp_path) == []


@each("flock", [True, False])
def test_that_of_a_dead_process_is_taken_over(
    flock: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not flock:
        monkeypatch.setattr(folder, "fcntl", None)
    number = dead()
    written(tmp_path, pid=number)
    assert said(tmp_path) == [
        f"{tmp_path}: took over from process {number} on {socket.gethostname()},"
        " since 2026-01-02T03:04:05Z, which is gone"
    ]


def test_a_number_that_another_process_has_now_is_a_dead_one_s(tmp_path: Path) -> None:
    written(tmp_path, pid=os.getppid())  # it lives, and would hold the flock
    assert len(said(tmp_path)) == 1


def test_a_living_process_is_believed_where_there_is_no_flock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "fcntl", None)
    written(tmp_path, pid=os.getppid())
    with pytest.raises(LockError, match=f"is being written by process {os.getppid()} on "):
        said(tmp_path)


def test_another_host_s_lock_is_left_alone(tmp_path: Path) -> None:
    written(tmp_path, host="another", pid=dead())
    with pytest.raises(LockError, match="on another, since 2026-01-02T03:04:05Z"):
        said(tmp_path)
    assert (tmp_path / LOCK).exists()


@each("content", ["", "{", "[]", '{"pid": 3}'])
def test_half_a_lock_holds_nobody_out(content: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(content)
    assert said(tmp_path) == []


def test_a_lock_that_finds_no_room_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError) as caught, locked(tmp_path, print):
        raise AssertionError("the lock was taken")
    assert str(caught.value) == f"cannot write {tmp_path / LOCK}: No space left on device"
    assert caught.value.hint == "make room, or name another folder with --out"
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught, locked(tmp_path / "none", print):
        pass
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'none' / LOCK}: No such file or directory"
    )
