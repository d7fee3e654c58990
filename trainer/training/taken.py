"""A pre-training taken over from a run that has done it, instead of being done anew."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from handful.trainer.config import PretrainConfig, RunConfig, to_dict
from handful.trainer.data.config import PLACES
from handful.trainer.data.record import DataRecord
from handful.trainer.data.splits import Part
from handful.trainer.learners import LEARNERS
from handful.trainer.learners.embedding import PretrainingLearner

from .checkpoint import BEST, LAST
from .files import storing
from .folder import CONFIG, DATA, PRETRAINED, RunError, read_config, read_record, steps_left
from .lock import ROOM
from .log import METRICS
from .table import TABLE

VIEWS = "learner.network.views"
ANEW = "leave out --pretrained, and the network is pre-trained anew"
READ: tuple[Part, ...] = ("meta_train", "meta_val")


def pretraining_of(run: Path) -> tuple[Path, PretrainConfig]:
    """The folder of the pre-training that `run` has, or is, and the settings that repeat it."""
    config = read_config(run)
    if _pretraining(config) is None:
        if not (run / PRETRAINED / CONFIG).exists():
            raise RunError(
                f"{run} has no pre-trained network: it is a run of {config.learner}",
                hint=f"name a run with a folder {PRETRAINED}, or one of {_names()}",
            )
        run = run / PRETRAINED
        config = read_config(run)
    if config.pretrain is not None:
        raise RunError(
            f"the network of {run} was itself pre-trained, which a recipe cannot repeat",
            hint=f"name its first training: {run / PRETRAINED}",
        )
    if left := steps_left(run):
        raise RunError(
            f"{run} has {left} steps still to take",
            hint=f"finish it first: handful train --resume --out {run}",
        )
    kind = _pretraining(config)
    assert kind is not None  # nothing else is in the folder of a pre-training
    asked = kind.asked(config.settings)
    loop = {f.name: getattr(config.meta, f.name) for f in dataclasses.fields(config.meta)}
    objective: Any = asked.objective
    return run, PretrainConfig(**loop, objective=objective, length=asked.length)


def _pretraining(config: RunConfig) -> type[PretrainingLearner] | None:
    """The run's learner, where it is one that trains networks for others."""
    kind = LEARNERS.get(config.learner)
    return kind if kind is not None and issubclass(kind, PretrainingLearner) else None


def _names() -> str:
    kinds = (kind for kind in LEARNERS.values() if issubclass(kind, PretrainingLearner))
    return " or ".join(kind.name for kind in kinds)


def check_same(source: Path, wanted: RunConfig, record: DataRecord) -> None:
    """Refuse the run in `source` where its network or its data are not those of `wanted`."""
    ours, theirs = _compared(wanted), _compared(read_config(source))
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise RunError(
                f"{source} was trained for something else:"
                f" its {name} is {theirs.get(name, 'not set')}, here {ours.get(name, 'not set')}",
                hint=f"take its network and data, or {ANEW}",
            )
    before = read_record(source)
    for part in READ:
        if before.part(part).classes != record.part(part).classes:
            raise RunError(
                f"{source} was trained on other data: its {part} has other classes or examples",
                hint=f"name the data that it was trained on, or {ANEW}",
            )


def copy_to(folder: Path, source: Path) -> None:
    """The run in `source` becomes the folder's pre-training, whole or not at all."""
    half_way = folder / f".{PRETRAINED}"
    with storing(folder, ROOM):
        half_way.mkdir(exist_ok=True)
        for name in (LAST, BEST, METRICS, TABLE, DATA, CONFIG):
            if (source / name).exists():
                shutil.copyfile(source / name, half_way / name)
        half_way.rename(folder / PRETRAINED)


def _compared(config: RunConfig) -> dict[str, Any]:
    """What has to be the same, by its name in a recipe.

    Data may have moved, and the number of views changes nothing that is learnt.
    """
    settings = to_dict(config)
    data = {name: value for name, value in settings["data"].items() if name not in PLACES}
    compared = dict(_flat({"learner": settings["learner"], "data": data}))
    return {name: value for name, value in compared.items() if name != VIEWS}


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
