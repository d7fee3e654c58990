"""Writing a run's files: whole or not at all, and a full disk is an error that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handful.runtime.errors import HandfulError
from handful.runtime.package import files


class StorageError(HandfulError):
    """A file cannot be written: the disk is full, or the folder is not ours."""


@contextmanager
def storing(path: Path, hint: str) -> Iterator[None]:
    """What cannot be written to `path` meanwhile is a StorageError with this hint."""
    try:
        yield
    except OSError as cause:
        raise StorageError(f"cannot write {path}: {cause.strerror or cause}", hint=hint) from cause


def write(path: Path, content: bytes) -> None:
    """Replace the file atomically: it is the old one or the new one; its folder is created."""
    hint = "make room, then go on with --resume: the last checkpoint is whole"
    with storing(path, hint):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(path, content)
