"""Confidence at any size of task: temperature, thresholds for unknown inputs, prediction sets.

docs/package-format.md has the rule that these lines follow, docs/confidence.md what it is good for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from handful.runtime.package.manifest import Confidence, Manifest

from .arrays import Array, Floats
from .errors import AdaptError, quote

BEYOND = 2  # times the most classes that were measured: thresholds are continued so far
Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Sizes:
    """The measured sizes as a grid, and any number of an entry between them."""

    def __init__(self, manifest: Manifest) -> None:
        """AdaptError where nothing was measured."""
        self.name, self.entries = manifest.name, manifest.confidence
        if not self.entries:
            raise AdaptError(
                f"package {self.name} has no measured confidence",
                hint="task.with_negatives(others) makes thresholds for unknown queries, as"
                " `handful adapt --others FOLDER` does; `handful export` and"
                " `handful photos --others FOLDER` measure them",
            )
        self.ways = sorted({entry.way for entry in self.entries})
        self.shots = sorted({entry.shot for entry in self.entries})

    @property
    def first(self) -> Confidence:
        """The first entry: the kind of score and the rates are those of all."""
        return self.entries[0]

    def reach(self, way: int) -> bool:
        """Whether the thresholds go on to tasks of so many classes."""
        return way <= BEYOND * self.ways[-1]

    def temperature(self, shots: Array) -> float:
        """By which the logits of a task with shots [N] are divided: that of the fewest examples."""
        values = np.array([entry.temperature for entry in self.entries])
        return float(np.exp(self._at(np.log(values), len(shots), shots.min())))

    def thresholds(self, rate: object, shots: Array) -> Numbers:
        """The score that an answer of each class [N] needs, so that `rate` of others is accepted.

        Between two rates it is linear in their logarithm. A class has the threshold of its shots.
        """
        value = check_rate(
            rate,
            [t.false_accepts for t in self.first.thresholds],
            "unknown",
            f"package {self.name}",
        )
        return self.scores(value, shots)

    def scores(self, rate: float, shots: Array) -> Numbers:
        """As `thresholds`; a rate beyond those that are offered is the nearest one."""
        rates = np.log([t.false_accepts for t in self.first.thresholds])
        values = np.array(
            [np.interp(np.log(rate), rates, [t.score for t in e.thresholds]) for e in self.entries]
        )
        way = len(shots)
        if not self.reach(way):
            raise AdaptError(
                f"the thresholds of package {self.name} were measured with {self.ways[0]} to"
                f" {self.ways[-1]} classes, the task has {way}",
                hint=f"they are continued up to {BEYOND * self.ways[-1]} classes",
            )
        return np.array([self._at(values, way, shot, beyond=True) for shot in shots])

    def probability(self, coverage: object, shots: Array) -> float:
        """Labels of at least this probability hold the right one in `coverage` of cases."""
        coverages = [labels.coverage for labels in self.first.sets]
        value = check_rate(coverage, coverages, "coverage", f"package {self.name}")
        # linear in the logarithm of what is left out: 0.9, 0.99 and 0.999 are equally far apart
        left_out = -np.log1p(-np.array(coverages))
        values = np.array(
            [
                np.interp(-np.log1p(-value), left_out, [labels.probability for labels in e.sets])
                for e in self.entries
            ]
        )
        return float(self._at(values, len(shots), shots.min()))

    def score(self, logits: Array) -> Numbers:
        """The largest logit less `others` times the mean of the others: of [..., N], [...]."""
        return score(logits, self.first.others)

    def _at(self, values: Numbers, way: int, shot: float, *, beyond: bool = False) -> float:
        """Linear in log way and in 1 / shot; outside as at the edge, unless way goes `beyond`."""
        grid = values.reshape(len(self.ways), len(self.shots))
        shots = [_place(each) for each in self.shots]
        of_way = np.array([np.interp(_place(shot), shots, row) for row in grid])
        ways = np.log(self.ways)
        if beyond and way > self.ways[-1] and len(ways) > 1:
            slope = (of_way[-1] - of_way[-2]) / (ways[-1] - ways[-2])
            return float(of_way[-1] + slope * (np.log(way) - ways[-1]))
        return float(np.interp(np.log(way), ways, of_way))


def _place(shot: float) -> float:
    """Where a number of examples lies between others: −1 / shot; none at all lies before one."""
    return -1 / shot if shot else -2.0


def score(logits: Array, others: float) -> Numbers:
    """The largest logit less `others` times the mean of the others: of [..., N], [...]."""
    wide = np.asarray(logits, np.float64)
    largest = wide.max(axis=-1)
    if not others or wide.shape[-1] < 2:
        return np.asarray(largest)
    rest = (wide.sum(axis=-1) - largest) / (wide.shape[-1] - 1)
    return np.asarray(largest - others * rest)


def check_rate(rate: object, rates: Sequence[float], name: str, of: str) -> float:
    """The rate as a number, an AdaptError unless it lies within the rising `rates` of `of`."""
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    number = number or isinstance(rate, np.floating)
    if not number or not rates[0] <= rate <= rates[-1]:  # type: ignore[operator]
        raise AdaptError(
            f"{name} is {quote(rate)}, {of} has {rates[0]:g} to {rates[-1]:g}",
            hint=f"give a share, as {name}={rates[len(rates) // 2]:g}",
        )
    return float(rate)  # type: ignore[arg-type]


def temperature_of(manifest: Manifest, shots: Array) -> float:
    """1 where nothing was measured."""
    return Sizes(manifest).temperature(shots) if manifest.confidence else 1.0


def softmax(logits: Array, temperature: float = 1.0) -> Floats:
    """softmax(logits / temperature) over the last axis, in float32."""
    shifted = np.exp((logits - logits.max(axis=-1, keepdims=True)) / np.float32(temperature))
    probabilities: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities
