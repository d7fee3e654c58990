"""Backward operators that ONNX does not have, written with those it has.

Everything else comes from torch's core ATen decompositions, batch norm's backward included. The
gradients of slices and selections become concatenations with zeros: the exporter's ScatterND with
transposes takes 36 ms of a MAML step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

aten = torch.ops.aten


def decomposition_table() -> dict[Any, Callable[..., Any]]:
    """What `make_fx` replaces while tracing a learner."""
    table: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    # the exporter makes of it an InstanceNormalization, whose kernel a package may not reach
    table |= get_decompositions([aten.native_group_norm])
    table[aten.slice_backward.default] = slice_backward
    table[aten.select_backward.default] = select_backward
    table[aten.threshold_backward.default] = threshold_backward
    table[aten.convolution_backward.default] = convolution_backward
    return table


def slice_backward(
    gradient: Tensor, sizes: list[int], dim: int, start: int, end: int, step: int
) -> Tensor:
    """The gradient of x[start:end] along `dim`: zeros before and after."""
    if step != 1:
        raise ValueError(f"a slice with step {step} is not traced: reshape into phases instead")
    size = sizes[dim]
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    end = size if end > size else end
    return _pad(gradient, dim, start, size - end)


def select_backward(gradient: Tensor, sizes: list[int], dim: int, index: int) -> Tensor:
    """The gradient of x.select(dim, index)."""
    dim = dim % len(sizes)
    index = index + sizes[dim] if index < 0 else index
    return _pad(gradient.unsqueeze(dim), dim, index, sizes[dim] - index - 1)


def threshold_backward(gradient: Tensor, x: Tensor, threshold: float) -> Tensor:
    """The gradient of ReLU: one product instead of a Where."""
    return gradient * (x > threshold).to(gradient.dtype)


def _pad(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    dim = dim % x.ndim
    return F.pad(x, [0, 0] * (x.ndim - 1 - dim) + [before, after])


def convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: list[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    output_mask: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Input gradient as a transposed convolution, weight gradient as one of the transposed input.

    For users' learners that adapt a torch convolution; ours adapt matrix products.
    """
    if transposed or groups != 1:
        raise ValueError("only plain convolutions are traced with their gradient")
    to_x = to_weight = to_bias = None
    if output_mask[0]:
        kernel = weight.shape[2:]
        rest = [
            x.shape[2 + i]
            - (
                (gradient.shape[2 + i] - 1) * stride[i]
                - 2 * padding[i]
                + dilation[i] * (kernel[i] - 1)
                + 1
            )
            for i in range(len(stride))
        ]
        to_x = aten.convolution(gradient, weight, None, stride, padding, dilation, True, rest, 1)
    if output_mask[1]:
        to_weight = aten.convolution(
            x.transpose(0, 1),
            gradient.transpose(0, 1),
            None,
            dilation,
            padding,
            stride,
            False,
            [0] * len(stride),
            1,
        ).transpose(0, 1)
        to_weight = to_weight[:, :, : weight.shape[2], : weight.shape[3]]
    if output_mask[2]:
        to_bias = gradient.sum(dim=[0, *range(2, gradient.ndim)])
    return to_x, to_weight, to_bias
