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
from handful.runtime.package.manifest import MEASURES, Comparison, TaskName
from handful.runtime.support import Support, check_limits, gather

NORMAL_95 = 1.96  # standard errors on either side of a mean of many values
# Student's of few: t with 1, 2, … 30 degrees of freedom, beyond which it is the normal one's
STUDENT_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
PER_TIME = 256  # examples converted at a time: the whole set may be large, as uint8


@dataclass(frozen=True)
class Episodes:
    """Tasks as rows of indices into one array of examples; each task has the same sizes.

    Where a package names its classes a support index may be −1: no example at all.
    """

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
    check(episodes, len(x), named=bool(learner.classes))
    used = np.unique(np.concatenate([episodes.support.ravel(), episodes.query.ravel()]))
    used = used[used >= 0]
    row = np.full(len(x) + 1, -1)  # the last is that of −1
    row[used] = np.arange(len(used))
    among_used = replace(episodes, support=row[episodes.support], query=row[episodes.query])
    return evaluate_embedded(learner, embed(learner, x[used]), among_used, progress=progress)


def check(episodes: Episodes, examples: int, *, named: bool = False) -> None:
    """Refuse index arrays that do not fit each other or the examples."""
    parts = (episodes.support, episodes.support_y, episodes.query, episodes.query_y)
    shapes = [list(part.shape) for part in parts]
    if shapes[0] != shapes[1] or shapes[2] != shapes[3] or shapes[0][:1] != shapes[2][:1]:
        raise SupportSetError(f"episodes have shapes {shapes}, wanted [E, S] twice, [E, Q] twice")
    wrong = any(part.ndim != 2 or part.dtype.kind not in "iu" for part in parts)
    if wrong or not (episodes.query.size and (named or episodes.support.size)):
        raise SupportSetError("episodes are not four arrays of integers with two axes")
    for part, least in ((episodes.support, -1 if named else 0), (episodes.query, 0)):
        if part.size and (part.min() < least or part.max() >= examples):
            raise SupportSetError(
                f"episodes have indices from {part.min()} to {part.max()}, "
                f"wanted {least} to {examples - 1}"
            )


def evaluate_embedded(
    learner: Learner,
    h: Floats,
    episodes: Episodes,
    *,
    every_step: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Accuracy:
    """As `evaluate`, of examples that `embed` has embedded; `every_step`: also after fewer."""
    check(episodes, len(h), named=bool(learner.classes))
    after = []
    for e in range(len(episodes.support)):
        support = _support(learner, h, episodes, e)
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


def _support(learner: Learner, h: Floats, episodes: Episodes, e: int) -> Support:
    """The support set of episode `e`, check_limits the package's limits."""
    rows, classes = episodes.support[e], episodes.support_y[e]
    named = len(learner.classes)
    if named:
        rows, classes = rows[rows >= 0], classes[rows >= 0]
    way = named or int(classes.max()) + 1
    y = np.eye(way, dtype=np.float32)[classes]
    support = Support(h[rows], y, tuple(map(str, range(way))), named)
    check_limits(support, learner.manifest.limits)
    return support


def _states(learner: Learner, support: Support, every_step: bool) -> Iterable[State]:
    if every_step:
        return learner._engine.after_each_step(support.x, support.y)
    return (learner._engine.adapt(support.x, support.y),)


class Mean(NamedTuple):
    """A mean over episodes; `interval` is the half width of its 95 % confidence interval."""

    value: float
    interval: float


def mean_of(per_episode: Array) -> Mean:
    """The mean of values [E] ± 1.96 standard errors; one value alone has the interval 0.

    Of up to 31 values, as of persons, Student's t takes the place of 1.96.
    """
    values = np.asarray(per_episode, np.float64)
    if len(values) < 2:
        return Mean(float(values.mean()), 0.0)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    freedom = len(values) - 1
    wide = STUDENT_95[freedom - 1] if freedom <= len(STUDENT_95) else NORMAL_95
    return Mean(float(values.mean()), wide * error)


def embed(learner: Learner, x: Any) -> Floats:
    """The embeddings of all examples x [M, ...], as the stages read them."""
    parts: list[Floats] = []
    for at in range(0, len(x), PER_TIME):
        batch, _ = to_batch(x[at : at + PER_TIME], learner.input, "example")
        parts.append(learner._engine.embed(batch))
    return np.concatenate(parts)


def compare(
    name: str, values: Array, others: Array, *, task: TaskName = "classification"
) -> Comparison:
    """How far `values` [E] are ahead of `others` [E], which were measured on the same episodes.

    They are what is measured of this kind of task: of squared errors fewer are better. The interval
    is that of the differences: episodes that are hard for both do not widen it.
    """
    ahead = np.asarray(values, np.float64) - np.asarray(others, np.float64)
    difference = mean_of(-ahead if task == "regression" else ahead)
    widest = 1.0 if task == "classification" else math.inf
    return Comparison(
        name=name,
        **{MEASURES[task]: mean_of(others).value},
        difference=difference.value,
        interval=min(difference.interval, widest),
    )


def logits_embedded(learner: Learner, h: Floats, episodes: Episodes) -> Floats:
    """What each episode's task answers its queries, [E, Q, N], of embedded examples h [M, ...]."""
    check(episodes, len(h), named=bool(learner.classes))
    answers = []
    for e in range(len(episodes.support)):
        support = _support(learner, h, episodes, e)
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
