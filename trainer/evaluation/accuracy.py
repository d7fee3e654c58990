"""A learner's accuracy over many episodes, in torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.trainer.data.labelled import LabelledSet, require
from handful.trainer.episodes import Episode, Rows, draw_rows, taken
from handful.trainer.errors import ConfigError
from handful.trainer.learners import Learner, Support, Tensors, adapt
from handful.trainer.learners.steps import after_each_step
from handful.trainer.sizes import TaskSize

from .result import Result, earlier_steps, summarise
from .yardsticks import Features, yardsticks

BATCH = 512  # examples embedded at a time


def evaluate(
    learner: Learner,
    params: Tensors,
    data: LabelledSet,
    size: TaskSize,
    *,
    episodes: int,
    seed: int,
    features: Features | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Result:
    """The learner on `episodes` tasks; `data` must be embedded already, where it embeds.

    Every learner and the exported package see the same tasks for the same seed. With `features`,
    which stand in the order of `data`, the result is compared with the yardsticks on them and
    with what the learner reaches after fewer inner steps.
    """
    fits(learner, data, size, where="the set")
    rows = rows_of(data, size, episodes=episodes, seed=seed)
    after = accuracies(
        learner, params, data, size, rows, every_step=features is not None, tick=tick
    )
    on_features = yardsticks(features, size, rows) if features is not None else {}
    against = {**on_features, **earlier_steps(after)}
    return summarise(after[:, -1], size, transductive=learner.transductive, against=against)


def rows_of(data: LabelledSet, size: TaskSize, *, episodes: int, seed: int) -> Rows:
    """The rows of the tasks of this seed: the same for embedded data and for the raw."""
    generator = torch.Generator().manual_seed(seed)
    return draw_rows(data, size, tasks=episodes, generator=generator)


def accuracies(
    learner: Learner,
    params: Tensors,
    data: LabelledSet,
    size: TaskSize,
    rows: Rows,
    *,
    every_step: bool,
    tick: Callable[[], None],
) -> Array:
    """Of each task: [E, 1], or after 0 to n inner steps [E, n + 1]."""
    of_episodes = []
    for e in range(len(rows.support)):
        task = Rows(*(part[e : e + 1] for part in rows))
        episode = Episode(*(t[0] for t in taken(data, size, task)))
        if every_step:
            of_episodes.append(by_step(learner, params, episode))
        else:
            of_episodes.append([accuracy(learner, params, episode)])
        tick()
    return np.array(of_episodes)


def fits(
    learner: Learner, data: LabelledSet, size: TaskSize, *, where: str, prefix: str = ""
) -> None:
    """Refuse tasks that the data cannot fill, or that are too large for the learner.

    `prefix` is what the names of the settings begin with: `meta.`, `meta.validation_`, `--`.
    """
    require(data, size, where=where, prefix=prefix)
    if learner.max_support is not None and size.way * size.shot > learner.max_support:
        raise ConfigError(
            f"{learner.name} takes at most {learner.max_support} examples in all,"
            f" a task of {size.way * size.shot} was asked for",
            hint=f"lower {prefix}way or {prefix}shot",
        )
    if learner.max_way is not None and size.way > learner.max_way:
        raise ConfigError(
            f"{learner.name} has a head of {learner.max_way} classes,"
            f" a task of {size.way} was asked for",
            hint=f"lower {prefix}way, or train with a larger meta.way"
            ' or with learner.head = "shared"',
        )


@torch.no_grad()
def accuracy(learner: Learner, params: Tensors, episode: Episode) -> float:
    """The share of an embedded episode's queries that is right."""
    state = adapt(learner, params, Support(episode.support_x, episode.support_y))
    return _right(learner.predict(params, state, episode.query_x), episode)


@torch.no_grad()
def by_step(learner: Learner, params: Tensors, episode: Episode) -> list[float]:
    """The accuracy after 0, 1, … n inner steps."""
    support = Support(episode.support_x, episode.support_y)
    return [
        _right(learner.predict(params, state, episode.query_x), episode)
        for state in after_each_step(learner, params, support)
    ]


def _right(logits: Tensor, episode: Episode) -> float:
    return float((logits.argmax(dim=-1) == episode.query_y.argmax(dim=-1)).double().mean())


def embed_set(
    learner: Learner, params: Tensors, data: LabelledSet, batch: int = BATCH
) -> LabelledSet:
    """The set with every example embedded once, since `embed` is frozen while adapting."""
    if not learner.has_embed:
        return data
    return data.with_features(in_batches(lambda x: learner.embed(params, x), data, batch))


def features_of(learner: Learner, params: Tensors, data: LabelledSet, sample: Tensor) -> Features:
    """The features of `data` that the yardsticks are computed on, not yet centred by the learner.

    `sample` [R, ...] are some meta-training examples as the learner sees them.
    """

    def features(x: Tensor) -> Tensor:
        return learner.yardstick_features(params, x, sample)

    with torch.no_grad():
        centre = features(sample).mean(dim=0)
    return Features(in_batches(features, data), centre, "the features")


@torch.no_grad()
def in_batches(
    function: Callable[[Tensor], Tensor], data: LabelledSet, batch: int = BATCH
) -> Tensor:
    """The function of all examples as the learner sees them, some at a time."""
    return torch.cat([function(data.as_float(x)) for x in torch.split(data.x, batch)])
