"""Sinusoids (Finn et al. 2017, arXiv:1703.03400, section 5.1): y = A sin(x − φ).

A from 0.1 to 5, φ from 0 to π, x from −5 to 5, all drawn evenly; there is no noise.
"""

from __future__ import annotations

import math

import torch

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode, EpisodeSource
from handful.trainer.sizes import TaskSize

from .draws import uniform

AMPLITUDE, PHASE, RANGE = (0.1, 5.0), (0.0, math.pi), (-5.0, 5.0)


class Sinusoid(EpisodeSource):
    """A sinusoid a task, read at random places."""

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
