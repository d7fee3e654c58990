"""A run's folder: its settings, the record of its data, its parameters; whose it is.

config.json         the settings        data.json          classes and fingerprints of the data
last.safetensors    to resume from      best.safetensors   the best validated parameters
metrics.jsonl       a line a step       metrics.csv        the same as a table
events/             for TensorBoard     pretrained/        the same of the pre-trained network
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from handful.runtime.errors import HandfulError
from handful.trainer.config import RunConfig, from_dict, to_dict
from handful.trainer.data import record
from handful.trainer.data.record import DataRecord
from handful.trainer.episodes import EpisodeSource
from handful.trainer.learners import LEARNERS, Learner, Tensors
from handful.trainer.learners.find import find_learner

from .checkpoint import BEST, LAST, read_checkpoint
from .files import write
from .lock import LOCK

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
    elif folder.exists() and any(not _passing(file) for file in _items(folder)):
        raise RunError(f"{folder} is not empty", hint="name another folder with --out")


def _items(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder", hint="name another one with --out")
    return list(folder.iterdir())


def _passing(file: Path) -> bool:
    """Whether a process that was killed before it began may have left the file."""
    return file.name in (LOCK, DATA) or file.name.startswith(".")


def write_config(config: RunConfig, folder: Path) -> None:
    """The settings, complete."""
    write(folder / CONFIG, json.dumps(to_dict(config), indent=2).encode())


def read_config(folder: Path) -> RunConfig:
    """The settings of the run in `folder`."""
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise RunError(f"no {CONFIG} in {folder}", hint=MADE) from None
    return from_dict(settings, where=str(folder / CONFIG))


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
    kind = find_learner(config.learner, where=CONFIG)
    task = "classification" if data.targets is None else "regression"
    if task not in kind.tasks:
        able = [name for name, other in LEARNERS.items() if task in other.tasks]
        raise RunError(
            f"{config.learner} learns {' and '.join(kind.tasks)},"
            f" {config.data.source} asks for {task}",
            hint=f"these learn {task}: {', '.join(able)}",
        )
    if data.targets is None:
        return kind(config.settings, data.input, max(config.meta.way))
    return kind(config.settings, data.input, max(config.meta.way), data.targets)


def load_run(folder: Path, data: EpisodeSource, device: str | torch.device = "cpu") -> Trained:
    """The best validated parameters of the run in `folder`, on a device."""
    config = read_config(folder)
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
