"""Reading and writing files with care: opened once, no links followed, sizes capped."""

import hashlib
import os
import stat
from pathlib import Path

from handful.runtime.errors import HandfulError, PackageError

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


def brief(path: object) -> str:
    """A path in a message: the end of one that is too long."""
    text = str(path)
    return text if len(text) <= SHOWN else f"…{text[-SHOWN:]}"


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
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)  # a fifo does not hang us
    shown = brief(path)
    if stat.S_ISLNK(mode_of(path)):  # where there is no O_NOFOLLOW; elsewhere open refuses the race
        raise error(f"{shown} is a link, wanted a regular file", hint="copy the file itself")
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as cause:
        raise error(f"no file {brief(path.name)} in {brief(path.parent)}", hint=absent) from cause
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
    left, rest = limit + 1, size
    while left > 0 and (part := os.read(descriptor, min(left, max(rest, SMALL)))):
        parts.append(part)
        left -= len(part)
        rest -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def sha256(data: bytes) -> str:
    """The hash by which a manifest names a file."""
    return hashlib.sha256(data).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """`data` at `path`, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)  # the umask decides, as for any new file
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
