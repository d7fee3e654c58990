"""What the phases of one call of `train` share: settings, folder, data, processes, reports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from handful.trainer.config import RunConfig
from handful.trainer.learners import Tensors
from handful.trainer.workers import ALONE, Shape, Workers

from .checkpoint import LAST, read_checkpoint
from .data import RunData
from .distributed import World
from .events import Events
from .log import METRICS, forget_after, log_line
from .loop import meta_train
from .report import Reporter, Silent
from .state import Progress, Run
from .table import Table


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out; none of these options changes what is learnt."""

    device: str = "cpu"
    shape: Shape = ALONE  # how many processes on this machine share the work
    resume: bool = False
    data: str | None = None  # where the data of a resumed run are now
    pretrained: Path | None = None  # a new run takes its pre-training from there
    skip_bad: bool = False  # leave out files that cannot be read
    tensorboard: bool = False  # write its event files
    report: Reporter = field(default_factory=Silent)
    stop: Callable[[], bool] = lambda: False  # whether to save and end after this step


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of `train`, its data read and its folder claimed."""

    config: RunConfig
    folder: Path
    options: Options
    data: RunData
    device: torch.device
    world: World
    workers: Workers

    def on_device(self, params: Tensors) -> Tensors:
        """The parameters where the run computes."""
        return {name: value.to(self.device) for name, value in params.items()}

    def phase(self, run: Run, name: str, *, resume: bool) -> Progress:
        """One meta-training with its log and its bar."""
        metrics = run.folder / METRICS
        before = read_checkpoint(run.folder / LAST)[1]["progress"] if resume else {}
        steps_taken = before.get("step", 0)
        count = min(self.workers.size, run.config.tasks)
        earlier = before["workers"] if before else count
        if earlier != count and not before["finished"]:
            self.options.report.say(
                f"{run.folder} was trained by {earlier} {_workers(earlier)} so far, now by {count}:"
                " the results are the same to within rounding, not bit for bit"
            )
        if self.world.first:
            forget_after(metrics, steps_taken if resume else -1)
        show = self.options.report.phase(name, run.config.steps, steps_taken)
        with ExitStack() as entered:
            if self.world.first:  # the others report nothing
                log, table = log_line(metrics), Table(run.folder)
                to_all = [log, table.append, show]
                if self.options.tensorboard:
                    events = Events(run.folder, steps_taken if resume else -1)
                    entered.callback(events.close)
                    to_all.append(events.append)

                def report(line: dict[str, Any]) -> None:
                    for receive in to_all:
                        receive(line)

                run.report = report
            if count > 1:  # one task cannot be shared: then this process has all threads
                entered.enter_context(self.workers.together())
            return meta_train(run, resume=resume, stop=self.options.stop)


def _workers(count: int) -> str:
    return "worker" if count == 1 else "workers"
