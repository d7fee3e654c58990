"""Writing files: whole or not at all, with the mode they had, and nothing left by the killed."""

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handful.runtime.package import files
from handful.runtime.package.files import TEMPORARY, write_atomic

from ..each import each

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes, links and locks of POSIX")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@posix
@pytest.mark.parametrize(("mask", "wanted"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_follows_the_umask(
    tmp_path: Path, umask: Callable[[int], int], mask: int, wanted: int
) -> None:
    umask(mask)
    write_atomic(tmp_path / "new", b"new")
    assert mode(tmp_path / "new") == wanted


@posix
@each("before", [0o600, 0o640, 0o664, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode(
    tmp_path: Path, umask: Callable[[int], int], before: int
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(before)
    write_atomic(file, b"new")
    assert (file.read_bytes(), mode(file)) == (b"new", before)


@posix
def test_the_content_is_never_readable_by_more_than_the_file_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: Callable[[int], int]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(0o600)
    seen: list[int] = []
    create = os.open

    def watched(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        descriptor = create(path, flags, mode, **more)
        if flags & os.O_CREAT:
            seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr("os.open", watched)
    write_atomic(file, b"new")
    assert seen == [0o600]


@posix
@pytest.mark.parametrize("target", ["file", "nothing"])
def test_a_link_is_refused_and_left(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError, match="it is a link, wanted a regular file") as error:
        write_atomic(tmp_path / "link", b"new")
    assert error.value.errno == errno.ELOOP
    assert os.readlink(tmp_path / "link") == target
    assert (names(tmp_path), (tmp_path / "file").read_bytes()) == (["file", "link"], b"old")


@posix
def test_what_is_no_regular_file_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="Is a directory"):
        write_atomic(tmp_path / "folder", b"new")
    with pytest.raises(OSError, match="it is not a regular file"):
        write_atomic(tmp_path / "fifo", b"new")
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert names(tmp_path) == ["fifo", "folder"]


@pytest.mark.parametrize(
    ("call", "names_given"),
    [("open", (".part",)), ("fsync", ()), ("replace", (".part", None, "file"))],
)
def test_an_error_names_the_file_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, names_given: tuple[Any, ...]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", *names_given)

    monkeypatch.setattr(files, "_remove_abandoned", lambda folder: None)
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left on device") as error:
        write_atomic(file, b"new")
    monkeypatch.undo()
    assert (error.value.filename, error.value.filename2) == (str(file), None)
    assert (names(tmp_path), file.read_bytes()) == (["file"], b"old")


def test_a_name_as_long_as_a_name_may_be(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("n" * 255), b"new")
    assert names(tmp_path) == ["n" * 255]


KILLED = """
import os, signal, sys
from pathlib import Path
from handful.runtime.package.files import write_atomic
setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
write_atomic(Path(sys.argv[1]), b"never whole")
"""


@posix
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_a_killed_process_leaves_is_removed_by_the_next_save(
    tmp_path: Path, call: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(file), call], check=False)
    assert done.returncode == -signal.SIGKILL
    left, kept = names(tmp_path)
    assert TEMPORARY.fullmatch(left)
    assert (kept, file.read_bytes()) == ("file", b"old")
    write_atomic(tmp_path / "another", b"new")
    assert names(tmp_path) == ["another", "file"]


@posix
def test_what_others_put_there_is_left(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (tmp_path / ".handful-0123456789abcdef.part").symlink_to("elsewhere")
    (tmp_path / ".handful-x.part").write_bytes(b"not a name of ours")
    before = names(tmp_path)
    write_atomic(tmp_path / "file", b"new")
    assert names(tmp_path) == sorted([*before, "file"])
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_the_file_of_a_save_that_goes_on_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, finish = threading.Event(), threading.Event()
    sync = os.fsync

    def slow(descriptor: int) -> None:
        if threading.current_thread() is thread:
            writing.set()
            assert finish.wait(30)
        sync(descriptor)

    thread = threading.Thread(target=write_atomic, args=(tmp_path / "slow", b"slow"))
    monkeypatch.setattr("os.fsync", slow)
    thread.start()
    assert writing.wait(30)
    write_atomic(tmp_path / "fast", b"fast")
    assert len([name for name in names(tmp_path) if TEMPORARY.fullmatch(name)]) == 1
    finish.set()
    thread.join()
    assert names(tmp_path) == ["fast", "slow"]
    assert (tmp_path / "slow").read_bytes() == b"slow"


@posix
def test_a_file_that_another_save_removes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, temporaries = files._lock, []

    def late(descriptor: int) -> bool:
        (temporary,) = names(tmp_path)
        temporaries.append(temporary)
        if len(temporaries) == 1:
            files._remove_abandoned(tmp_path)
        return lock(descriptor)

    monkeypatch.setattr(files, "_lock", late)
    write_atomic(tmp_path / "file", b"new")
    assert len(set(temporaries)) == 2
    assert names(tmp_path) == ["file"]


def test_many_saves_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    contents = [bytes([i]) * 50_000 for i in range(8)]
    errors: list[BaseException] = []

    def save(content: bytes) -> None:
        try:
            for _ in range(10):
                write_atomic(tmp_path / "file", content)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() in contents


@posix
def test_the_folder_is_synced_after_the_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, list[str]]] = []

    def sync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, [re.sub("[0-9a-f]{16}", "…", name) for name in names(tmp_path)]))

    monkeypatch.setattr("os.fsync", sync)
    write_atomic(tmp_path / "name", b"new")
    assert synced == [("file", [".handful-….part"]), ("folder", ["name"])]


@posix
@pytest.mark.parametrize(("number", "raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: bool
) -> None:
    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", sync)
    failed = False
    try:
        write_atomic(tmp_path / "file", b"new")
    except OSError as error:
        failed = error.errno == number
    assert failed is raised
    assert names(tmp_path) == ["file"]
