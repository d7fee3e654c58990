"""Reading and writing files with care: opened once, no links followed, sizes capped."""

import errno
import hashlib
import os
import re
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

from handful.runtime.errors import HandfulError, PackageError, escape_controls

if sys.platform != "win32":
    import fcntl

TEMPORARY = re.compile(r"\.handful-[0-9a-f]{16}\.part")
ABANDONED_AFTER = 3600.0  # seconds; where no lock tells whether the writer lives
UNSYNCED = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP)  # folders cannot be synced
READING = (  # flags to open a file with; not blocking, so that a fifo does not hang us
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
SHOWN = 200  # characters of a path in a message
SMALL = 2**16  # bytes of a read that should find the end of the file


def mode_of(path: Path) -> int:
    """The kind of what lies at `path`, as `stat` has it, a link not followed; 0 for nothing."""
    try:
        return os.lstat(path).st_mode
    except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate, which no path has
        return 0


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder, or a link to one; for whatever text, without an exception."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def brief_path(path: object) -> str:
    """A path in a message: the end of one that is too long, and nothing that cannot be printed."""
    text = escape_controls(str(path))
    return text if len(text) <= SHOWN else f"…{text[-SHOWN:]}"


def check_free(
    place: Path, error: type[HandfulError], *, force: bool = False, kind: str = "file"
) -> None:
    """Refuse to write over what is there; a link that leads nowhere counts, too.

    `kind` is what shall be written; only a file is ever replaced.
    """
    if os.path.lexists(place) and not force:
        replace = ", or replace it with --force" if kind == "file" else ""
        raise error(f"{place} exists", hint=f"name another {kind}{replace}")


def read_regular(
    path: Path,
    *,
    limit: int,
    error: type[HandfulError] = PackageError,
    absent: str = "copy the package again, as a whole",
) -> bytes:
    """The bytes of the regular file `path`, opened once, no link followed, at most `limit`.

    `absent` is the hint where there is no such file.
    """
    shown = brief_path(path)
    if stat.S_ISLNK(mode_of(path)):  # where there is no O_NOFOLLOW; elsewhere open refuses the race
        raise error(f"{shown} is a link, wanted a regular file", hint="copy the file itself")
    try:
        descriptor = os.open(path, READING | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError as cause:
        raise error(
            f"no file {brief_path(path.name)} in {brief_path(path.parent)}", hint=absent
        ) from cause
    except (OSError, ValueError) as cause:
        raise error(f"cannot open {shown}: {_reason(cause)}") from cause
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = "a folder, wanted" if stat.S_ISDIR(status.st_mode) else "not"
            raise error(f"{shown} is {what} a regular file", hint="copy the file itself")
        if status.st_size > limit:
            raise error(f"{shown} has {status.st_size} bytes, at most {limit} are read")
        data = _read(descriptor, limit, status.st_size)
    except OSError as cause:
        raise error(f"cannot read {shown}: {_reason(cause)}") from cause
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise error(f"{shown} grew while it was read, at most {limit} bytes are read")
    return data


def _reason(cause: OSError | ValueError) -> str:
    """What the system says; Python itself refuses a NUL and a lone surrogate."""
    return (isinstance(cause, OSError) and cause.strerror) or "not a path"


def _read(descriptor: int, limit: int, size: int) -> bytes:
    """At most one byte more than `limit`; in one part, without a copy, where `size` is true."""
    parts: list[bytes] = []
    allowed, expected = limit + 1, size
    while allowed > 0 and (part := os.read(descriptor, min(allowed, max(expected, SMALL)))):
        parts.append(part)
        allowed -= len(part)
        expected -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def sha256(data: bytes) -> str:
    """The hash by which a manifest names a file."""
    return hashlib.sha256(data).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """`data` at `path`, whole or not at all, and on the disk when this returns.

    An OSError, which names `path`, where that cannot be; what was there before is there then.

    A file that is replaced keeps its mode, a new one follows the umask. A link, or anything else
    that is no regular file, is refused, as `read_regular` refuses it. What a killed process left
    half-written in the folder is removed first.
    """
    try:
        _replace(path, data)
    except OSError as error:  # which names the temporary file, or none where the disk is full
        if error.errno is not None:
            error.filename = str(path)
            del error.filename2
        raise


def _replace(path: Path, data: bytes) -> None:
    mode = _mode(path)
    _remove_abandoned(path.parent)
    temporary, descriptor = _temporary(path.parent, 0o666 if mode is None else 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.chmod(temporary, mode)
            os.fsync(file.fileno())
            if sys.platform != "win32":  # while the lock is held
                os.replace(temporary, path)
        if sys.platform == "win32":  # where an open file cannot be moved
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def _mode(path: Path) -> int | None:
    """The mode of the file that is to be replaced; None: there is none."""
    try:
        there = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(there):
        raise OSError(errno.ELOOP, "it is a link, wanted a regular file", str(path))
    if stat.S_ISDIR(there):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(there):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return stat.S_IMODE(there) & 0o777


def _temporary(folder: Path, mode: int) -> tuple[Path, int]:
    """A new file in the folder and its descriptor, locked for as long as the writer lives."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = folder / f".handful-{os.urandom(8).hex()}.part"
        descriptor = os.open(path, flags, mode)
        if sys.platform == "win32" or _lock(descriptor):
            return path, descriptor
        os.close(descriptor)  # another save took it for abandoned before the lock was there


if sys.platform != "win32":

    def _lock(descriptor: int) -> bool:
        """Lock the new file; whether it still has its name."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks, where nothing is taken for abandoned either
            return True
        return os.fstat(descriptor).st_nlink > 0


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporaries of processes that were killed while they wrote."""
    try:
        names = [name for name in os.listdir(folder) if TEMPORARY.fullmatch(name)]
    except OSError:  # a folder that may be written and not listed
        return
    for name in names:
        with suppress(OSError):  # its writer lives, or somebody else was faster
            _remove_unless_held(folder / name)


def _remove_unless_held(path: Path) -> None:
    if sys.platform == "win32":
        if time.time() - os.lstat(path).st_mtime > ABANDONED_AFTER:
            os.unlink(path)
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Let the new name of the file outlast a power cut, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in UNSYNCED:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise
    finally:
        os.close(descriptor)
