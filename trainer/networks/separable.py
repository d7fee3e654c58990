"""Layers of a MobileNet whose outputs may be shifted: convolutions, ReLU6, sums with earlier ones.

    x ← conv(x, w) + b + δ        δ [outputs] a shift, zero where none is given
    x ← x + (the output `add` layers before)     where the layer has an `add`
    x ← min(max(x, 0), 6)         where the layer has a ReLU6
    f = mean of the last x over its places

Depthwise separable convolutions (MobileNetV1, Howard et al. 2017, arXiv:1704.04861) and inverted
residuals without squeeze and excitation (EfficientNet-Lite; Tan and Le 2019, arXiv:1905.11946).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers

Params = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One convolution and what follows it."""

    outputs: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False  # a kernel for each channel; then as many outputs as inputs
    before: int = 0  # rows above and columns to the left that are padded with zeros
    after: int = 0  # rows below and columns to the right
    relu6: bool = True
    add: int = 0  # the output so many layers before is added: 1 is the layer's input; 0: none

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"before": 0, "after": 0, "add": 0})


@dataclass(frozen=True)
class Separable:
    """Maps [B, C, H, W] → features [B, D]; a vector [B, C] is a map of one place."""

    shape: tuple[int, ...]  # (C, H, W), or (C,)
    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        """Refuse layers that do not fit each other."""
        inputs, kept = self.shape[0], [self.shape[0]]
        for i, layer in enumerate(self.layers):
            where = f"layers[{i}]"
            if layer.depthwise and layer.outputs != inputs:
                raise SettingError(
                    where, f"is depthwise, and has {layer.outputs} outputs of {inputs} inputs"
                )
            since = self.layers[max(i + 1 - layer.add, 0) : i + 1]
            if layer.add and (
                layer.add > i + 1
                or kept[i + 1 - layer.add] != layer.outputs
                or any(one.stride != 1 for one in since)
            ):
                raise SettingError(
                    where,
                    f"adds the output {layer.add} before it, which is not as large or not there",
                )
            inputs = layer.outputs
            kept.append(inputs)

    @property
    def features(self) -> int:
        """D."""
        return self.widths[-1] if self.layers else self.shape[0]

    @property
    def widths(self) -> list[int]:
        """The outputs of each layer: together as many as there are shifts."""
        return [layer.outputs for layer in self.layers]

    def init(self, generator: torch.Generator) -> Params:
        """Random kernels of He et al.'s deviation, and biases of zero."""
        params: Params = {}
        inputs = self.shape[0]
        for i, layer in enumerate(self.layers):
            shape = (layer.outputs, 1 if layer.depthwise else inputs, layer.kernel, layer.kernel)
            deviation = math.sqrt(2 / math.prod(shape[1:]))
            params[f"layer{i}.weight"] = deviation * torch.randn(shape, generator=generator)
            params[f"layer{i}.bias"] = torch.zeros(layer.outputs)
            inputs = layer.outputs
        return params

    def __call__(self, params: Params, x: Tensor, shifts: Tensor | None = None) -> Tensor:
        """x [B, *shape] → [B, D] under shifts [sum of widths], in the order of the layers."""
        x = x if len(self.shape) == 3 else x[:, :, None, None]
        parts = [None] * len(self.layers) if shifts is None else torch.split(shifts, self.widths)
        kept = [x]
        for i, (layer, shift) in enumerate(zip(self.layers, parts, strict=True)):
            weight, bias = params[f"layer{i}.weight"], params[f"layer{i}.bias"]
            bias = bias if shift is None else bias + shift
            groups = layer.outputs if layer.depthwise else 1
            padding = layer.before
            if layer.before != layer.after:
                x, padding = F.pad(x, [layer.before, layer.after] * 2), 0
            x = F.conv2d(x, weight, bias, stride=layer.stride, padding=padding, groups=groups)
            x = x + kept[-layer.add] if layer.add else x
            x = F.relu6(x) if layer.relu6 else x
            kept.append(x)
        return x.mean(dim=(2, 3))
