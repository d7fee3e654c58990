"""A package's confidence, measured from its logits on tasks and on queries of other classes.

    temperature  min over T of the mean of −log softmax(l / T)[y]    (Guo et al. 2017)
    threshold    the score that a share a of queries of other classes lies above
    set          labels of at least the probability that a share c of right labels has
                 (split conformal prediction, Sadinle et al. 2019: least ambiguous sets)

A query's score is its largest logit less a weight times the mean of its other logits. `promises`
measures on other tasks what a manifest promises so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from handful.runtime.arrays import Array, Floats
from handful.runtime.confidence import Sizes, softmax
from handful.runtime.package.manifest import Confidence, PredictionSet, Threshold
from handful.runtime.tools.evaluate import Episodes
from handful.runtime.tools.text import SHOWN, table
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import TaskSize, as_episodes, rows_of

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # of false accepts
COVERAGES = (0.9, 0.95, 0.98, 0.99)
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the mean of the other logits, of which one is chosen
CHOSEN_AT = RATES.index(0.05)  # by how many known queries are kept at this rate
BINS = 15  # of the calibration error, as Guo et al. have them
GOLDEN = (5**0.5 - 1) / 2
LOG_TEMPERATURE = (-7.0, 12.0)  # the temperatures that are searched: 0.001 to 160,000


class AskedLogits(NamedTuple):
    """A package's logits in tasks of one size: queries of their classes, and of other classes."""

    known: Floats  # [Q, N]
    y: Array  # [Q]
    unknown: Floats  # [U, N]


class Fitted(NamedTuple):
    """What the logits of one size say, but for the kind of score, which all sizes share."""

    temperature: float
    calibration_error: float
    sets: tuple[PredictionSet, ...]


def with_unknown(
    data: LabelledSet, size: TaskSize, *, episodes: int, seed: int
) -> tuple[Episodes, int]:
    """Tasks whose queries are those of the task's classes and then as many of other classes.

    Returned with how many of a task's queries are of its classes. The others are of a class that
    is drawn from all that the task does not have, each query by itself.
    """
    rows = rows_of(data, size, episodes=episodes, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    count = rows.query.shape[1]
    others = torch.stack([_others(data, task, count, generator) for task in rows.classes])
    unknown = torch.full_like(others, -1)  # which nothing is compared with
    query, query_y = torch.cat([rows.query, others], 1), torch.cat([rows.query_y, unknown], 1)
    return as_episodes(rows._replace(query=query, query_y=query_y)), count


def _others(
    data: LabelledSet, classes: torch.Tensor, count: int, generator: torch.Generator
) -> torch.Tensor:
    """Rows of examples [count] of classes that are not among those of a task."""
    free = torch.ones(len(data.classes), dtype=torch.bool)
    free[classes] = False
    left = free.nonzero()[:, 0]
    drawn = left[torch.randint(len(left), (count,), generator=generator)]
    places = torch.rand(count, generator=generator) * data.counts[drawn]
    return data.start[drawn] + places.long()


def ask(logits: Floats, episodes: Episodes, known: int) -> AskedLogits:
    """The logits [E, Q, N] of `with_unknown`'s tasks, of which the first `known` are of classes."""
    way = logits.shape[2]
    return AskedLogits(
        logits[:, :known].reshape(-1, way),
        episodes.query_y[:, :known].reshape(-1),
        logits[:, known:].reshape(-1, way),
    )


def without_own(logits: Floats, y: Array) -> AskedLogits:
    """Logits [E, Q, N] of named classes: as they are, and each without that of its own class."""
    way = logits.shape[2]
    known, classes = logits.reshape(-1, way), y.reshape(-1)
    others = np.arange(way) != classes[:, None]
    return AskedLogits(known, classes, known[others].reshape(-1, way - 1))


def measure_confidence(
    found: Mapping[tuple[int, int], AskedLogits], classes: int
) -> tuple[Confidence, ...]:
    """An entry for each (way, shot), in their order; `classes` are those that were drawn from."""
    sizes = sorted(found)
    by_weight = {w: [thresholds(found[size], w) for size in sizes] for w in WEIGHTS}

    def keep(weight: float) -> float:
        return float(np.mean([of[CHOSEN_AT].known_kept for of in by_weight[weight]]))

    weight = max(WEIGHTS, key=keep)  # of equals the smallest
    entries = []
    for (way, shot), of_size in zip(sizes, by_weight[weight], strict=True):
        one = found[way, shot]
        fitted = fit(one)
        entries.append(
            Confidence(
                way=way,
                shot=shot,
                classes=classes,
                queries=len(one.y),
                others=weight,
                temperature=fitted.temperature,
                calibration_error=fitted.calibration_error,
                thresholds=of_size,
                sets=fitted.sets,
            )
        )
    return tuple(entries)


def fit(one: AskedLogits) -> Fitted:
    """The temperature, its calibration error and the sets."""
    temperature = fit_temperature(one.known, one.y)
    probabilities = softmax_in_float64(one.known, temperature)
    of_right = np.sort(probabilities[np.arange(len(one.y)), one.y])
    sets = tuple(_set(probabilities, of_right, coverage) for coverage in COVERAGES)
    return Fitted(temperature, calibration_error(probabilities, one.y), sets)


def _set(probabilities: Array, of_right: Array, coverage: float) -> PredictionSet:
    """Split conformal: of n right labels ⌊(n + 1)(1 − c)⌋ may lie below, the finite-sample rank."""
    rank = int((len(of_right) + 1) * (1 - coverage))
    least = float(of_right[rank - 1]) if rank else 0.0
    labels = np.maximum((probabilities >= least).sum(axis=1), 1)  # the likeliest is always there
    return PredictionSet(coverage=coverage, probability=least, size=float(labels.mean()))


def thresholds(one: AskedLogits, weight: float) -> tuple[Threshold, ...]:
    """The score for each rate: so large a share of unknown queries lies above it."""
    known, unknown = (scores(logits, weight) for logits in (one.known, one.unknown))
    found = np.quantile(unknown, 1 - np.array(RATES))
    return tuple(
        Threshold(false_accepts=rate, score=float(at), known_kept=float((known > at).mean()))
        for rate, at in zip(RATES, found, strict=True)
    )


def scores(logits: Floats, weight: float) -> Array:
    """The largest logit less `weight` times the mean of the others: of [Q, N], [Q]."""
    wide = logits.astype(np.float64)
    largest = wide.max(axis=1)
    rest = (wide.sum(axis=1) - largest) / (wide.shape[1] - 1)
    answer: Array = largest - weight * rest
    return answer


def fit_temperature(logits: Floats, y: Array) -> float:
    """The temperature of least negative log likelihood: convex in 1 / T, so one search finds it.

    Where all are right, the likelihood rises until the temperature is 0: the query of the smallest
    margin then counts as wrong.
    """
    low, high = LOG_TEMPERATURE
    wide = logits.astype(np.float64)
    order = np.argsort(wide, axis=1)
    if (order[:, -1] == y).all():
        largest = np.take_along_axis(wide, order[:, -2:], axis=1)
        doubtful = int((largest[:, 1] - largest[:, 0]).argmin())
        y = y.copy()
        y[doubtful] = order[doubtful, -2]

    def loss(log_temperature: float) -> float:
        scaled = wide / np.exp(log_temperature)
        largest = scaled.max(axis=1)
        total = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
        return float((total - scaled[np.arange(len(y)), y]).mean())

    while high - low > 1e-4:  # golden section
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def softmax_in_float64(logits: Floats, temperature: float) -> Array:
    """softmax(l / T) in float64."""
    scaled = (logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / temperature
    exponentials = np.exp(scaled)
    probabilities: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def calibration_error(probabilities: Array, y: Array, *, bins: int = BINS) -> float:
    """Expected calibration error: |accuracy − confidence| of equal bins of the largest probability.

    Weighted by how many queries are in each bin (Guo et al. 2017, equation 3).
    """
    largest = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y
    of_bin = np.minimum((largest * bins).astype(int), bins - 1)
    gaps: Sequence[float] = [
        abs(float((right[of_bin == b] - largest[of_bin == b]).sum())) for b in range(bins)
    ]
    return sum(gaps) / len(y)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A rate of false accepts that was promised, what it is, and what is kept of known queries."""

    promised: float
    false_accepts: float
    known_kept: float


@dataclass(frozen=True, kw_only=True)
class Sure:
    """Confidence on some tasks: the calibration error of the probabilities, and each rate."""

    calibration_error: float
    rates: tuple[Kept, ...]


def promises(sizes: Sizes, one: AskedLogits, shots: Array) -> Sure:
    """The runtime's own rules on the logits of tasks with these shots [N].

    Raises an AdaptError where the package's thresholds do not go on to so many classes.
    """
    probabilities = softmax(one.known, sizes.temperature(shots)).astype(np.float64)
    kept = []
    for threshold in sizes.first.thresholds:
        rate = threshold.false_accepts
        needed = sizes.thresholds(rate, shots)
        known, unknown = (
            float((sizes.score(logits) > needed[logits.argmax(axis=1)]).mean())
            for logits in (one.known, one.unknown)
        )
        kept.append(Kept(promised=rate, false_accepts=unknown, known_kept=known))
    return Sure(calibration_error=calibration_error(probabilities, one.y), rates=tuple(kept))


def as_text(measured: Iterable[tuple[TaskSize, Sure | None]]) -> str:
    """A line for each size where it was measured, with what two rates came to; "" where none."""
    rows, names = [], dict[str, None]()
    for size, sure in measured:
        if sure is None:
            continue
        cells = {"calibration error %": f"{100 * sure.calibration_error:.2f}"}
        for rate in sure.rates:
            if rate.promised in SHOWN:
                promised = f"{100 * rate.promised:g} %"
                cells[f"false accepts at {promised}"] = f"{100 * rate.false_accepts:.1f}"
                cells[f"known kept at {promised}"] = f"{100 * rate.known_kept:.1f}"
        rows.append((size.way, size.shot, *cells.values()))
        names |= dict.fromkeys(cells)
    return table(("way", "shot", *names), rows) if rows else ""
