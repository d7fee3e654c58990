"""Conv4 along time: four blocks of convolution, normalisation, ReLU and halving, for series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .normalise import Normalisation, Params, Statistics, init_normalisation, normalise
from .pooling import larger_half

BLOCKS = 4
KERNEL = 5  # samples that a convolution sees


@dataclass(frozen=True, kw_only=True)
class Conv1d:
    """Series [B, T, C] → features [B, D]; each block halves T by the maximum over pairs.

    A convolution is the shifted inputs side by side, times a matrix [5 C, O]: one form for networks
    that are frozen while adapting and for weights that a task adapts. `mean` averages over time,
    `flatten` keeps it.
    """

    shape: tuple[int, int]
    filters: int = 64
    readout: Literal["flatten", "mean"] = "flatten"
    normalisation: Normalisation = "running"

    @property
    def features(self) -> int:
        """D."""
        return self.filters * (1 if self.readout == "mean" else self.shape[0] // 2**BLOCKS)

    def init(self, generator: torch.Generator) -> Params:
        """Glorot-uniform weights; biases are the normalisation's β."""
        params: Params = {}
        inputs = self.shape[1]
        for block in range(BLOCKS):
            bound = math.sqrt(6 / (KERNEL * (inputs + self.filters)))
            weight = torch.rand(KERNEL * inputs, self.filters, generator=generator) * 2 - 1
            params[f"conv{block}.weight"] = weight * bound
            params |= init_normalisation(self.normalisation, f"conv{block}", self.filters)
            inputs = self.filters
        return params

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features [B, D] and the statistics of x, block by block."""
        gathered: Statistics = {}
        for block in range(BLOCKS):
            name = f"conv{block}"
            x = windows(x) @ params[f"{name}.weight"]
            x, layer_statistics = normalise(self.normalisation, params, name, x, statistics, -1)
            gathered |= layer_statistics
            x = torch.relu(halved(x))
        x = x.mean(dim=1) if self.readout == "mean" else x.flatten(1)
        return x, gathered


def windows(x: Tensor) -> Tensor:
    """x [B, T, C] → [B, T, 5 C]: each sample with its neighbours, zeros beyond the ends."""
    batch, time, channels = x.shape
    zeros = x.new_zeros(batch, KERNEL // 2, channels)
    padded = torch.cat([zeros, x, zeros], dim=1)
    return torch.cat([padded[:, i : i + time] for i in range(KERNEL)], dim=2)


def halved(x: Tensor) -> Tensor:
    """The maximum over pairs of samples of x [B, T, C]; an odd last sample is dropped."""
    batch, time, channels = x.shape
    pairs = time // 2
    x = x[:, : 2 * pairs] if time % 2 else x
    return larger_half(x.reshape(batch, pairs, 2 * channels))
