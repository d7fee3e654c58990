"""ResNet-12: four residual stages of three 3×3 convolutions, as in TADAM and MetaOptNet."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .layers import Form, conv3x3, init_conv3x3, max_pool2x2
from .normalise import Normalisation, Params, Statistics, init_normalisation, normalise

# Channels of the stages over the first's: 64, 160, 320, 640 (Lee et al. 2019, MetaOptNet).
WIDTHS = (1.0, 2.5, 5.0, 10.0)
SLOPE = 0.1  # leaky ReLU, as there


@dataclass(frozen=True, kw_only=True)
class ResNet12:
    """Images [B, H, W, C] → features [B, 10 × filters], the spatial mean of the last stage."""

    shape: tuple[int, int, int]
    filters: int = 64
    normalisation: Normalisation = "running"
    form: Form = "convolution"

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage, multiples of 8 so that group normalisation divides them."""
        return tuple(max(8, 8 * round(self.filters * w / 8)) for w in WIDTHS)

    @property
    def features(self) -> int:
        """D."""
        return self.widths[-1]

    def init(self, generator: torch.Generator) -> Params:
        """Fresh weights; `shortcut` is the 1×1 convolution beside each stage, a matrix [C, O]."""
        params: Params = {}
        inputs = self.shape[2]
        for stage, outputs in enumerate(self.widths):
            bound = math.sqrt(6 / (inputs + outputs))
            name = f"stage{stage}.shortcut"
            params[f"{name}.weight"] = (
                torch.rand(inputs, outputs, generator=generator) * 2 - 1
            ) * bound
            params |= init_normalisation(self.normalisation, name, outputs)
            for conv in range(3):
                name = f"stage{stage}.conv{conv}"
                params[f"{name}.weight"] = init_conv3x3(self.form, inputs, outputs, generator)
                params |= init_normalisation(self.normalisation, name, outputs)
                inputs = outputs
        return params

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features [B, D] and the statistics of x, layer by layer."""
        channel = 1 if self.form == "convolution" else -1
        gathered: Statistics = {}

        def normal(name: str, x: Tensor) -> Tensor:
            x, layer_statistics = normalise(
                self.normalisation, params, name, x, statistics, channel
            )
            gathered.update(layer_statistics)
            return x

        x = x.permute(0, 3, 1, 2) if self.form == "convolution" else x
        for stage in range(len(self.widths)):
            weight = params[f"stage{stage}.shortcut.weight"]
            short = (
                torch.einsum("bchw,co->bohw", x, weight)
                if self.form == "convolution"
                else x @ weight
            )
            short = normal(f"stage{stage}.shortcut", short)
            for conv in range(3):
                name = f"stage{stage}.conv{conv}"
                x = normal(name, conv3x3(self.form, x, params[f"{name}.weight"]))
                x = _leaky(x) if conv < 2 else x
            x = max_pool2x2(self.form, _leaky(x + short))
        return x.mean(dim=(2, 3) if self.form == "convolution" else (1, 2)), gathered


def _leaky(x: Tensor) -> Tensor:
    """max(x, SLOPE · x), in two standard operations."""
    return torch.maximum(x, SLOPE * x)
