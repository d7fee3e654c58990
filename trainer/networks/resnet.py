"""Residual networks: ResNet-12 of TADAM and MetaOptNet, and a small one for pictures and sounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from handful.trainer.operations.convolution import Form, conv3x3, init_conv3x3, max_pool2x2
from handful.trainer.operations.normalise import (
    Normalisation,
    Params,
    Statistics,
    init_normalisation,
    normalise,
)

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
        """D, the length of the features."""
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


@dataclass(frozen=True, kw_only=True)
class Residual:
    """Images [B, H, W, C] → features [B, D].

    `filters` are those of the stem and of each block. `mean` averages the last map, `flatten` keeps
    its places.

    A stem, then a block of two convolutions and a shortcut for each further width (He et al. 2016,
    arXiv:1512.03385). Each part but the first block halves its input by a maximum before it begins;
    the stem halves its output. Fewer convolutions at full size than ResNet-12: four fifths of the
    arithmetic are at a quarter of the size and below.
    """

    shape: tuple[int, int, int]
    filters: tuple[int, ...]
    readout: str = "flatten"
    normalisation: Normalisation = "running"
    form: Form = "convolution"

    @property
    def halvings(self) -> int:
        """The stem's, and that of each block but the first."""
        return max(1, len(self.filters) - 1)

    @property
    def features(self) -> int:
        """D, the length of the features."""
        height, width = (side // 2**self.halvings for side in self.shape[:2])
        return self.filters[-1] * (1 if self.readout == "mean" else height * width)

    def init(self, generator: torch.Generator) -> Params:
        """Fresh weights; `shortcut` is the 1×1 convolution beside each block, a matrix [C, O]."""
        params: Params = {}
        for name, first, second in self._layers():
            if name.endswith("shortcut"):
                bound = math.sqrt(6 / (first + second))
                weight = (torch.rand(first, second, generator=generator) * 2 - 1) * bound
            else:
                weight = init_conv3x3(self.form, first, second, generator)
            params[f"{name}.weight"] = weight
            params |= init_normalisation(self.normalisation, name, second)
        return params

    def _layers(self) -> list[tuple[str, int, int]]:
        """Name, inputs and outputs of every convolution."""
        layers = [("stem", self.shape[2], self.filters[0])]
        for i, (inputs, outputs) in enumerate(zip(self.filters, self.filters[1:], strict=False)):
            layers += [
                (f"block{i}.conv0", inputs, outputs),
                (f"block{i}.conv1", outputs, outputs),
                (f"block{i}.shortcut", inputs, outputs),
            ]
        return layers

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features [B, D] and the statistics of x, layer by layer."""
        channel = 1 if self.form == "convolution" else -1
        gathered: Statistics = {}

        def convolve(name: str, x: Tensor) -> Tensor:
            weight = params[f"{name}.weight"]
            if not name.endswith("shortcut"):
                y = conv3x3(self.form, x, weight)
            elif self.form == "convolution":
                y = torch.einsum("bchw,co->bohw", x, weight)
            else:
                y = x @ weight
            y, layer_statistics = normalise(
                self.normalisation, params, name, y, statistics, channel
            )
            gathered.update(layer_statistics)
            return y

        x = x.permute(0, 3, 1, 2) if self.form == "convolution" else x
        x = torch.relu(max_pool2x2(self.form, convolve("stem", x)))
        for i in range(len(self.filters) - 1):
            x = max_pool2x2(self.form, x) if i else x
            short = convolve(f"block{i}.shortcut", x)
            inner = torch.relu(convolve(f"block{i}.conv0", x))
            x = torch.relu(convolve(f"block{i}.conv1", inner) + short)
        if self.readout == "mean":
            x = x.mean(dim=(2, 3) if self.form == "convolution" else (1, 2))
        return x.flatten(1), gathered
