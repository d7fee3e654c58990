"""The meta-gradient of a batch of tasks: one by one, in chunks by `vmap`, or among workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from handful.trainer.episodes import Episode
from handful.trainer.form.learner import Learner, Outcome
from handful.trainer.form.stage import Tensors
from handful.trainer.workers import Workers, blocks

from .config import Batching


def meta_gradient(
    learner: Learner,
    params: Tensors,
    trainable: tuple[str, ...],
    episodes: Episode,
    noise: Mapping[str, Tensor],
    *,
    progress: float,
    chunk: int,
) -> tuple[Tensors, Tensor, Outcome]:
    """Gradient, loss and outcome, each the mean over the T tasks of `episodes`.

    `chunk` tasks go through `vmap` together; 1 means one task at a time without it.
    """
    tasks = episodes.query_y.shape[0]
    leaves = {name: params[name].detach().requires_grad_() for name in trainable}
    with_leaves = {**params, **leaves}
    gradient = {name: torch.zeros_like(params[name]) for name in trainable}
    total = torch.zeros((), device=episodes.query_y.device)
    metrics: Tensors = {}
    buffers: Tensors = {}
    for first in range(0, tasks, chunk):
        part = slice(first, min(first + chunk, tasks))
        losses, outcome = _losses(
            learner,
            with_leaves,
            Episode(*(t[part] for t in episodes)),
            {name: t[part] for name, t in noise.items()},
            progress,
        )
        loss = losses.sum() / tasks
        # a learner with nothing to train has no leaves, and autograd refuses an empty list
        wanted = list(leaves.values())
        slopes = torch.autograd.grad(loss, wanted, materialize_grads=True) if wanted else ()
        for name, g in zip(trainable, slopes, strict=True):
            gradient[name] += g
        total += loss.detach()
        _add(metrics, outcome.metrics, tasks)
        _add(buffers, outcome.buffers, tasks)
    return gradient, total, Outcome(metrics, buffers)


def _losses(
    learner: Learner,
    params: Tensors,
    episodes: Episode,
    noise: Mapping[str, Tensor],
    progress: float,
) -> tuple[Tensor, Outcome]:
    """Losses [T] and outcomes with a leading [T]; one task alone goes without vmap."""

    def one(episode: Episode, noise: Mapping[str, Tensor]) -> tuple[Tensor, Outcome]:
        return learner.meta_loss(params, episode, noise, progress)

    if episodes.query_y.shape[0] > 1:
        losses, outcome = vmap(one)(episodes, dict(noise))
        return losses, outcome
    loss, outcome = one(
        Episode(*(t[0] for t in episodes)), {name: t[0] for name, t in noise.items()}
    )
    return loss[None], Outcome(*({name: t[None] for name, t in d.items()} for d in outcome))


def _add(into: Tensors, values: Tensors, tasks: int) -> None:
    for name, value in values.items():
        into[name] = into.get(name, torch.zeros((), device=value.device)) + (
            value.detach().sum(dim=0) / tasks
        )


def choose_chunk(
    batching: Batching, chunk: int, tasks: int, gradient: Callable[..., object]
) -> int:
    """How many tasks to run together: as asked for, or on `auto` the faster of one and `chunk`.

    `gradient(chunk=…)` computes one meta-gradient; it is timed twice a choice, after a warm-up.
    """
    chunk = min(chunk, tasks)
    if batching == "loop" or chunk == 1:
        return 1
    if batching == "vmap":
        return chunk

    def seconds(size: int) -> float:
        gradient(chunk=size)
        start = time.perf_counter()
        gradient(chunk=size)
        return time.perf_counter() - start

    return min((1, chunk), key=seconds)


Mean = tuple[Tensors, Tensor, Outcome]  # gradient, loss, outcome, each the mean over some tasks
Tasks = tuple[Episode, Tensors]  # some tasks, and the noise of each


@dataclass(frozen=True)
class _ShareGradient:
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
    job = _ShareGradient(learner, params, trainable, progress, chunk)
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
