"""The meta-gradient of a step's tasks, shared among the worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from handful.trainer.episodes import Episode
from handful.trainer.learners import Learner, Outcome, Tensors
from handful.trainer.workers import Workers, blocks

from .gradient import meta_gradient

Mean = tuple[Tensors, Tensor, Outcome]  # gradient, loss, outcome, each the mean over some tasks
Tasks = tuple[Episode, Tensors]  # some tasks, and the noise of each


@dataclass(frozen=True)
class _Job:
    """The meta-gradient of some of the tasks, as a worker is sent it."""

    learner: Learner
    params: Tensors
    trainable: tuple[str, ...]
    progress: float
    chunk: int

    def __call__(self, tasks: Tasks) -> Mean:
        return meta_gradient(
            self.learner,
            self.params,
            self.trainable,
            *tasks,
            progress=self.progress,
            chunk=self.chunk,
        )


def shared_gradient(
    workers: Workers,
    learner: Learner,
    params: Tensors,
    trainable: tuple[str, ...],
    episodes: Episode,
    noise: Tensors,
    *,
    progress: float,
    chunk: int,
) -> Mean:
    """What `meta_gradient` gives, but for rounding, computed by as many workers as have a task."""
    job = _Job(learner, params, trainable, progress, chunk)
    tasks = len(episodes.query_y)
    parts = blocks(tasks, workers.size)
    if len(parts) == 1:
        return job((episodes, noise))
    means = workers.map(job, (some_tasks(episodes, noise, part) for part in parts))
    return mean_of(means, [(part.stop - part.start) / tasks for part in parts])


def some_tasks(episodes: Episode, noise: Tensors, part: slice) -> Tasks:
    """Those tasks of a step, with their noise."""
    return Episode(*(t[part] for t in episodes)), {name: t[part] for name, t in noise.items()}


def mean_of(means: Sequence[Mean], shares: Sequence[float]) -> Mean:
    """The mean over all tasks, of means over parts of them; `shares` of the whole each."""

    def mean(values: Sequence[Tensor]) -> Tensor:
        return torch.stack([share * t for share, t in zip(shares, values, strict=True)]).sum(dim=0)

    def by_name(values: Sequence[Tensors]) -> Tensors:
        return {name: mean([tensors[name] for tensors in values]) for name in values[0]}

    gradients, losses, outcomes = zip(*means, strict=True)
    metrics, buffers = zip(*outcomes, strict=True)
    return by_name(gradients), mean(losses), Outcome(by_name(metrics), by_name(buffers))
