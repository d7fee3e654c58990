"""Convolution and pooling in two forms: as torch's own, or as matrix products with per-task weights.

`convolution` runs on [B, C, H, W] with F.conv2d: the form for networks that are frozen while
adapting. `matmul` runs on [B, H, W, C]: the nine shifted inputs side by side, times a matrix
[9 C, O]. Its gradients are matrix products too, so a task's own weights make a batched product
under `vmap` instead of a grouped convolution, and the exported gradient step needs no transposed
convolution and no large-kernel weight gradient.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Form = Literal["convolution", "matmul"]


def init_conv3x3(form: Form, inputs: int, outputs: int, generator: torch.Generator) -> Tensor:
    """Glorot-uniform weights of a 3×3 convolution, [O, C, 3, 3] or [9 C, O]."""
    bound = math.sqrt(6 / (9 * (inputs + outputs)))
    weight = (torch.rand(9 * inputs, outputs, generator=generator) * 2 - 1) * bound
    if form == "matmul":
        return weight
    return weight.reshape(3, 3, inputs, outputs).permute(3, 2, 0, 1).contiguous()


def conv3x3(form: Form, x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """A 3×3 convolution with padding 1 and no bias; the output is ⌈H / stride⌉ wide."""
    if form == "convolution":
        return F.conv2d(x, weight, stride=stride, padding=1)
    return _patches(x, stride) @ weight


def _patches(x: Tensor, stride: int) -> Tensor:
    """[B, H, W, C] → [B, H′, W′, 9 C]: for each output pixel its 3×3 neighbourhood, row by row."""
    batch, height, width, channels = x.shape
    if stride == 1:
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return torch.cat(shifted, dim=-1)
    # stride 2 as four phases, so that every slice has step 1 (a strided slice's gradient scatters)
    rows, columns = (height + 1) // 2, (width + 1) // 2
    padded = F.pad(x, (0, 0, 1, 2 * columns + 1 - width, 1, 2 * rows + 1 - height))
    phases = padded.reshape(batch, rows + 1, 2, columns + 1, 2, channels)
    return torch.cat(
        [
            phases[:, i // 2 : i // 2 + rows, i % 2, j // 2 : j // 2 + columns, j % 2]
            for i in range(3)
            for j in range(3)
        ],
        dim=-1,
    )


def max_pool2x2(form: Form, x: Tensor) -> Tensor:
    """Maximum over 2×2 windows; an odd last row or column is dropped."""
    if form == "convolution":
        return F.max_pool2d(x, 2)
    batch, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    windows = x[:, : 2 * rows, : 2 * columns].reshape(batch, rows, 2, columns, 2, channels)
    rowwise = torch.maximum(windows[:, :, 0], windows[:, :, 1])  # [B, H/2, W/2, 2, C]
    return torch.maximum(rowwise[:, :, :, 0], rowwise[:, :, :, 1])
