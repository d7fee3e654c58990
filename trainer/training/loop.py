"""Meta-training: one loop of straight lines for all learners."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handful.runtime.errors import HandfulError
from handful.runtime.package.files import write_atomic
from handful.trainer.config import MetaConfig
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import Episode, sample
from handful.trainer.evaluation import embed_set, evaluate, fits
from handful.trainer.learners import Learner, Tensors
from handful.trainer.sizes import TaskSize
from handful.trainer.training.checkpoint import (
    BEST,
    LAST,
    read_checkpoint,
    write_checkpoint,
)
from handful.trainer.training.distributed import World
from handful.trainer.training.gradient import choose_chunk, meta_gradient
from handful.trainer.training.optimiser import MetaOptimiser

BAD_STEPS = 3  # non-finite steps in a row that end a run


class TrainingError(HandfulError):
    """Meta-training cannot go on."""


@dataclass
class Progress:
    """Where the run stands: all that a resumed run must know beside the tensors."""

    step: int = 0
    skipped: int = 0
    best: float = -1.0
    since_best: int = 0
    seconds: float = 0.0
    chunk: int = 0
    finished: bool = False


@dataclass
class Run:
    """One meta-training: its learner, its data, its folder, and how it reports."""

    learner: Learner
    params: Tensors
    train: LabelledSet
    validation: LabelledSet
    config: MetaConfig
    folder: Path
    section: str = "meta"  # of the settings, or "pretrain"
    facts: dict[str, Any] = field(default_factory=dict)  # written into each checkpoint
    world: World = field(default_factory=World)
    report: Callable[[dict[str, Any]], None] = lambda line: None


def meta_train(
    run: Run, *, resume: bool = False, stop: Callable[[], bool] = lambda: False
) -> Progress:
    """Sample, loss, step, log, validate, checkpoint; returns early, saved, after `stop()`."""
    config, learner = run.config, run.learner
    _check(run)
    trainable = tuple(name for name in run.params if not learner.frozen(name))
    generator = torch.Generator().manual_seed(config.seed)
    saved, progress = _resume(run, generator) if resume else ({}, Progress())
    run.params = {name: p.detach().clone() for name, p in run.params.items()}  # Adam moves in place
    optimiser = MetaOptimiser({name: run.params[name] for name in trainable}, config)
    optimiser.restore(saved)
    if progress.step == 0:  # the start may be the best there is: it is a candidate as well
        line = {"step": 0, **_validate(run, progress)}
        if run.world.first:
            run.report(line)
    began, bad = time.monotonic() - progress.seconds, 0
    if config.steps == 0:  # nothing to train: the start is the run
        _save(run, optimiser, generator, progress)
    while progress.step < config.steps and not progress.finished:
        episodes = _episodes(run, generator)
        noise = learner.training_noise(episodes, generator)
        mine, own_noise = run.world.share(episodes, noise)
        share = progress.step / config.steps
        gradient = partial(
            meta_gradient, learner, run.params, trainable, mine, own_noise, progress=share
        )
        if not progress.chunk:
            chunk = choose_chunk(config.batching, config.chunk, len(mine.query_y), gradient)
            progress.chunk = run.world.agree(chunk)
        found, loss, outcome = run.world.average(*gradient(chunk=progress.chunk))
        progress.step += 1
        if _finite(loss, found):
            bad = 0
            optimiser.step(found, progress.step)
            run.params = {**run.params, **outcome.buffers}
        else:
            bad, progress.skipped = bad + 1, progress.skipped + 1
            _give_up(learner, progress.step, bad)
        progress.seconds = time.monotonic() - began
        stopping = run.world.any(stop())
        values = {name: float(value) for name, value in outcome.metrics.items()}
        line = {"step": progress.step, "loss": float(loss), **values, "skipped": progress.skipped}
        if progress.step % config.validate_every == 0 or progress.step == config.steps:
            line |= _validate(run, progress)
            _save(run, optimiser, generator, progress)
        line["seconds"] = round(progress.seconds, 3)
        if run.world.first:
            run.report(line)
        if stopping:
            _save(run, optimiser, generator, progress)
            break
    progress.finished = progress.finished or progress.step >= config.steps
    return progress


def _check(run: Run) -> None:
    """Refuse before the first step what would fail at a later one."""
    config, learner = run.config, run.learner
    for way in config.way:
        for shot in config.shot:
            size, section = TaskSize(way, shot, config.queries), run.section
            fits(learner, run.train, size, where="the meta-training set", prefix=f"{section}.")
    fits(
        learner,
        run.validation,
        config.validation_size,
        where="the validation set",
        prefix=f"{run.section}.validation_",
    )


def _episodes(run: Run, generator: torch.Generator) -> Episode:
    """The step's tasks: one way and one shot for all of them, drawn from the lists."""
    way, shot = (
        values[int(torch.randint(len(values), (), generator=generator))]
        for values in (run.config.way, run.config.shot)
    )
    size = TaskSize(way, shot, run.config.queries)
    return sample(run.train, size, tasks=run.config.tasks, generator=generator)


def _finite(loss: Tensor, gradient: Tensors) -> bool:
    return math.isfinite(float(loss + sum(g.sum() * 0 for g in gradient.values())))


def _give_up(learner: Learner, step: int, bad: int) -> None:
    if bad >= BAD_STEPS:
        raise TrainingError(
            f"loss or gradient of {learner.name} not finite, {bad} steps in a row, at step {step}",
            hint=f"{learner.usual_cause}; the last checkpoint is kept",
        )


def _validate(run: Run, progress: Progress) -> dict[str, float]:
    """Accuracy on the validation classes; the best parameters so far are kept in a file."""
    config, learner = run.config, run.learner
    frozen = learner.frozen_embed  # then the set was embedded before the loop began
    data = run.validation if frozen else embed_set(learner, run.params, run.validation)
    result = evaluate(
        learner,
        run.params,
        data,
        config.validation_size,
        episodes=config.validation_episodes,
        seed=config.seed + 1,  # the same tasks at every validation
    )
    progress.since_best += 1
    if result.accuracy > progress.best:
        progress.best, progress.since_best = result.accuracy, 0
        if run.world.first:
            write_checkpoint(
                run.folder / BEST,
                run.params,
                {**run.facts, "step": progress.step, "validation": result.accuracy},
            )
    if config.patience is not None and progress.since_best >= config.patience:
        progress.finished = True
    return {"validation": result.accuracy, "interval": result.interval}


def _save(
    run: Run, optimiser: MetaOptimiser, generator: torch.Generator, progress: Progress
) -> None:
    if not run.world.first:
        return
    tensors = {f"params/{name}": t for name, t in run.params.items()}
    tensors |= {f"optimiser/{name}": t for name, t in optimiser.tensors().items()}
    tensors["generator"] = generator.get_state()
    write_checkpoint(run.folder / LAST, tensors, {**run.facts, "progress": vars(progress)})


def _resume(run: Run, generator: torch.Generator) -> tuple[Tensors, Progress]:
    """Take parameters and generator from the last checkpoint; give back moments and step."""
    tensors, facts = read_checkpoint(run.folder / LAST)
    device = run.train.x.device

    def under(prefix: str) -> Tensors:
        return {
            name.removeprefix(prefix): t.to(device)
            for name, t in tensors.items()
            if name.startswith(prefix)
        }

    run.params = under("params/")
    generator.set_state(tensors["generator"])
    return under("optimiser/"), Progress(**facts["progress"])


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of steps that a killed run took after its last checkpoint."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(f"{line}\n" for line in kept).encode())


def log_line(path: Path) -> Callable[[dict[str, Any]], None]:
    """Append each line of progress to a JSON-lines file."""

    def write(line: dict[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    return write
