"""Examples of none of a task's classes: a comparison that rejects, and a threshold that fits them.

Each is put beside the classes as a class of its own, and a query that is most like one of them is
rejected. The threshold is that of the package, raised as far as the examples ask for: by how much
higher than usual their scores lie, and by how many of them the comparison alone lets pass.
docs/confidence.md has the rule with what it was measured to gain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .arrays import Array, Floats
from .confidence import Numbers, Sizes
from .engine import Engine, State
from .errors import SupportSetError
from .support import Support, one_hot

MAX_NEGATIVES = 1000
PRIOR = 2  # negatives that the package's own measurement counts for, chosen on meta-validation
MIDDLE = 0.5  # the rate by which scores are compared: half of other queries lie above it


@dataclass(frozen=True, eq=False)
class Negatives:
    """Embedded examples [M, ...] of none of the classes, and what they say about a task."""

    x: Floats
    state: State | None = field(repr=False)  # of all classes and each example; None: no room
    passed: Numbers = field(repr=False)  # scores of the examples that the others do not reject

    def rejects(self, engine: Engine, query_x: Floats) -> Array:
        """Which of the queries are most like one of the examples, [Q]."""
        if self.state is None:
            return np.zeros(len(query_x), np.bool_)
        logits = engine.predict(self.state, query_x)
        way = logits.shape[1] - len(self.x)
        rejected: Array = logits[:, way:].max(axis=1) > logits[:, :way].max(axis=1)
        return rejected

    def thresholds(self, sizes: Sizes, rate: float, shots: Array) -> Numbers:
        """The thresholds [N] that let pass `rate` of what is like the examples.

        None is lower than the package's for this rate, or higher than its strictest.
        """
        usual = sizes.scores(rate, shots)
        count = len(self.passed)
        share = (count + PRIOR) / (len(self.x) + PRIOR)
        raised = 0.0
        if count:
            middle = float(sizes.scores(MIDDLE, shots).mean())
            raised = max(0.0, float(np.median(self.passed)) - middle) * count / (count + PRIOR)
        asked_for = sizes.scores(min(MIDDLE, rate / share), shots) + raised
        strictest = sizes.scores(sizes.first.thresholds[0].false_accepts, shots)
        return np.clip(asked_for, usual, strictest)


def negatives_of(
    engine: Engine, sizes: Sizes, support: Support, states: tuple[State, ...], x: Floats
) -> Negatives:
    """What the embedded examples x [M, ...] say about the task that has these states."""
    if not 0 < len(x) <= MAX_NEGATIVES:
        raise SupportSetError(f"{len(x)} negatives, wanted 1 to {MAX_NEGATIVES}")
    x.setflags(write=False)
    scores = np.mean([sizes.score(engine.predict(state, x)) for state in states], axis=0)
    state = _beside(engine, support, x)
    if state is None:
        return Negatives(x, None, scores)
    logits = engine.predict(state, x)
    way = len(support.classes)
    others = logits[:, way:].copy()
    np.fill_diagonal(others, -np.inf)  # an example is not compared with itself
    passed = others.max(axis=1) <= logits[:, :way].max(axis=1)
    return Negatives(x, state, scores[passed])


def _beside(engine: Engine, support: Support, x: Floats) -> State | None:
    """The state of a task with each example as a class of its own; None beyond the limits."""
    limits = engine.manifest.limits
    way, count = len(support.classes) + len(x), len(support.x) + len(x)
    too_many = (limits.way.max or way) < way or (limits.support.max or count) < count
    if too_many or limits.shot.min > 1:
        return None
    classes = np.concatenate([support.y.argmax(axis=1), np.arange(way - len(x), way)])
    return engine.adapt(np.concatenate([support.x, x]), one_hot(classes, way))
