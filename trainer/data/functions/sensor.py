"""A sensor to calibrate: the true value from a raw reading and its time, for one unit of many.

    reading = A tanh((g (u + d t) + o) / A) + noise      u the true value, t the time of the reading

Units differ in gain g, offset o, drift d over the time from 0 to 1, and in the level A at which
they saturate; the noise has a deviation of 0.01. The task is the inverse: given a few readings
with their true values, say u for another reading. u runs from −1 to 1.
"""

from __future__ import annotations

import torch

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode, EpisodeSource
from handful.trainer.sizes import TaskSize

from .draws import log_uniform, uniform

GAIN, OFFSET, DRIFT, LEVEL = (0.5, 2.0), (-0.5, 0.5), (-0.5, 0.5), (1.0, 3.0)
VALUE, TIME, NOISE = (-1.0, 1.0), (0.0, 1.0), 0.01


class Sensor(EpisodeSource):
    """A unit a task, read at random values and times."""

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
