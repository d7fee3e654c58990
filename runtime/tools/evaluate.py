"""The accuracy of an exported package over episodes, through this runtime alone.

A mean has its 95 % interval, and a difference is paired: of the same episodes, with its own.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from handful.runtime.arrays import Array, Floats
from handful.runtime.engine import State
from handful.runtime.errors import SupportSetError
from handful.runtime.inputs.examples import to_batch
from handful.runtime.learner import Learner
from handful.runtime.package.manifest import Comparison
from handful.runtime.support import Support, check_limits, gather

NORMAL_95 = 1.96  # standard errors on either side of a mean


class Mean(NamedTuple):
    """A mean over episodes; `interval` is the half width of its 95 % confidence interval."""

    value: float
    interval: float


def mean_of(per_episode: Array) -> Mean:
    """The mean of values [E] ± 1.96 standard errors; one value alone has the interval 0."""
    values = np.asarray(per_episode, np.float64)
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Mean(float(values.mean()), NORMAL_95 * error)


def compare(name: str, values: Array, others: Array, *, error: bool = False) -> Comparison:
    """How far `values` [E] are ahead of `others` [E], which were measured on the same episodes.

    They are accuracies or, with `error`, squared errors, of which fewer are better. The interval is
    that of the differences: episodes that are hard for both do not widen it.
    """
    ahead = np.asarray(values, np.float64) - np.asarray(others, np.float64)
    difference = mean_of(-ahead if error else ahead)
    other = mean_of(others).value
    return Comparison(
        name=name,
        accuracy=None if error else other,
        mean_squared_error=other if error else None,
        difference=difference.value,
        interval=difference.interval,
    )


PER_TIME = 256  # examples converted at a time: the whole set may be large, as uint8


@dataclass(frozen=True)
class Episodes:
    """Tasks as rows of indices into one array of examples; each task has the same sizes."""

    support: Array  # [E, S] indices
    support_y: Array  # [E, S] classes, 0 to N − 1
    query: Array  # [E, Q] indices
    query_y: Array  # [E, Q] classes


@dataclass(frozen=True)
class Accuracy:
    """The mean over episodes ± 1.96 standard errors."""

    accuracy: float
    interval: float
    by_step: Array  # [E, n + 1] after 0 to n inner steps; [E, 1] after all, unless asked for

    @property
    def per_episode(self) -> Array:
        """The accuracy of each episode, [E]."""
        last: Array = self.by_step[:, -1]
        return last

    @property
    def episodes(self) -> int:
        """How many episodes the mean is over."""
        return len(self.by_step)


def evaluate(
    learner: Learner,
    x: Any,
    episodes: Episodes,
    *,
    progress: Callable[[int], None] | None = None,
) -> Accuracy:
    """Adapt and predict on every episode; `x` [M, ...] holds the examples, as `adapt` takes them.

    Each example is embedded once. `progress` is told after each episode how many are done.
    """
    check(episodes, len(x))
    used = np.unique(np.concatenate([episodes.support.ravel(), episodes.query.ravel()]))
    row = np.full(len(x), -1)
    row[used] = np.arange(len(used))
    among_used = replace(episodes, support=row[episodes.support], query=row[episodes.query])
    return evaluate_embedded(learner, embed(learner, x[used]), among_used, progress=progress)


def evaluate_embedded(
    learner: Learner,
    h: Floats,
    episodes: Episodes,
    *,
    every_step: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Accuracy:
    """As `evaluate`, of examples that `embed` has embedded; `every_step`: also after fewer."""
    check(episodes, len(h))
    after = []
    for e in range(len(episodes.support)):
        support = _support(h[episodes.support[e]], episodes.support_y[e])
        check_limits(support, learner.manifest.limits)
        query_x, query_y = h[episodes.query[e]], episodes.query_y[e]
        after.append(
            [
                (learner._engine.predict(state, query_x).argmax(axis=1) == query_y).mean()
                for state in _states(learner, support, every_step)
            ]
        )
        if progress:
            progress(e + 1)
    by_step = np.array(after)
    mean = mean_of(by_step[:, -1])
    return Accuracy(mean.value, mean.interval, by_step)


def logits_embedded(learner: Learner, h: Floats, episodes: Episodes) -> Floats:
    """What each episode's task answers its queries, [E, Q, N], of embedded examples h [M, ...]."""
    check(episodes, len(h))
    answers = []
    for e in range(len(episodes.support)):
        support = _support(h[episodes.support[e]], episodes.support_y[e])
        check_limits(support, learner.manifest.limits)
        state = learner._engine.adapt(support.x, support.y)
        answers.append(learner._engine.predict(state, h[episodes.query[e]]))
    return np.stack(answers)


def outputs_by_step(
    learner: Learner, support_x: Any, support_y: Any, query_x: Any, *, every_step: bool = False
) -> Floats:
    """A regression's answers [1, Q, O] after all inner steps, or after 0 to n of them [n + 1, …].

    `support_x` [S, ...] and `query_x` [Q, ...] are examples as `adapt` takes them, `support_y`
    [S, O] their targets.
    """
    support = gather(learner._engine, support_x, support_y)
    check_limits(support, learner.manifest.limits)
    query = embed(learner, query_x)
    states = _states(learner, support, every_step)
    return np.stack([learner._engine.predict(state, query) for state in states])


def embed(learner: Learner, x: Any) -> Floats:
    """The embeddings of all examples x [M, ...], as the stages read them."""
    parts: list[Floats] = []
    for at in range(0, len(x), PER_TIME):
        batch, _ = to_batch(x[at : at + PER_TIME], learner.input, "example")
        parts.append(learner._engine.embed(batch))
    return np.concatenate(parts)


def _support(x: Floats, classes: Array) -> Support:
    way = int(classes.max()) + 1
    return Support(x, np.eye(way, dtype=np.float32)[classes], tuple(map(str, range(way))))


def _states(learner: Learner, support: Support, every_step: bool) -> Iterable[State]:
    if every_step:
        return learner._engine.after_each_step(support.x, support.y)
    return (learner._engine.adapt(support.x, support.y),)


def check(episodes: Episodes, examples: int) -> None:
    """Refuse index arrays that do not fit each other or the examples."""
    parts = (episodes.support, episodes.support_y, episodes.query, episodes.query_y)
    shapes = [list(part.shape) for part in parts]
    if shapes[0] != shapes[1] or shapes[2] != shapes[3] or shapes[0][:1] != shapes[2][:1]:
        raise SupportSetError(f"episodes have shapes {shapes}, wanted [E, S] twice, [E, Q] twice")
    if any(part.ndim != 2 or part.dtype.kind not in "iu" or not part.size for part in parts):
        raise SupportSetError("episodes are not four arrays of integers with two axes")
    for part in (episodes.support, episodes.query):
        if part.min() < 0 or part.max() >= examples:
            raise SupportSetError(
                f"episodes have indices from {part.min()} to {part.max()}, "
                f"wanted 0 to {examples - 1}"
            )
