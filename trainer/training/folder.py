"""A run's folder: its settings, the record of its data, its parameters; whose it is.

    config.json         the settings        data.json          classes, fingerprints of the data
    last.safetensors    to resume from      best.safetensors   the best validated parameters
    metrics.jsonl       a line a step       metrics.csv        the same as a table
    events/             for TensorBoard     pretrained/        the same of the pre-trained network
    lock                process, host and start time of the process that writes, as JSON

One process at a time writes a run: its lock names it, and the lock of a dead one is taken over.
Where the system has flock, that decides as well: it ends with the process and holds between
containers.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from handful.runtime.errors import HandfulError
from handful.trainer.data import record
from handful.trainer.data.functions import load_functions
from handful.trainer.data.record import DataRecord
from handful.trainer.episodes import EpisodeSource
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Tensors
from handful.trainer.learners import LEARNERS, find_learner
from handful.trainer.settings.import_path import is_import_path

from .checkpoint import BEST, LAST, read_checkpoint, storing, write
from .config import RunConfig, from_dict, to_dict

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

    def is_dead(self, flocked: bool | None) -> bool:
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
    flocked = _has_flock(descriptor)
    holder = _read(descriptor)
    taken = flocked is False or not _is_at(descriptor, path)
    if taken or (holder and not holder.is_dead(flocked)):
        raise LockError(
            f"{path.parent} is being written by {holder or 'another process'}",
            hint=f"wait for it or stop it; if it is gone, remove {path}",
        )
    if holder:
        say(f"{path.parent}: took over from {holder}, which is gone")


def _has_flock(descriptor: int) -> bool | None:
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


CONFIG, DATA, PRETRAINED = "config.json", "data.json", "pretrained"
MADE = "a run is a folder made by `handful train`"


class RunError(HandfulError):
    """A run's folder cannot be used as asked."""


@dataclass(frozen=True)
class Trained:
    """A learner with parameters, ready to be evaluated or exported."""

    learner: Learner
    params: Tensors
    config: RunConfig
    facts: dict[str, Any]


def claim(config: RunConfig, folder: Path, *, resume: bool) -> None:
    """Say why the folder cannot be this run's."""
    if (folder / CONFIG).exists():
        if not resume:
            raise RunError(
                f"{folder} holds a run already",
                hint="go on with it by --resume, or name another folder with --out",
            )
        if to_dict(read_config(folder)) != to_dict(config):
            raise RunError(
                f"{folder} holds a run with other settings",
                hint="resume without changing settings, or name another folder with --out",
            )
    elif resume:
        raise RunError(f"no run to resume in {folder}", hint=MADE)
    elif folder.exists() and any(not _is_passing(file) for file in _items(folder)):
        raise RunError(f"{folder} is not empty", hint="name another folder with --out")


def _items(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder", hint="name another one with --out")
    return list(folder.iterdir())


def _is_passing(file: Path) -> bool:
    """Whether a process that was killed before it began may have left the file."""
    return file.name in (LOCK, DATA) or file.name.startswith(".")


def write_config(config: RunConfig, folder: Path) -> None:
    """The settings, complete."""
    write(folder / CONFIG, json.dumps(to_dict(config), indent=2).encode())


def read_config(folder: Path) -> RunConfig:
    """The settings of the run in `folder`.

    Refused where they name a module that this process has not imported: a folder may be another
    person's, and importing runs code. `trust` imports it.
    """
    return from_dict(_settings(folder), where=str(folder / CONFIG), trusted=False)


def trust(folder: Path) -> None:
    """Import what the run in `folder`, and its pre-training, name of the user's own."""
    for run in (folder, *filter(Path.is_dir, [folder / PRETRAINED])):
        settings, where = _settings(run), str(run / CONFIG)
        if is_import_path(name := _text_setting(settings, "learner", "name")):
            find_learner(name, where=where)
        if is_import_path(source := _text_setting(settings, "data", "source")):
            load_functions(source, where=where)


def _text_setting(settings: Any, section: str, name: str) -> str:
    """A setting of text, or nothing: what is wrong with them is said where they are read."""
    inner = settings.get(section) if isinstance(settings, dict) else None
    found = inner.get(name) if isinstance(inner, dict) else None
    return found if isinstance(found, str) else ""


def _settings(folder: Path) -> Any:
    """The content of config.json."""
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise RunError(f"no {CONFIG} in {folder}", hint=MADE) from None


def write_record(data: DataRecord, folder: Path) -> None:
    """What the run's data are."""
    write(folder / DATA, json.dumps(record.to_json(data), indent=1, ensure_ascii=False).encode())


def read_record(folder: Path) -> DataRecord:
    """What the data of the run in `folder` were when it began."""
    path = folder / DATA
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"no {DATA} in {folder}", hint=MADE) from None
    except (OSError, ValueError, RecursionError) as cause:
        raise RunError(f"{path} cannot be read: {cause}", hint="it was changed by hand") from cause
    return record.from_json(content, str(path))


def build_learner(config: RunConfig, data: EpisodeSource) -> Learner:
    """The learner for this data's examples; refused where it cannot learn what they ask for."""
    kind = find_learner(config.learner, where=CONFIG, trusted=False)  # read_config has decided
    asks = data.asks
    if asks.kind not in kind.tasks:
        able = [name for name, other in LEARNERS.items() if asks.kind in other.tasks]
        raise RunError(
            f"{config.learner} learns {' and '.join(kind.tasks)},"
            f" {config.data.source} asks for {asks.kind}",
            hint=f"these learn {asks.kind}: {', '.join(able)}",
        )
    way = asks.named_way or max(config.meta.way)
    return kind.for_tasks(config.settings, data.input, way, asks)


def load_run(folder: Path, data: EpisodeSource, device: str | torch.device = "cpu") -> Trained:
    """The best validated parameters of the run in `folder`, on a device."""
    config = read_config(folder)
    if not (folder / BEST).exists() and steps_left(folder):
        raise RunError(
            f"{folder} has not come to its first validation",
            hint=f"go on with it: handful train --resume --out {folder}",
        )
    params, facts = read_checkpoint(folder / BEST)
    learner = build_learner(config, data)
    return Trained(learner, {n: p.to(device) for n, p in params.items()}, config, facts)


def steps_left(folder: Path) -> int:
    """How many steps the run in `folder` has still to take; 0 when it has finished."""
    config = read_config(folder)
    if not (folder / LAST).exists():  # it never came to its first checkpoint
        return max(1, config.meta.steps)
    progress = read_checkpoint(folder / LAST)[1]["progress"]
    return 0 if progress["finished"] else max(0, config.meta.steps - progress["step"])


def versions() -> dict[str, str]:
    """What the run was made with."""
    installed = {"python": platform.python_version()}
    for name in ("handful", "torch", "onnx", "onnxruntime", "numpy"):
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
