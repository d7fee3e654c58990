"""The accuracy of an exported package over episodes, through this runtime alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful.runtime.arrays import Array, Floats
from handful.runtime.errors import SupportSetError
from handful.runtime.examples import to_batch
from handful.runtime.learner import Learner
from handful.runtime.support import Support, within

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
    per_episode: Array  # [E]

    @property
    def episodes(self) -> int:
        """How many episodes the mean is over."""
        return len(self.per_episode)


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
    features, row = embedded(learner, x, episodes)
    hits = np.empty(len(episodes.support))
    for e in range(len(hits)):
        support_x = features[row[episodes.support[e]]]
        query_x = features[row[episodes.query[e]]]
        logits = _logits(learner, support_x, episodes.support_y[e], query_x)
        hits[e] = (logits.argmax(axis=1) == episodes.query_y[e]).mean()
        if progress:
            progress(e + 1)
    return summary(hits)


def summary(hits: Array) -> Accuracy:
    """Mean and interval of the accuracies of single episodes."""
    error = hits.std(ddof=1) / math.sqrt(len(hits)) if len(hits) > 1 else 0.0
    return Accuracy(float(hits.mean()), float(1.96 * error), hits)


def embedded(learner: Learner, x: Any, episodes: Episodes) -> tuple[Floats, Array]:
    """The embeddings of the examples in use, and for each example its row among them."""
    used = np.unique(np.concatenate([episodes.support.ravel(), episodes.query.ravel()]))
    row = np.full(len(x), -1)
    row[used] = np.arange(len(used))
    engine = learner._engine
    parts: list[Floats] = []
    for at in range(0, len(used), PER_TIME):
        batch, _ = to_batch(x[used[at : at + PER_TIME]], learner.input, "example")
        parts.append(engine.embed(batch))
    return np.concatenate(parts), row


def _logits(learner: Learner, support_x: Floats, classes: Array, query_x: Floats) -> Floats:
    way = int(classes.max()) + 1
    y = np.eye(way, dtype=np.float32)[classes]
    within(Support(support_x, y, tuple(map(str, range(way)))), learner.manifest.limits)
    return learner._engine.predict(learner._engine.adapt(support_x, y), query_x)


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
