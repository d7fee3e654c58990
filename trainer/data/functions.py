"""Families of functions to learn from a few readings, each drawn anew for every task."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode, EpisodeSource, TaskSize
from handful.trainer.settings.import_path import import_class, is_import_path

from .environments import ENVIRONMENTS

GAIN, OFFSET, DRIFT, LEVEL = (0.5, 2.0), (-0.5, 0.5), (-0.5, 0.5), (1.0, 3.0)
VALUE, TIME, NOISE = (-1.0, 1.0), (0.0, 1.0), 0.01
AMPLITUDE, PHASE, RANGE = (0.1, 5.0), (0.0, math.pi), (-5.0, 5.0)


class Sinusoid(EpisodeSource):
    """A sinusoid a task, read at random places.

    y = A sin(x − φ), as in Finn et al. 2017 (arXiv:1703.03400), section 5.1: A from 0.1 to 5, φ
    from 0 to π, x from −5 to 5, all drawn evenly; there is no noise.
    """

    input = InputSpec(kind="array", shape=(1,))
    targets = 1

    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        """`size.shot` readings [T, S, 1] and `size.queries` queries of each of T sinusoids."""
        amplitude = uniform(*AMPLITUDE, (tasks, 1, 1), generator)
        phase = uniform(*PHASE, (tasks, 1, 1), generator)
        x = uniform(*RANGE, (tasks, size.shot + size.queries, 1), generator)
        y = amplitude * torch.sin(x - phase)
        support, query = slice(size.shot), slice(size.shot, None)
        none = torch.zeros(tasks, 0, dtype=torch.int64)
        return Episode(x[:, support], y[:, support], x[:, query], y[:, query], none)


class Sensor(EpisodeSource):
    """A unit a task, read at random values and times.

    A sensor to calibrate: the true value from a raw reading and its time, for one unit of many.

        reading = A tanh((g (u + d t) + o) / A) + noise    u the true value, t its time

    Units differ in gain g, offset o, drift d over the time from 0 to 1, and in the level A at which
    they saturate; the noise has a deviation of 0.01. The task is the inverse: given a few readings
    with their true values, say u for another reading. u runs from −1 to 1.
    """

    input = InputSpec(kind="array", shape=(2,))  # the raw reading, the time
    targets = 1  # the true value

    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        """`size.shot` readings [T, S, 2] and `size.queries` queries of each of T units."""
        one, each = (tasks, 1, 1), (tasks, size.shot + size.queries, 1)
        gain = log_uniform(*GAIN, one, generator)
        offset, drift = (uniform(*bounds, one, generator) for bounds in (OFFSET, DRIFT))
        level = log_uniform(*LEVEL, one, generator)
        value, time = (uniform(*bounds, each, generator) for bounds in (VALUE, TIME))
        noise = NOISE * torch.randn(each, generator=generator)
        reading = level * torch.tanh((gain * (value + drift * time) + offset) / level) + noise
        x = torch.cat([reading, time], dim=2)
        support, query = slice(size.shot), slice(size.shot, None)
        none = torch.zeros(tasks, 0, dtype=torch.int64)
        return Episode(x[:, support], value[:, support], x[:, query], value[:, query], none)


FUNCTIONS: dict[str, type[EpisodeSource]] = {"sinusoid": Sinusoid, "sensor": Sensor}
FAMILIES = FUNCTIONS | ENVIRONMENTS


def is_functions(source: str) -> bool:
    """Whether `data.source` names a family of functions or of worlds: ours, or module:Class."""
    return source in FAMILIES or is_import_path(source)


def load_functions(
    source: str, *, where: str = "data.source", trusted: bool = True
) -> EpisodeSource:
    """The family; one of the user's own is built without arguments.

    Not `trusted`, its module is used where it is imported already, and is not imported.
    """
    if source in FAMILIES:
        return FAMILIES[source]()
    what = "episode source"
    kind = import_class(source, EpisodeSource, what=what, where=where, trusted=trusted)  # type: ignore[type-abstract]
    return kind()


def uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Evenly from low to high."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def log_uniform(
    low: float, high: float, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Evenly on a logarithmic scale, as factors are drawn."""
    return torch.exp(uniform(math.log(low), math.log(high), shape, generator))
