"""What the phases of one call of `train` share: settings, folder, data, processes, reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from handful.trainer.config import RunConfig
from handful.trainer.learners import Tensors

from .checkpoint import LAST, read_checkpoint
from .data import RunData
from .distributed import World
from .log import METRICS, forget_after, log_line
from .loop import meta_train
from .report import Reporter, Silent
from .state import Progress, Run


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out; none of these options changes what is learnt."""

    device: str = "cpu"
    resume: bool = False
    data: str | None = None  # where the data of a resumed run are now
    skip_bad: bool = False  # leave out files that cannot be read
    report: Reporter = field(default_factory=Silent)
    stop: Callable[[], bool] = lambda: False  # whether to save and end after this step


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call of `train`, its data read and its folder claimed."""

    config: RunConfig
    folder: Path
    options: Options
    data: RunData
    device: torch.device
    world: World

    def on_device(self, params: Tensors) -> Tensors:
        """The parameters where the run computes."""
        return {name: value.to(self.device) for name, value in params.items()}

    def phase(self, run: Run, name: str, *, resume: bool) -> Progress:
        """One meta-training with its log and its bar."""
        metrics = run.folder / METRICS
        steps_taken = read_checkpoint(run.folder / LAST)[1]["progress"]["step"] if resume else 0
        if self.world.first:
            forget_after(metrics, steps_taken if resume else -1)
        show = self.options.report.phase(name, run.config.steps, steps_taken)
        log = log_line(metrics)

        def both(line: dict[str, Any]) -> None:
            log(line)
            show(line)

        run.report = both
        return meta_train(run, resume=resume, stop=self.options.stop)
