"""Examples of none of a task's classes: a comparison that rejects, and a threshold that fits them.

Each is put beside the classes as a class of its own, and a query that is most like one of them is
rejected. The threshold is that of the package, raised as far as the examples ask for: by how much
higher than usual their scores lie, and by how many of them the comparison alone lets pass. A
package that has none gets one from the examples, and from the task's own left out one by one.
docs/confidence.md has both rules with what they were measured to gain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .arrays import Array, Floats
from .confidence import Numbers, Sizes, check_rate, score
from .engine import Engine, State
from .errors import SupportSetError
from .progress import UNTOLD, Meter
from .support import Support, one_hot

MAX_NEGATIVES = 1000
LEAST = 5  # negatives that make thresholds where the package has none
PRIOR = 2  # negatives that the package's own measurement counts for, chosen on meta-validation
MIDDLE = 0.5  # the rate by which scores are compared: half of other queries lie above it
GROUP = 100  # negatives beside the classes at a time: memory grows with them
PIECE = 64  # queries answered at a time, for the same reason
LEFT_OUT = 50  # examples of the task that are left out one by one; of more, those at even steps
RATES = (0.01, 0.5)  # of false accepts: the thresholds that negatives alone give
WEIGHTS = (0.0, 0.5, 1.0)  # of the mean of the other logits in a score, of which one is chosen


class Spread(NamedTuple):
    """Where the scores of what is none of the classes lie, by the negatives and the support set."""

    weight: float  # of the mean of the other logits
    mean: float
    deviation: float


@dataclass(frozen=True, eq=False)
class Negatives:
    """Embedded examples [M, ...] of none of the classes, and what they say about a task.

    What they say is computed when it is first asked for, so that reading a saved task is cheap.
    """

    x: Floats
    _engine: Engine = field(repr=False)
    _support: Support = field(repr=False)
    _states: tuple[State, ...] = field(repr=False)  # of the task
    # of what `prepare` computes; it expects the examples that are left out already
    _meter: Meter = field(default=UNTOLD, repr=False)

    def __post_init__(self) -> None:
        """SupportSetError where there are too few or too many."""
        measured = bool(self._engine.manifest.confidence)
        least = 1 if measured else LEAST
        if not least <= len(self.x) <= MAX_NEGATIVES:
            raise SupportSetError(
                f"{len(self.x)} negatives, wanted {least} to {MAX_NEGATIVES}",
                hint=None if measured else "the package has no thresholds, they are made of these",
            )
        self.x.setflags(write=False)

    def rejects(self, query_x: Floats) -> Array:
        """Which of the queries are most like one of the examples, [Q]."""
        rejected = np.zeros(len(query_x), np.bool_)
        way = len(self._support.classes)
        for state, _ in self.beside:
            for part in _pieces(len(query_x)):
                logits = self._engine.predict(state, query_x[part])
                rejected[part] |= logits[:, way:].max(axis=1) > logits[:, :way].max(axis=1)
        return rejected

    def thresholds(self, sizes: Sizes, rate: float, shots: Array) -> Numbers:
        """The thresholds [N] that let pass `rate` of what is like the examples.

        None is lower than the package's for this rate, or higher than its strictest.
        """
        usual = sizes.scores(rate, shots)
        passed = np.mean([sizes.score(logits) for logits in self.logits], axis=0)[self.passes]
        count = len(passed)
        share = (count + PRIOR) / (len(self.x) + PRIOR)
        raised = 0.0
        if count:
            middle = float(sizes.scores(MIDDLE, shots).mean())
            raised = max(0.0, float(np.median(passed)) - middle) * count / (count + PRIOR)
        asked_for = sizes.scores(min(MIDDLE, rate / share), shots) + raised
        strictest = sizes.scores(sizes.first.thresholds[0].false_accepts, shots)
        return np.clip(asked_for, usual, strictest)

    def own_threshold(self, rate: object) -> tuple[float, float]:
        """The weight of a score and the threshold of `rate` where the package has none.

        The threshold is the mean of the negatives' scores, and so many deviations as Student's t
        of 4 degrees of freedom has at the rate.
        """
        name = f"a task of package {self._engine.manifest.name} with negatives"
        tail = student(check_rate(rate, RATES, "unknown", name))
        spread = self.spread
        return (
            spread.weight,
            spread.mean + tail * math.sqrt(1 + 1 / len(self.x)) * spread.deviation,
        )

    def prepare(self) -> Negatives:
        """The same, with everything computed that an answer needs."""
        self._meter.expect(len(self._groups) * self._engine.adapting_runs)
        if self._engine.manifest.confidence:
            self.passes, self.logits  # noqa: B018
        else:
            self.beside, self.spread  # noqa: B018
        object.__setattr__(self, "_meter", UNTOLD)  # whoever was told is not held on to
        return self

    @cached_property
    def logits(self) -> tuple[Floats, ...]:
        """What the task answers for the examples, [M, N] of each of its states."""
        return tuple(_predict(self._engine, state, self.x) for state in self._states)

    @cached_property
    def beside(self) -> tuple[tuple[State, slice], ...]:
        """States of the task with groups of the examples, each as a class of its own.

        Groups are as large as the package's limits allow; () where they have no room for one.
        """
        support, way, states = self._support, len(self._support.classes), []
        for group in self._groups:
            x = self.x[group]
            classes = np.concatenate([support.y.argmax(axis=1), np.arange(way, way + len(x))])
            y = one_hot(classes, way + len(x))
            state = self._engine.adapt(np.concatenate([support.x, x]), y, meter=self._meter)
            states.append((state, group))
        return tuple(states)

    @property
    def _groups(self) -> list[slice]:
        limits, count = self._engine.manifest.limits, len(self._support.x)
        way = len(self._support.classes)
        room = min(
            (limits.way.max or way + GROUP) - way,
            (limits.support.max or count + GROUP) - count,
            GROUP,
        )
        if room < 1 or limits.shot.min > 1:
            return []
        return [slice(at, min(at + room, len(self.x))) for at in range(0, len(self.x), room)]

    @cached_property
    def passes(self) -> Array:
        """Which examples the comparison with the others of their group does not reject, [M]."""
        passes = np.ones(len(self.x), np.bool_)
        way = len(self._support.classes)
        for state, own in self.beside:
            logits = _predict(self._engine, state, self.x[own])
            others = logits[:, way:].copy()
            np.fill_diagonal(others, -np.inf)  # an example is not compared with itself
            passes[own] = others.max(axis=1) <= logits[:, :way].max(axis=1)
        return passes

    @cached_property
    def spread(self) -> Spread:
        """Of the negatives' scores, with the weight that sets them furthest from known ones.

        Known scores are those of the task's examples, each left out of the support set. What is not
        known spreads as they do: the variance is the mean of both.
        """
        known = _leave_one_out(self._engine, self._support, self._meter)
        found = []
        for weight in WEIGHTS if len(known) > 1 else WEIGHTS[:1]:
            others = np.mean([score(logits, weight) for logits in self.logits], axis=0)
            variance, mean = float(others.var(ddof=1)), float(others.mean())
            apart = 0.0
            if len(known) > 1:
                own = score(known, weight)
                variance = (variance + float(own.var(ddof=1))) / 2
                apart = (float(own.mean()) - mean) / max(math.sqrt(variance), 1e-30)
            found.append((apart, Spread(weight, mean, math.sqrt(variance))))
        return max(found, key=lambda one: one[0])[1]  # of equals the smallest weight


def student(rate: float) -> float:
    """What a share `rate`, up to ½, of Student's t with 4 degrees of freedom lies above."""
    root = math.sqrt(4 * rate * (1 - rate))
    return 2 * math.sqrt(max(0.0, math.cos(math.acos(root) / 3) / root - 1))


def left_out(engine: Engine, support: Support) -> Array:
    """Which examples of the task are left out one by one, where negatives make thresholds.

    Of classes with one example there are none, and none where the limits forbid a smaller task.
    """
    limits, shots = engine.manifest.limits, support.y.sum(axis=0)
    enough = shots[support.y.argmax(axis=1)] > max(1, limits.shot.min)
    rows = np.flatnonzero(enough) if len(support.x) > limits.support.min else np.zeros(0, int)
    return rows[:: -(-len(rows) // LEFT_OUT) or 1]


def _leave_one_out(engine: Engine, support: Support, meter: Meter) -> Floats:
    """Logits [L, N] of examples of the task, each by the task without it, with zero noise."""
    answers = [np.zeros((0, support.y.shape[1]), np.float32)]
    for row in left_out(engine, support):
        keep = np.arange(len(support.x)) != row
        state = engine.adapt(support.x[keep], support.y[keep], meter=meter)
        answers.append(engine.predict(state, support.x[row : row + 1]))
    return np.concatenate(answers)


def _predict(engine: Engine, state: State, x: Floats) -> Floats:
    """The logits [Q, N], some queries at a time."""
    return np.concatenate([engine.predict(state, x[part]) for part in _pieces(len(x))])


def _pieces(count: int) -> Iterator[slice]:
    return (slice(at, at + PIECE) for at in range(0, count, PIECE))
