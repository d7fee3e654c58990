"""`handful train`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from handful.trainer.config import RunConfig
from handful.trainer.recipe import read_recipe
from handful.trainer.training.curves import draw_curves
from handful.trainer.training.device import device_of
from handful.trainer.training.interrupt import interrupted
from handful.trainer.training.progress import Bars, Silent
from handful.trainer.training.run import METRICS, read_config, train


@dataclass(frozen=True)
class Done:
    """How a run ended, for what the command says of it."""

    finished: bool  # or interrupted, and saved
    exportable: bool


def train_command(
    recipe: str | None,
    folder: Path,
    *,
    changes: Sequence[str],
    device: str,
    resume: bool,
    threads: int | None,
    report: Bars,
) -> Done:
    """Train by a recipe; `resume` needs none. Draws curves.png at the end."""
    if threads:
        torch.set_num_threads(threads)
    device = str(device_of(device))
    if resume and not recipe and not changes:
        config = read_config(folder)
    else:
        config = read_recipe(recipe or read_config(folder).learner, changes)
    first = os.environ.get("RANK", "0") == "0"  # under torchrun one process speaks for all
    voice = report if first else Silent()
    with interrupted() as stop:
        progress = train(
            config,
            folder,
            device=device,
            resume=resume,
            report=voice,
            stop=stop,
            fetching=voice.fetching,
        )
    if first and (folder / METRICS).exists():
        draw_curves(folder)
    return Done(finished=progress.finished, exportable=not _transductive(config))


def _transductive(config: RunConfig) -> bool:
    """Whether the run's predictions will depend on the other queries, which `export` refuses."""
    network = getattr(config.settings, "network", None)
    return getattr(network, "normalisation", None) == "transductive"
