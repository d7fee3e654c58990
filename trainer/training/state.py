"""One meta-training and where it stands: what a checkpoint holds, written and taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from handful.trainer.episodes import EpisodeSource
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Tensors
from handful.trainer.workers import Workers

from .checkpoint import BEST, LAST, read_checkpoint, write_checkpoint
from .config import MetaConfig
from .distributed import World
from .optimiser import MetaOptimiser


@dataclass
class Progress:
    """Where the run stands: all that a resumed run must know beside the tensors."""

    step: int = 0
    skipped: int = 0
    bad: int = 0  # skipped steps in a row, up to here
    best: float | None = None  # the score of the best validation, of which more is better
    seconds: float = 0.0
    chunk: int = 0
    workers: int = 1
    finished: bool = False


@dataclass
class Run:
    """One meta-training: its learner, its data, its folder, and how it reports."""

    learner: Learner
    params: Tensors
    train: EpisodeSource
    validation: EpisodeSource
    config: MetaConfig
    folder: Path
    section: str = "meta"  # of the settings, or "pretrain"
    facts: dict[str, Any] = field(default_factory=dict)  # written into each checkpoint
    world: World = field(default_factory=World)
    workers: Workers = field(default_factory=Workers)
    report: Callable[[dict[str, Any]], None] = lambda line: None


def save(
    run: Run, optimiser: MetaOptimiser, generator: torch.Generator, progress: Progress
) -> None:
    """Write the last checkpoint: parameters, moments, generator, step."""
    if not run.world.first:
        return
    tensors = {f"params/{name}": t for name, t in run.params.items()}
    tensors |= {f"optimiser/{name}": t for name, t in optimiser.tensors().items()}
    tensors["generator"] = generator.get_state()
    write_checkpoint(run.folder / LAST, tensors, {**run.facts, "progress": vars(progress)})


def save_best(run: Run, progress: Progress, measured: dict[str, float]) -> None:
    """Write the parameters as the best validated ones so far, with what was measured of them."""
    if run.world.first:
        facts = {**run.facts, "step": progress.step, **measured}
        write_checkpoint(run.folder / BEST, run.params, facts)


def restore(run: Run, generator: torch.Generator) -> tuple[Tensors, Progress]:
    """Take parameters and generator from the last checkpoint; give back moments and step."""
    tensors, facts = read_checkpoint(run.folder / LAST)
    device = next(iter(run.params.values())).device if run.params else torch.device("cpu")

    def under(prefix: str) -> Tensors:
        return {
            name.removeprefix(prefix): t.to(device)
            for name, t in tensors.items()
            if name.startswith(prefix)
        }

    run.params = under("params/")
    generator.set_state(tensors["generator"])
    return under("optimiser/"), Progress(**facts["progress"])
