"""Reading and writing files with care: opened once, no links followed, sizes capped."""

import hashlib
import os
import stat
from pathlib import Path

from handful.runtime.errors import HandfulError, PackageError


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
    if path.is_symlink():  # where there is no O_NOFOLLOW; elsewhere open refuses the race
        raise error(f"{path} is a link, wanted a regular file", hint="copy the file itself")
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as cause:
        raise error(f"no file {path.name} in {path.parent}", hint=absent) from cause
    except OSError as cause:
        raise error(f"cannot open {path}: {cause.strerror}") from cause
    with open(descriptor, "rb", buffering=0) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise error(f"{path} is not a regular file", hint="copy the file itself")
        if found.st_size > limit:
            raise error(f"{path} has {found.st_size} bytes, at most {limit} are read")
        try:
            data = _read(file.fileno(), limit)
        except OSError as cause:
            raise error(f"cannot read {path}: {cause.strerror}") from cause
    if len(data) > limit:
        raise error(f"{path} grew while it was read, at most {limit} bytes are read")
    return data


def _read(descriptor: int, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit + 1
    while left > 0 and (part := os.read(descriptor, min(left, 2**24))):
        parts.append(part)
        left -= len(part)
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
