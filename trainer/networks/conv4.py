"""Conv4: four blocks of 3×3 convolution, normalisation, ReLU and halving; the field's network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from handful.trainer.operations import convolution
from handful.trainer.operations.convolution import (
    Form,
    conv3x3,
    init_conv3x3,
    is_tracing,
    max_pool2x2,
)
from handful.trainer.operations.normalise import (
    POOLED_FIRST,
    Normalisation,
    Params,
    Statistics,
    absorb_sign,
    init_normalisation,
    normalise,
)
from handful.trainer.operations.traced import pooled_blocks, strided_blocks

BLOCKS = 4


@dataclass(frozen=True, kw_only=True)
class Conv4:
    """Images [B, H, W, C] → features [B, D].

    `max` halves by pooling (Vinyals 2016, Snell 2017: 28×28 gives D = filters), `stride` by strided
    convolutions (Finn 2017 on Omniglot: 28 → 14 → 7 → 4 → 2, a quarter of the arithmetic). The
    first `halvings` blocks halve (Sung 2018: two). `mean` averages the last map, `flatten` keeps
    its pixels.
    """

    shape: tuple[int, int, int]
    filters: tuple[int, ...] = (64,)  # of each block; one number for all of them
    halving: Literal["max", "stride"] = "max"
    halvings: int = BLOCKS
    readout: Literal["flatten", "mean"] = "flatten"
    normalisation: Normalisation = "running"
    form: Form = "convolution"

    @property
    def widths(self) -> tuple[int, ...]:
        """The filters of each block."""
        return self.filters * BLOCKS if len(self.filters) == 1 else self.filters

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the last map."""
        height, width, _ = self.shape
        for _ in range(self.halvings):
            height, width = (
                (height // 2, width // 2)
                if self.halving == "max"
                else ((height + 1) // 2, (width + 1) // 2)
            )
        return height, width

    @property
    def features(self) -> int:
        """D, the length of the features."""
        height, width = self.pixels
        return self.widths[-1] * (1 if self.readout == "mean" else height * width)

    def init(self, generator: torch.Generator) -> Params:
        """Fresh weights; biases are the normalisation's β."""
        params: Params = {}
        inputs = self.shape[2]
        for block, filters in enumerate(self.widths):
            params[f"conv{block}.weight"] = init_conv3x3(self.form, inputs, filters, generator)
            params |= init_normalisation(self.normalisation, f"conv{block}", filters)
            inputs = filters
        return params

    @property
    def has_traced_form(self) -> bool:
        """Whether its blocks are those of traced.py."""
        return (
            self.form == "matmul" and self.halvings == BLOCKS and self.normalisation in POOLED_FIRST
        )

    def as_traced(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """The same features as a traced gradient step computes them."""
        blocks = pooled_blocks if self.halving == "max" else strided_blocks
        maps, gathered = blocks(self.normalisation, params, x, statistics, BLOCKS)
        return maps.mean(dim=1) if self.readout == "mean" else maps.flatten(1), gathered

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features [B, D] and the statistics of x, block by block."""
        # a graph that descends has three products where another has one, and more examples
        descends = params["conv0.weight"].requires_grad
        if self.has_traced_form and descends and is_tracing():
            return self.as_traced(params, x, statistics)
        alone = self.form == "matmul" and convolution.is_eager(x)
        channels_first = alone or self.form == "convolution"
        gathered: Statistics = {}
        x = x.permute(0, 3, 1, 2) if channels_first else x
        # a rising map and the maximum may change places: what follows has a quarter of the work
        first = self.halving == "max" and self.form == "matmul"
        first = first and self.normalisation in POOLED_FIRST
        pool = partial(max_pool2x2, "convolution" if alone else self.form)
        together = convolution.pooled_moments if alone else None
        for block in range(BLOCKS):
            name = f"conv{block}"
            pooled = self.halving == "max" and block < self.halvings
            stride = 2 if self.halving == "stride" and block < self.halvings else 1
            p = absorb_sign(params, name) if first and pooled else params
            weight = p[f"{name}.weight"]
            x = (
                convolution.convolve_eagerly(x, weight, stride)
                if alone
                else conv3x3(self.form, x, weight, stride)
            )
            x, layer_statistics = normalise(
                self.normalisation,
                p,
                name,
                x,
                statistics,
                1 if channels_first else -1,
                pool if first and pooled else None,
                together,
            )
            gathered |= layer_statistics
            x = torch.relu(pool(x) if pooled and not first else x)
        x = x.permute(0, 2, 3, 1) if alone else x  # features in the order of the other form
        if self.readout == "mean":
            x = x.mean(dim=(2, 3) if self.form == "convolution" else (1, 2))
        return x.flatten(1), gathered
