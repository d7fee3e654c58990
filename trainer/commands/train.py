"""`handful train`: a recipe with its changes to a run's folder, or a run resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from handful.trainer.data.functions import is_functions, load_functions
from handful.trainer.form.learner import is_transductive
from handful.trainer.training.config import MetaConfig, RunConfig
from handful.trainer.training.data import Phase
from handful.trainer.training.folder import read_config, trust
from handful.trainer.training.log import METRICS, draw_curves
from handful.trainer.training.loop import Options
from handful.trainer.training.pretrain import pretraining_of
from handful.trainer.training.progress import Reporter, Silent
from handful.trainer.training.recipes import read_recipe
from handful.trainer.training.run import train
from handful.trainer.workers import shape_of
from handful.trainer.workers.host import device_of, interrupted


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of `handful train`."""

    recipe: str | None = None
    data: str | None = None  # of a new run its source; of a resumed one where that is now
    changes: Sequence[str] = ()  # settings, as meta.lr=0.01
    pretrained: Path | None = None  # a run whose pre-training is taken over
    device: str = "cpu"
    resume: bool = False
    skip_bad: bool = False
    skip_small: bool = False
    tensorboard: bool = False  # write its event files
    workers: int | None = None  # None: one a core
    threads: int | None = None  # of each worker
    trust: bool = False  # import what the run that is resumed or taken over names


@dataclass(frozen=True)
class Done:
    """How a run ended, for what the command says of it."""

    finished: bool  # or interrupted, and saved
    exportable: bool


def train_command(folder: Path, request: Request, report: Reporter) -> Done:
    """Train by a recipe; a resumed run needs none. Draws curves.png at the end."""
    device = str(device_of(request.device))
    if request.trust:
        for run in filter(None, [folder if request.resume else None, request.pretrained]):
            trust(run)
    config = _config(folder, request)
    phases = [config.meta, *filter(None, [config.pretrain])]
    most = max(phase.tasks for phase in phases)  # one task cannot be shared
    shape = shape_of(request.workers, request.threads, most=most, device=device)
    torch.set_num_threads(shape.cores)
    first = os.environ.get("RANK", "0") == "0"  # under torchrun one process speaks for all
    with interrupted() as stop:
        options = Options(
            device=device,
            shape=shape,
            resume=request.resume,
            data=request.data if request.resume else None,
            pretrained=_find_pretraining(request),
            skip_bad=request.skip_bad,
            skip_small=request.skip_small,
            tensorboard=request.tensorboard,
            report=report if first else Silent(),
            stop=stop,
        )
        progress = train(config, folder, options)
    if first and (folder / METRICS).exists():
        draw_curves(folder)
    return Done(finished=progress.finished, exportable=not is_transductive(config.settings))


def _config(folder: Path, request: Request) -> RunConfig:
    """The recipe with its changes; of a resumed run the settings that it has.

    Whoever repeats the whole command line with --resume names the same settings; --data may then
    be another place.
    """
    if not request.resume:
        return _read_request(folder, request)
    if not request.recipe and not request.changes:
        return read_config(folder)
    requested = _read_request(folder, request)
    if request.recipe and is_functions(requested.data.source):
        load_functions(requested.data.source)  # whoever names it again has it imported
    config = read_config(folder)
    requested = _fit_queries(requested, config)
    if request.data is None:
        return requested
    return replace(requested, data=replace(requested.data, source=config.data.source))


def _fit_queries(requested: RunConfig, config: RunConfig) -> RunConfig:
    """With as few queries as the run was begun with, where its data had no more."""

    def fit(asked: Phase, had: MetaConfig | None) -> Phase:
        fewest = {
            name: min(getattr(asked, name), getattr(had or asked, name))
            for name in ("queries", "validation_queries")
        }
        return replace(asked, **fewest)

    pretrain = requested.pretrain and fit(requested.pretrain, config.pretrain)
    return replace(requested, meta=fit(requested.meta, config.meta), pretrain=pretrain)


def _read_request(folder: Path, request: Request) -> RunConfig:
    config = read_recipe(_recipe(folder, request), _changes(request))
    if request.pretrained is None:
        return config
    return replace(config, pretrain=pretraining_of(request.pretrained)[1])


def _find_pretraining(request: Request) -> Path | None:
    """The folder of the pre-training that a new run takes over."""
    if request.pretrained is None or request.resume:
        return None
    return pretraining_of(request.pretrained)[0]


def _recipe(folder: Path, request: Request) -> str:
    return request.recipe or read_config(folder).learner


def _changes(request: Request) -> list[str]:
    if request.data is None:
        return list(request.changes)
    return [f"data.source={json.dumps(request.data, ensure_ascii=False)}", *request.changes]
