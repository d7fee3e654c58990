"""Convolution and pooling in two forms: as torch's own, or for weights that a task adapts.

`convolution` runs on [B, C, H, W] with F.conv2d: the form for networks that are frozen while
adapting. `matmul` runs on [B, H, W, C] with weights [9 C, O], rows by kernel row, kernel column and
channel: in an exported graph the nine shifted inputs side by side, times that matrix; its gradients
are matrix products too, so the step needs no transposed convolution and no large kernels.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .convolution import convolve
from .pooling import larger_half

Form = Literal["convolution", "matmul"]


def init_conv3x3(form: Form, inputs: int, outputs: int, generator: torch.Generator) -> Tensor:
    """Glorot-uniform weights of a 3×3 convolution, [O, C, 3, 3] or [9 C, O]."""
    bound = math.sqrt(6 / (9 * (inputs + outputs)))
    weight = (torch.rand(9 * inputs, outputs, generator=generator) * 2 - 1) * bound
    if form == "matmul":
        return weight
    return weight.reshape(3, 3, inputs, outputs).permute(3, 2, 0, 1).contiguous()


def as_matrix(weight: Tensor) -> Tensor:
    """[O, C, 3, 3] as [9 C, O]."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])


def conv3x3(form: Form, x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """A 3×3 convolution with padding 1 and no bias; the output is ⌈H / stride⌉ wide."""
    if form == "convolution":
        return F.conv2d(x, weight, stride=stride, padding=1)
    return convolve(x, weight, stride)


def max_pool2x2(form: Form, x: Tensor) -> Tensor:
    """Maximum over 2×2 windows; an odd last row or column is dropped."""
    if form == "convolution":
        return F.max_pool2d(x, 2)
    batch, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    if height % 2 or width % 2:
        x = x[:, : 2 * rows, : 2 * columns]
    # across first: then the first of equals is the one that torch's own pooling finds
    x = larger_half(x.reshape(batch, 2 * rows, columns, 2 * channels))
    return larger_half(x.reshape(batch, rows, 2 * columns * channels)).reshape(
        batch, rows, columns, channels
    )
