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


def compare(name: str, accuracies: Array, others: Array) -> Comparison:
    """What `accuracies` [E] are above `others` [E], which were measured on the same episodes.

    The interval is that of the differences: episodes that are hard for both do not widen it.
    """
    difference = mean_of(np.asarray(accuracies, np.float64) - np.asarray(others, np.float64))
    return Comparison(
        name=name,
        accuracy=mean_of(others).value,
        difference=difference.value,
        interval=difference.interval,
    )
