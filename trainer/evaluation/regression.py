"""What a learner of functions has to beat: simple fits to the very readings that it adapts to.

mean            the mean of the support set's targets
least squares   a linear function of x with an intercept; of all that fit, the smallest
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.trainer.episodes import Episode, EpisodeSource
from handful.trainer.learners.task import squared_error
from handful.trainer.sizes import TaskSize

Fit = Callable[[Tensor, Tensor, Tensor], Tensor]  # x [S, D], y [S, O], query [Q, D] → [Q, O]


@dataclass(frozen=True)
class Fits:
    """The fits on the tasks of a source, whose examples are read as they come."""

    source: EpisodeSource

    def measured(self, size: TaskSize, *, episodes: int, seed: int) -> dict[str, Array]:
        """The mean squared error of each fit on each task of this seed, [E], by its name."""
        generator = torch.Generator().manual_seed(seed)
        errors: dict[str, list[float]] = {name: [] for name in FITS}
        for _ in range(episodes):
            batch = self.source.episodes(size, tasks=1, generator=generator)
            episode = Episode(*(t[0].double() for t in batch))
            x, query = episode.support_x.flatten(1), episode.query_x.flatten(1)
            for name, fit in FITS.items():
                outputs = fit(x, episode.support_y, query)
                errors[name].append(float(squared_error(outputs, episode.query_y)))
        return {name: np.array(values) for name, values in errors.items()}


def mean(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """The same for every query."""
    return y.mean(dim=0).expand(len(query), -1)


def least_squares(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """A linear fit; through the support set where it has no more examples than x has numbers."""

    def with_constant(x: Tensor) -> Tensor:
        return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)

    inverse: Tensor = torch.linalg.pinv(with_constant(x))
    return with_constant(query) @ (inverse @ y)


FITS: Mapping[str, Fit] = {
    "mean of the support set": mean,
    "least squares on the support set": least_squares,
}
