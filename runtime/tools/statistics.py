"""Statistics over episodes: a mean with its 95 % interval, and a paired difference with its own."""

import math
from typing import NamedTuple

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import Comparison

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
