"""Networks around a network: the mean over shifted views, and standardised examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from handful.trainer.operations.normalise import Params, Statistics

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

        h(x) = mean over shifts d of f(x moved by d)

    Max-pooling takes every second place, so that f of a picture moved by one pixel is another.
    Averaged over such moves the embedding depends less on where a drawing happens to lie. Averaging
    predictions over shifted crops is as old as convolutional networks (Krizhevsky et al. 2012);
    here it is part of the embedding, and so of an exported graph, at the price of embedding each
    picture several times.
    """

    network: Embeds
    shifts: tuple[tuple[int, int], ...]

    @property
    def features(self) -> int:
        """D, the length of the features."""
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
        seen = [self.network(params, move(x, *shift), statistics) for shift in self.shifts]
        return torch.stack([h for h, _ in seen]).mean(dim=0), seen[0][1]


def move(x: Tensor, down: int, right: int) -> Tensor:
    """Pictures [B, H, W, C] moved by a pixel or none; what comes in repeats the border."""
    for axis, shift in ((1, down), (2, right)):
        size = x.shape[axis]
        if shift == 1:
            x = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, size - 1)], dim=axis)
        elif shift == -1:
            x = torch.cat([x.narrow(axis, 1, size - 1), x.narrow(axis, size - 1, 1)], dim=axis)
    return x


Standardise = Literal["no", "data", "example"]
PREFIX = "standardise."  # what the names of m and s begin with
MEAN, SCALE = PREFIX + "mean", PREFIX + "scale"
RELATIVE, TINY = 1e-4, 1e-6  # a deviation of a ten-thousandth of the mean is a constant's rounding


@dataclass(frozen=True)
class Standardised:
    """A network that reads standardised examples; m and s are beside its parameters.

        data      x_c ← (x_c − m_c) s_c      m and 1 / s: mean and deviation of channel c over the
                                             meta-training data; s_c = 0 where c never changed there
        example   x_c ← (x_c − m_c) / √(v_c + (RELATIVE m_c)² + TINY²)
                                             m and v: mean and variance of channel c of the example

    A channel is the last axis: that of a series [T, C], an image [H, W, C] or a vector [D]. A
    device gives readings in whatever unit its sensor has, and the package carries the numbers. A
    channel that is constant becomes zero in both: with "data", since nothing was learnt from it;
    with "example", since what is left of it after its mean is rounding, which RELATIVE keeps small.
    """

    network: Embeds
    by: Standardise
    channels: int

    @property
    def features(self) -> int:
        """D, the length of the features."""
        return self.network.features

    def init(self, generator: torch.Generator) -> Params:
        """The network's parameters; m = 0 and s = 1 until `fit` has seen the data."""
        params = self.network.init(generator)
        if self.by == "example":
            return params
        return {**params, MEAN: torch.zeros(self.channels), SCALE: torch.ones(self.channels)}

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features [B, D] and the network's statistics of x, block by block."""
        if self.by == "data":
            x = (x - params[MEAN]) * params[SCALE]
        else:
            x = standardise_itself(x)
        return self.network(params, x, statistics)


def standardise_itself(x: Tensor) -> Tensor:
    """Each example of x [B, ..., C] standardised by its own mean and variance of each channel."""
    axes = tuple(range(1, x.ndim - 1))
    mean = x.mean(dim=axes, keepdim=True)
    centred = x - mean
    variance = (centred * centred).mean(dim=axes, keepdim=True)
    return centred * torch.rsqrt(variance + (RELATIVE * mean).square() + TINY**2)


def fit(params: Params, x: Tensor) -> Params:
    """`params` with the m and s of examples x [M, ..., C], wherever they have any."""
    names = [name for name in params if is_standardisation(name)]
    if not names:
        return params
    rows = x.flatten(0, -2).double()
    mean, deviation = rows.mean(dim=0), rows.std(dim=0, correction=0)
    constant = deviation <= RELATIVE * mean.abs() + TINY
    scale = torch.where(constant, 0.0, 1 / torch.where(constant, 1.0, deviation))
    found = {name: mean if name.endswith(MEAN) else scale for name in names}
    return params | {name: value.to(x.dtype) for name, value in found.items()}


def is_standardisation(name: str) -> bool:
    """Whether a parameter is one of m and s, which no training changes."""
    return name.endswith((MEAN, SCALE))
