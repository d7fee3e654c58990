"""A fully connected network: normalised hidden layers with ReLU."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from handful.trainer.operations.normalise import (
    Normalisation,
    Params,
    Statistics,
    init_normalisation,
    normalise,
)


@dataclass(frozen=True, kw_only=True)
class MLP:
    """Examples [B, ...], flattened → features [B, hidden[-1]]."""

    shape: tuple[int, ...]
    hidden: tuple[int, ...] = (256, 128, 64, 64)
    normalisation: Normalisation = "none"

    @property
    def features(self) -> int:
        """D, the length of the features."""
        return self.hidden[-1] if self.hidden else math.prod(self.shape)

    def init(self, generator: torch.Generator) -> Params:
        """He-uniform weights [inputs, outputs]; biases are the normalisation's β."""
        params: Params = {}
        inputs = math.prod(self.shape)
        for layer, outputs in enumerate(self.hidden):
            bound = math.sqrt(6 / inputs)
            weight = (torch.rand(inputs, outputs, generator=generator) * 2 - 1) * bound
            params[f"dense{layer}.weight"] = weight
            params |= init_normalisation(self.normalisation, f"dense{layer}", outputs)
            inputs = outputs
        return params

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features [B, D] and the statistics of x, layer by layer."""
        gathered: Statistics = {}
        x = x.flatten(1)
        for layer in range(len(self.hidden)):
            name = f"dense{layer}"
            x = x @ params[f"{name}.weight"]
            x, layer_statistics = normalise(self.normalisation, params, name, x, statistics, -1)
            gathered |= layer_statistics
            x = torch.relu(x)
        return x, gathered
