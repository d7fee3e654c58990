"""The relation module: two blocks of convolution and two dense layers from a pair to one score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from handful.trainer.operations.normalise import (
    Normalisation,
    Params,
    Statistics,
    init_normalisation,
    normalise,
)

BLOCKS = 2
DENSE_STD, DENSE_BIAS = 0.01, 1.0  # the authors' start of both dense layers
Side = Literal["class", "query"]


@dataclass(frozen=True, kw_only=True)
class RelationModule:
    """Maps [N, C, H, W] of classes and [Q, C, H, W] of queries → scores [Q, N], one a pair.

    Each block is a 3×3 convolution to `filters` maps, normalisation, ReLU and, while there are two
    pixels a side, the maximum over 2×2 windows. Maps of one pixel, which stand for vectors, have a
    1×1 convolution: a dense layer.
    """

    shape: tuple[int, int, int]  # C, H, W
    filters: int = 64
    hidden: int = 8
    normalisation: Normalisation = "running"

    @property
    def kernel(self) -> int:
        """Of the convolutions."""
        return 3 if min(self.shape[1:]) > 1 else 1

    def init(self, generator: torch.Generator) -> Params:
        """Fresh weights: convolutions Glorot-uniform, dense layers as the authors start them."""
        channels, height, width = self.shape
        params: Params = {}
        for block, inputs in enumerate((2 * channels, self.filters)):
            bound = math.sqrt(6 / (self.kernel**2 * (inputs + self.filters)))
            shape = (self.filters, inputs, self.kernel, self.kernel)
            params[f"conv{block}.weight"] = (torch.rand(shape, generator=generator) * 2 - 1) * bound
            params |= init_normalisation(self.normalisation, f"conv{block}", self.filters)
            height, width = _halve(height, width)
        for name, sizes in (
            ("hidden", (self.filters * height * width, self.hidden)),
            ("score", (self.hidden, 1)),
        ):
            params[f"{name}.weight"] = DENSE_STD * torch.randn(sizes, generator=generator)
            params[f"{name}.bias"] = torch.full(sizes[1:], DENSE_BIAS)
        return params

    def project(self, params: Params, maps: Tensor, side: Side) -> Tensor:
        """The first convolution's share of one side: [.., C, H, W] → [.., filters, H, W].

        It is linear, so that of a pair is the sum of the two, and N + Q maps are convolved instead
        of N Q.
        """
        channels = self.shape[0]
        first = 0 if side == "class" else channels
        weight = params["conv0.weight"][:, first : first + channels]
        return F.conv2d(maps, weight, padding=self.kernel // 2)

    def __call__(
        self,
        params: Params,
        classes: Tensor,
        queries: Tensor,
        statistics: Statistics | None = None,
    ) -> tuple[Tensor, Statistics]:
        """Scores [Q, N] from both sides that `project` gave, and the statistics of all pairs."""
        way, count = classes.shape[0], queries.shape[0]
        x = (queries[:, None] + classes[None]).flatten(0, 1)
        gathered: Statistics = {}
        for block in range(BLOCKS):
            name = f"conv{block}"
            if block:
                x = F.conv2d(x, params[f"{name}.weight"], padding=self.kernel // 2)
            x, of_layer = normalise(self.normalisation, params, name, x, statistics, 1)
            gathered |= of_layer
            x = torch.relu(F.max_pool2d(x, 2) if min(x.shape[2:]) > 1 else x)
        x = torch.relu(x.flatten(1) @ params["hidden.weight"] + params["hidden.bias"])
        x = x @ params["score.weight"] + params["score.bias"]
        return x.reshape(count, way), gathered


def _halve(height: int, width: int) -> tuple[int, int]:
    """The sizes after a block."""
    return (height // 2, width // 2) if min(height, width) > 1 else (height, width)
