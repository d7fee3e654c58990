"""One process at a time writes a run: its lock names it, and the lock of a dead one is taken over.

The file `lock` in the run's folder holds process, host and start time as JSON. Where the system
has flock, that decides as well: it ends with the process and holds between containers.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from handful.runtime.errors import HandfulError

from .files import storing

try:
    import fcntl
except ImportError:  # Windows: there the file's own words decide
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"
ROOM = "make room, or name another folder with --out"


class LockError(HandfulError):
    """Another process writes the run."""


@dataclass(frozen=True)
class Holder:
    """The process that writes the run."""

    pid: int
    host: str
    started: str  # when it took the lock, in UTC

    def __str__(self) -> str:
        """As a message names it."""
        return f"process {self.pid} on {self.host}, since {self.started}"

    def dead(self, flocked: bool | None) -> bool:
        """Whether it is known to be gone: it was of this host, and this host has it no more.

        `flocked` says that this process has the file's flock now, None that there is no flock.
        """
        if self.host != socket.gethostname():
            return False
        if flocked:  # it would hold the flock: the number may be another process's by now
            return True
        if os.name != "posix":  # kill would do more than ask
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is another user's
            return False
        return False


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the run in `folder`, which exists; `say` is told of one taken over."""
    path = folder / LOCK
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    with storing(path, ROOM):
        descriptor = os.open(path, flags, 0o666)  # the umask decides, as for any new file
    try:
        _take(descriptor, path, say)
        me = Holder(os.getpid(), socket.gethostname(), time.strftime("%FT%TZ", time.gmtime()))
        try:
            with storing(path, ROOM):
                os.truncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, json.dumps(asdict(me)).encode())
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, say: Callable[[str], None]) -> None:
    """Refuse a lock that another process holds; take over that of a dead one."""
    flocked = _flocked(descriptor)
    holder = _read(descriptor)
    taken = flocked is False or not _is_at(descriptor, path)
    if taken or (holder and not holder.dead(flocked)):
        raise LockError(
            f"{path.parent} is being written by {holder or 'another process'}",
            hint=f"wait for it or stop it; if it is gone, remove {path}",
        )
    if holder:
        say(f"{path.parent}: took over from {holder}, which is gone")


def _flocked(descriptor: int) -> bool | None:
    """Whether this process has the file's flock now; None where there is none to have."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without it
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`: its holder removes it when it ends."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> Holder | None:
    """Who wrote the lock; None where nobody did, or not a whole one."""
    try:
        return Holder(**json.loads(os.read(descriptor, 4096)))
    except (ValueError, TypeError):
        return None
