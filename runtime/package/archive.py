"""A package as one file, NAME.handful: a stored zip whose every byte follows from what it holds.

Where a package's files lie, in a folder or in such an archive, is decided here and nowhere else.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from handful.runtime.errors import HandfulError, PackageError

from .files import brief_path, is_folder, mode_of, read_regular
from .manifest import FILE, is_basename
from .strict import shorten

if TYPE_CHECKING:
    import zipfile

SUFFIX = ".handful"
MAX_BYTES = 2**28
MAX_MEMBERS = 1000
ENTRY = b"PK\x01\x02"  # begins a member's entry in the archive's directory
BEGINS = b"PK"
DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can have: bytes do not depend on the clock
UNIX, MODE = 3, 0o644 << 16
STORED = 0  # the method of a member that is not compressed
WHOLE = "copy the package again, as a whole"
PACK = "`handful pack FOLDER` writes a package as one file"
TASK = "about.npy"  # a member of every task file
TASKS = "a task is given to predict, test, add, remove, report and freeze"


class Files(ABC):
    """The files of one package, each read with care when it is asked for."""

    place: Path | None  # the folder or the archive; None: the application gave bytes

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return "what was given" if self.place is None else brief_path(self.place)

    def read(
        self,
        name: str,
        *,
        limit: int,
        error: type[HandfulError] = PackageError,
        absent: str = WHOLE,
    ) -> bytes:
        """The bytes of a file, at most `limit`; `absent` is the hint where there is none."""
        return self._read(name, limit, error, absent)

    @abstractmethod
    def _read(self, name: str, limit: int, error: type[HandfulError], absent: str) -> bytes: ...

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""

    def check_names(self, known: Collection[str]) -> None:  # noqa: B027  # a folder may hold more
        """Refuse an archive with a file that is no part of the package."""


class Folder(Files):
    """A package as `handful export` writes it."""

    place: Path

    def __init__(self, place: Path) -> None:
        """`place` is the folder."""
        self.place = place

    def _read(self, name: str, limit: int, error: type[HandfulError], absent: str) -> bytes:
        return read_regular(self.place / name, limit=limit, error=error, absent=absent)

    def has(self, name: str) -> bool:
        """Whatever is there: reading refuses what is no regular file."""
        return bool(mode_of(self.place / name))


class Archive(Files):
    """A package as `handful pack` writes it."""

    def __init__(self, data: bytes, place: Path | None = None) -> None:
        """PackageError where `data` are not the bytes that `pack` gives for what they hold."""
        self.place = place
        self._members = unpack(data, self.name)

    def _read(self, name: str, limit: int, error: type[HandfulError], absent: str) -> bytes:
        if name not in self._members:
            raise error(f"no file {shorten(name)} in {self.name}", hint=absent)
        data = self._members[name]
        if len(data) > limit:
            raise error(f"{shorten(name)} in {self.name} has {len(data)} bytes, at most {limit}")
        return data

    def has(self, name: str) -> bool:
        """Whether it is a member."""
        return name in self._members

    def check_names(self, known: Collection[str]) -> None:
        """Refuse a member that is not among `known`."""
        for name in self._members:
            if name not in known:
                raise PackageError(
                    f"{self.name} holds {shorten(name)}, which is no part of the package", hint=PACK
                )


def open_files(package: Path | bytes) -> Files:
    """The files of a package: a folder, an archive, an archive's bytes, or its manifest.json."""
    if isinstance(package, bytes):
        return Archive(package)
    if is_folder(package):
        return Folder(package)
    if package.name == FILE:
        return Folder(package.parent)
    return Archive(read_regular(package, limit=MAX_BYTES, absent=PACK), package)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of files by name: the same bytes for the same files, on every machine.

    Members are stored, in the order of their names, dated 1980-01-01, with the mode 0644, by
    "version 2.0, Unix", without flags, extra fields and comments.
    """
    import zipfile  # it takes 10 ms, and a folder needs none

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, DATE)
            member.create_system, member.external_attr = UNIX, MODE
            archive.writestr(member, files[name])
    return stream.getvalue()


def unpack(data: bytes, name: str) -> dict[str, bytes]:
    """The files in an archive; PackageError where it is not exactly what `pack` makes of them.

    So there is no second reading of it: no entry twice, no path, nothing before, between or behind
    the members, nothing that inflates.
    """
    wrong = f"{name} is not a package"
    if len(data) > MAX_BYTES:
        raise PackageError(f"{name} has {len(data)} bytes, at most {MAX_BYTES} are read")
    if not data.startswith(BEGINS):
        raise PackageError(f"{wrong}: it is no zip archive", hint=PACK)
    if (entries := data.count(ENTRY)) > MAX_MEMBERS:  # before zipfile makes an object of each
        raise PackageError(f"{wrong}: {entries} members, at most {MAX_MEMBERS}", hint=PACK)
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if TASK in archive.namelist():
                raise PackageError(f"{name} is a task file, wanted a package", hint=TASKS)
            for member in archive.infolist():
                _check_member(member, wrong)
            files = {member.filename: archive.read(member) for member in archive.infolist()}
    except PackageError:
        raise
    except Exception as cause:  # zipfile raises a dozen kinds on broken bytes
        raise PackageError(f"{wrong}: {str(cause)[:200]}", hint=WHOLE) from cause
    if pack(files) != data:
        raise PackageError(
            f"{name} is a zip archive, and not as packages are packed: in the order of names,"
            " stored, dated 1980-01-01, with nothing beside",
            hint="unpack it, and pack the folder again with `handful pack FOLDER`",
        )
    return files


def _check_member(member: zipfile.ZipInfo, wrong: str) -> None:
    if not is_basename(member.filename):
        raise PackageError(f"{wrong}: a member {shorten(member.filename)!r}, wanted plain names")
    if member.compress_type != STORED or member.file_size != member.compress_size:
        raise PackageError(f"{wrong}: {member.filename} is compressed, wanted stored", hint=PACK)
