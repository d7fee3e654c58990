"""The meta-training loop, the same for all learners: sample, loss, step, log, validate, checkpoint.

`Call` holds what the phases of one call of `train` share: settings, folder, data, processes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handful.runtime.errors import HandfulError
from handful.trainer.episodes import Episode, TaskSize
from handful.trainer.evaluation import check_fits, embed_set, evaluate
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Tensors
from handful.trainer.workers import ALONE, Shape, Workers

from .checkpoint import LAST, read_checkpoint
from .config import RunConfig
from .data import RunData
from .distributed import World
from .gradient import choose_chunk, shared_gradient
from .log import METRICS, VALIDATIONS, Events, Table, forget_after, log_line
from .optimiser import MetaOptimiser
from .progress import Reporter, Silent
from .state import Progress, Run, restore, save, save_best

BAD_STEPS = 3  # non-finite steps in a row that end a run
CHECKPOINT_SECONDS = 60.0  # at most, between two checkpoints


class TrainingError(HandfulError):
    """Meta-training cannot go on."""


def meta_train(
    run: Run, *, resume: bool = False, stop: Callable[[], bool] = lambda: False
) -> Progress:
    """Sample, loss, step, log, validate, checkpoint; returns early, saved, after `stop()`.

    The last checkpoint is written at each validation, after the first step, and whenever
    CHECKPOINT_SECONDS have passed: a resumed run is the same from any of them.
    """
    config, learner = run.config, run.learner
    _check(run)
    trainable = tuple(name for name in run.params if not learner.is_frozen(name))
    generator = torch.Generator().manual_seed(config.seed)
    moments, progress = restore(run, generator) if resume else ({}, Progress())
    run.params = {name: p.detach().clone() for name, p in run.params.items()}  # Adam moves in place
    optimiser = MetaOptimiser(
        {name: run.params[name] for name in trainable}, config, learner.rate_of
    )
    optimiser.restore(moments)
    workers = run.workers
    workers.hold(p for name, p in run.params.items() if learner.is_frozen(name))
    progress.workers = min(workers.size, config.tasks)
    if progress.step == 0:  # the initial parameters may turn out to be the best
        line = {"step": 0, **_validate(run, progress)}
        if run.world.first:
            run.report(line)
    began = time.monotonic() - progress.seconds
    saved = -math.inf  # when the last checkpoint was written: the first one is soon
    if config.steps == 0:  # nothing to train: the start is the run
        progress.finished = True
        save(run, optimiser, generator, progress)
    while progress.step < config.steps and not progress.finished:
        episodes = _episodes(run, generator)
        noise = learner.training_noise(episodes, generator)
        tasks = run.world.share(episodes, noise)
        gradient = partial(
            shared_gradient,
            workers,
            learner,
            run.params,
            trainable,
            *tasks,
            progress=progress.step / config.steps,
        )
        count = len(tasks[0].query_y)
        if not progress.chunk:
            largest = -(-count // workers.size)  # of the workers' shares
            chunk = choose_chunk(config.batching, config.chunk, largest, gradient)
            progress.chunk = run.world.agree(chunk)
        meta_grad, loss, outcome = run.world.average(
            *gradient(chunk=progress.chunk), share=count / config.tasks
        )
        progress.step += 1
        if _finite(loss, meta_grad):
            progress.bad = 0
            optimiser.step(meta_grad, progress.step)
            run.params = {**run.params, **outcome.buffers}
        else:
            progress.bad, progress.skipped = progress.bad + 1, progress.skipped + 1
            _give_up(learner, progress)
        progress.seconds = time.monotonic() - began
        stopping = run.world.any(stop() or workers.dead is not None)
        values = {name: float(value) for name, value in outcome.metrics.items()}
        line = {"step": progress.step, "loss": float(loss), **values, "skipped": progress.skipped}
        validating = progress.step % config.validate_every == 0 or progress.step == config.steps
        if validating:
            line |= _validate(run, progress)
        progress.finished = progress.step == config.steps
        line["seconds"] = round(progress.seconds, 3)
        if run.world.first:
            run.report(line)
        checkpoint_due = time.monotonic() - saved >= CHECKPOINT_SECONDS
        if validating or stopping or checkpoint_due:
            save(run, optimiser, generator, progress)
            saved = time.monotonic()
        if stopping:
            break
    if not progress.finished:
        workers.check("the run is saved, and --resume goes on with it")
    return progress


def _check(run: Run) -> None:
    """Refuse before the first step what would fail at a later one."""
    config, learner = run.config, run.learner
    for way in config.way:
        for shot in config.shot:
            size, section = run.train.size(way, shot, config.queries), run.section
            check_fits(
                learner, run.train, size, where="the meta-training set", prefix=f"{section}."
            )
    check_fits(
        learner,
        run.validation,
        _validation_size(run),
        where="the validation set",
        prefix=f"{run.section}.validation_",
    )


def _episodes(run: Run, generator: torch.Generator) -> Episode:
    """The step's tasks: one way and one shot for all of them, drawn from the lists."""
    way, shot = (
        values[int(torch.randint(len(values), (), generator=generator))]
        for values in (run.config.way, run.config.shot)
    )
    size = run.train.size(way, shot, run.config.queries)
    source = run.train.played_by(run.learner, run.params, rounds=run.config.rounds)
    return source.episodes(size, tasks=run.config.tasks, generator=generator)


def _validation_size(run: Run) -> TaskSize:
    asked = run.config.validation_size
    return run.validation.size(asked.way, asked.shot, asked.queries)


def _finite(loss: Tensor, gradient: Tensors) -> bool:
    return math.isfinite(float(loss + sum(g.sum() * 0 for g in gradient.values())))


def _give_up(learner: Learner, progress: Progress) -> None:
    if progress.bad >= BAD_STEPS:
        raise TrainingError(
            f"loss or gradient of {learner.name} not finite, {progress.bad} steps in a row,"
            f" at step {progress.step}",
            hint=f"{learner.usual_cause}; the last checkpoint is kept",
        )


def _validate(run: Run, progress: Progress) -> dict[str, float]:
    """The measure on the validation tasks; the best parameters so far are kept in a file."""
    config, learner = run.config, run.learner
    data = run.validation
    if not learner.embeds_ahead:  # of the loop, else
        data = embed_set(learner, run.params, data, run.workers)
    result = evaluate(
        learner,
        run.params,
        data,
        _validation_size(run),
        episodes=config.validation_episodes,
        seed=config.seed + 1,  # the same tasks at every validation
        workers=run.workers,
    )
    measured = {VALIDATIONS[learner.task.measure]: result.value}
    if progress.best is None or result.score >= progress.best:
        progress.best = result.score
        save_best(run, progress, measured)  # of equals the latest: it may be the better calibrated
    return {**measured, "interval": result.interval}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out; none of these options changes what is learnt."""

    device: str = "cpu"
    shape: Shape = ALONE  # how many processes on this machine share the work
    resume: bool = False
    data: str | None = None  # where the data of a resumed run are now
    pretrained: Path | None = None  # a new run takes its pre-training from there
    skip_bad: bool = False  # leave out files that cannot be read
    skip_small: bool = False  # leave out classes that are too small for the tasks asked for
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
