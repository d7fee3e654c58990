"""A package from a folder to one file and back: what `handful pack` and `handful unpack` do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from handful.runtime.errors import PackageError
from handful.runtime.package.archive import MAX_BYTES, SUFFIX, pack
from handful.runtime.package.files import check_free, write_atomic
from handful.runtime.package.manifest import CARD, GOLDEN
from handful.runtime.package.read import Package, find, parts, read_package


def pack_package(package: str | Path, out: Path | None = None, *, force: bool = False) -> Path:
    """Write a package as one file, by default NAME.handful here; returns where it is.

    Everything is checked as `load` checks it. The same package gives the same bytes.
    """
    found = read_package(find(package))
    place = out if out is not None else Path(found.manifest.name + SUFFIX)
    check_free(place, PackageError, force=force)
    try:
        write_atomic(place, pack(_files(found)))
    except OSError as cause:
        raise PackageError(f"cannot write {place}: {cause.strerror}") from cause
    return place


def unpack_package(file: Path, out: Path | None = None) -> Path:
    """Write the files of a packed package to a new folder, by default NAME here; returns it."""
    found = read_package(find(Path(file)))
    folder = out if out is not None else Path(found.manifest.name)
    check_free(folder, PackageError, kind="folder")
    files = _files(found)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True
        ) as beside:  # the folder appears when it is whole
            whole = Path(beside) / folder.name
            whole.mkdir()
            for name, data in files.items():
                write_atomic(whole / name, data)
            os.rename(whole, folder)
    except OSError as cause:
        raise PackageError(f"cannot write {folder}: {cause.strerror}") from cause
    return folder


def _files(package: Package) -> dict[str, bytes]:
    """The bytes of every file, those that a package may be without where it has them."""
    files = {}
    for name in sorted(parts(package.manifest)):
        if name not in (GOLDEN, CARD) or package.files.has(name):
            files[name] = package.files.read(name, limit=MAX_BYTES)
    return files
