"""Pre-training of a learner's network, by a learner that trains networks for others.

It is a run of its own, in the sub-folder `pretrained`, with its own checkpoints; or it is taken
over from a run that has done it.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from handful.trainer.data.config import PLACES
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.record import DataRecord
from handful.trainer.data.splits import Part
from handful.trainer.episodes import EpisodeSource
from handful.trainer.form.stage import Tensors
from handful.trainer.learners import LEARNERS
from handful.trainer.networks import NetworkConfig
from handful.trainer.networks.wrapped import fit
from handful.trainer.parts.embedding import PretrainingLearner, PretrainRequest

from .checkpoint import BEST, LAST, read_checkpoint, storing
from .config import PretrainConfig, RunConfig, to_dict
from .data import apply_drawing
from .folder import (
    CONFIG,
    DATA,
    PRETRAINED,
    ROOM,
    RunError,
    build_learner,
    read_config,
    read_record,
    steps_left,
    versions,
    write_config,
    write_record,
)
from .log import METRICS, TABLE
from .loop import Call
from .state import Run

PREPARED = 8192  # examples by which inputs are standardised, and a learner prepares its start
DEFAULT = PretrainConfig(way=(60,), queries=5, tasks=1)


def pretrain(call: Call, network: NetworkConfig) -> Tensors | None:
    """The network's best parameters; None when stopped on the way."""
    config = pretraining(call.config, call.data.train, network)
    folder = call.folder / PRETRAINED
    learner = build_learner(config, call.data.train)
    params = learner.init(torch.Generator().manual_seed(config.meta.seed))
    params = fit(params, call.data.train.take_some(PREPARED, call.config.meta.seed)[0])
    run = Run(
        learner=learner,
        params=call.on_device(params),
        train=learner.training_source(
            apply_drawing(
                call.data.train,
                config.meta.training_groups,
                config.meta.distortion,
                config.meta.mix,
            )
        ),
        validation=apply_drawing(call.data.validation, config.meta.validation_groups),
        config=config.meta,
        folder=folder,
        section="pretrain",
        facts={"config": to_dict(config), "versions": versions()},
        world=call.world,
        workers=call.workers,
    )
    resume = (folder / LAST).exists()
    if call.world.first:
        write_record(call.data.record, folder)
        write_config(config, folder)
    progress = call.phase(run, "pre-training", resume=resume)
    if not progress.finished:
        return None
    call.world.wait()
    assert isinstance(learner, PretrainingLearner)
    return call.on_device(learner.network_of(read_checkpoint(folder / BEST)[0]))


def pretraining(run: RunConfig, train: EpisodeSource, network: NetworkConfig) -> RunConfig:
    """The run that pre-trains `network` for `run`, its learner chosen by `pretrain.objective`."""
    settings = run.pretrain or DEFAULT
    assert isinstance(train, LabelledSet)  # a source without classes was refused before
    asked = PretrainRequest(settings.objective, settings.length, len(train.classes))
    kind = pretraining_learners()[settings.objective]
    config = kind.pretraining(network, asked)
    return RunConfig(learner=kind.name, settings=config, data=run.data, meta=settings.loop)


def pretraining_learners() -> dict[str, type[PretrainingLearner]]:
    """The learner that trains a network for others, by its `pretrain.objective`."""
    kinds = [kind for kind in LEARNERS.values() if issubclass(kind, PretrainingLearner)]
    return {objective: kind for kind in kinds for objective in kind.objectives}


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
    asked = kind.describe_request(config.settings)
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
    ours, theirs = _collect_compared(wanted), _collect_compared(read_config(source))
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


def _collect_compared(config: RunConfig) -> dict[str, Any]:
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
