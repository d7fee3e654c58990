"""Accuracy of a learner over many episodes, with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from handful.trainer.data.labelled import LabelledSet, require
from handful.trainer.episodes import Episode, sample
from handful.trainer.errors import ConfigError
from handful.trainer.learners import Learner, Support, Tensors, adapt


@dataclass(frozen=True, kw_only=True)
class Result:
    """Mean accuracy over episodes; `interval` is the half width of the 95 % confidence interval."""

    way: int
    shot: int
    queries: int
    episodes: int
    accuracy: float
    interval: float
    transductive: bool = False


def evaluate(
    learner: Learner,
    params: Tensors,
    data: LabelledSet,
    *,
    way: int,
    shot: int,
    queries: int,
    episodes: int,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> Result:
    """The learner on `episodes` tasks; `data` must be embedded already, where it embeds.

    Every learner and the exported package see the same tasks for the same seed.
    """
    fits(learner, data, way=way, shot=shot, queries=queries, where="the set")
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(episodes):
        batch = sample(data, tasks=1, way=way, shot=shot, queries=queries, generator=generator)
        episode = Episode(*(t[0] for t in batch))
        found.append(accuracy(learner, params, episode))
        tick()
    return summarise(found, way=way, shot=shot, queries=queries, transductive=learner.transductive)


def fits(
    learner: Learner,
    data: LabelledSet,
    *,
    way: int,
    shot: int,
    queries: int,
    where: str,
    prefix: str = "",
) -> None:
    """Refuse tasks that the data cannot fill, or that are too large for the learner.

    `prefix` is what the names of the settings begin with: `meta.`, `meta.validation_`, `--`.
    """
    require(data, way=way, shot=shot, queries=queries, where=where, prefix=prefix)
    _support_fits(learner, way * shot, prefix)
    if learner.max_way is not None and way > learner.max_way:
        raise ConfigError(
            f"{learner.name} has a head of {learner.max_way} classes,"
            f" a task of {way} was asked for",
            hint=f"lower {prefix}way, or train with a larger meta.way"
            ' or with learner.head = "shared"',
        )


def _support_fits(learner: Learner, examples: int, prefix: str) -> None:
    if learner.max_support is not None and examples > learner.max_support:
        raise ConfigError(
            f"{learner.name} takes at most {learner.max_support} examples in all,"
            f" a task of {examples} was asked for",
            hint=f"lower {prefix}way or {prefix}shot",
        )


@torch.no_grad()
def accuracy(learner: Learner, params: Tensors, episode: Episode) -> float:
    """The share of an embedded episode's queries that is right."""
    state = adapt(learner, params, Support(episode.support_x, episode.support_y))
    logits = learner.predict(params, state, episode.query_x)
    return float((logits.argmax(dim=-1) == episode.query_y.argmax(dim=-1)).double().mean())


def summarise(
    found: list[float], *, way: int, shot: int, queries: int, transductive: bool
) -> Result:
    """Mean and 1.96 standard errors."""
    values = torch.tensor(found, dtype=torch.float64)
    spread = float(values.std()) if len(found) > 1 else 0.0
    return Result(
        way=way,
        shot=shot,
        queries=queries,
        episodes=len(found),
        accuracy=float(values.mean()),
        interval=1.96 * spread / math.sqrt(len(found)),
        transductive=transductive,
    )


@torch.no_grad()
def embed_set(
    learner: Learner, params: Tensors, data: LabelledSet, batch: int = 512
) -> LabelledSet:
    """The set with every example embedded once, since `embed` is frozen while adapting."""
    if not learner.has_embed:
        return data
    parts = [learner.embed(params, data.as_float(x)) for x in torch.split(data.x, batch)]
    return data.with_features(torch.cat(parts))
