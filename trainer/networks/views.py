"""The mean embedding of a picture and of the same picture moved by a pixel.

    h(x) = mean over shifts d of f(x moved by d)

Max-pooling takes every second place, so that f of a picture moved by one pixel is another. Averaged
over such moves the embedding depends less on where a drawing happens to lie. Averaging predictions
over shifted crops is as old as convolutional networks (Krizhevsky et al. 2012); here it is part of
the embedding, and so of an exported graph, at the price of embedding each picture several times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from .normalise import Params, Statistics

Count = Literal[1, 5, 9]
HERE, BESIDE = ((0, 0),), ((0, 1), (0, -1), (1, 0), (-1, 0))
ACROSS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
SHIFTS: dict[Count, tuple[tuple[int, int], ...]] = {
    1: HERE,
    5: HERE + BESIDE,
    9: HERE + BESIDE + ACROSS,
}


class Embeds(Protocol):
    """A network that a view is taken of."""

    @property
    def features(self) -> int: ...  # noqa: D102
    def init(self, generator: torch.Generator) -> Params: ...  # noqa: D102
    def __call__(  # noqa: D102
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]: ...


@dataclass(frozen=True)
class Views:
    """A network that embeds each picture from several views; its parameters are the network's.

    A batch that is normalised by its own moments, as in training, is seen from one: the weights
    that are learned are the same for any number of views.
    """

    network: Embeds
    shifts: tuple[tuple[int, int], ...]

    @property
    def features(self) -> int:
        """D."""
        return self.network.features

    def init(self, generator: torch.Generator) -> Params:
        """The network's own parameters."""
        return self.network.init(generator)

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features [B, D] of pictures [B, H, W, C]; without statistics, those of x and these."""
        if statistics is None:
            return self.network(params, x)
        # one after the other: the first maps of all at once would take as many times the memory
        seen = [self.network(params, moved(x, *shift), statistics) for shift in self.shifts]
        return torch.stack([h for h, _ in seen]).mean(dim=0), seen[0][1]


def moved(x: Tensor, down: int, right: int) -> Tensor:
    """Pictures [B, H, W, C] moved by a pixel or none; what comes in repeats the border."""
    for axis, shift in ((1, down), (2, right)):
        size = x.shape[axis]
        if shift == 1:
            x = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, size - 1)], dim=axis)
        elif shift == -1:
            x = torch.cat([x.narrow(axis, 1, size - 1), x.narrow(axis, size - 1, 1)], dim=axis)
    return x
