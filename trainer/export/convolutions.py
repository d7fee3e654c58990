"""The gradients of a convolution, by operators that ONNX has and that onnxruntime runs fast.

    plain     ∂x as a transposed convolution, ∂w as one convolution of the transposed input
    grouped   ∂x as a convolution of ∂y, spread by the stride, with the kernel turned round and its
              two channel axes exchanged within each group
              ∂w one kernel element at a time: the input shifted to it, times ∂y, summed

ONNX's ConvTranspose takes groups too, but onnxruntime runs it a group at a time: for a depthwise
convolution of 256 channels three times as long. And ∂w as a convolution would need as many groups
as there are examples and channels, a number that a graph has to know.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

aten = torch.ops.aten


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
    """The gradients of input, weight and bias, where `output_mask` asks for them.

    For learners that adapt through a torch convolution; those that move a Conv4's weights adapt
    matrix products. Maps are [B, C, H, W], kernels [O, C / groups, …]. Raises a ValueError for a
    transposed convolution, and for a grouped one over anything but two axes.
    """
    if transposed:
        raise ValueError("a transposed convolution is not traced with its gradient")
    if groups != 1 and len(stride) != 2:
        raise ValueError(
            "a grouped convolution over one or three axes is not traced with its gradient"
        )
    to_x = to_weight = to_bias = None
    if output_mask[0]:
        backwards = _to_input if groups == 1 else _to_grouped_input
        to_x = backwards(gradient, x, weight, stride, padding, dilation, groups)
    if output_mask[1]:
        weights = _to_weight if groups == 1 else _to_grouped_weight
        to_weight = weights(gradient, x, weight, stride, padding, dilation, groups)
    if output_mask[2]:
        to_bias = gradient.sum(dim=[0, *range(2, gradient.ndim)])
    return to_x, to_weight, to_bias


def _to_input(
    gradient: Tensor, x: Tensor, weight: Tensor,
    stride: list[int], padding: list[int], dilation: list[int], groups: int,
) -> Tensor:  # fmt: skip
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
    found: Tensor = aten.convolution(
        gradient, weight, None, stride, padding, dilation, True, rest, groups
    )
    return found


def _to_weight(
    gradient: Tensor, x: Tensor, weight: Tensor,
    stride: list[int], padding: list[int], dilation: list[int], groups: int,
) -> Tensor:  # fmt: skip
    found: Tensor = aten.convolution(
        x.transpose(0, 1),
        gradient.transpose(0, 1),
        None,
        dilation,
        padding,
        stride,
        False,
        [0] * len(stride),
        groups,
    ).transpose(0, 1)
    return found[:, :, : weight.shape[2], : weight.shape[3]]


def _to_grouped_input(
    gradient: Tensor, x: Tensor, weight: Tensor,
    stride: list[int], padding: list[int], dilation: list[int], groups: int,
) -> Tensor:  # fmt: skip
    """As a convolution; where it would have to pad by less than nothing, the margin is cut off."""
    outputs, inputs, *kernel = weight.shape
    reach = [dilation[i] * (kernel[i] - 1) for i in (0, 1)]
    # as long as the padded input, less what the kernel reaches beyond its first element
    wanted = [x.shape[2 + i] + 2 * padding[i] - reach[i] for i in (0, 1)]
    spread = _spread(gradient, stride, wanted)
    turned = weight.reshape(groups, outputs // groups, inputs, *kernel).transpose(1, 2)
    turned = turned.reshape(groups * inputs, outputs // groups, *kernel).flip(2, 3)
    around = [max(reach[i] - padding[i], 0) for i in (0, 1)]
    found: Tensor = aten.convolution(
        spread, turned, None, [1, 1], around, dilation, False, [0, 0], groups
    )
    for i in (0, 1):
        if padding[i] > reach[i]:
            found = found.narrow(2 + i, padding[i] - reach[i], x.shape[2 + i])
    return found


def _spread(gradient: Tensor, stride: list[int], wanted: list[int]) -> Tensor:
    """∂y [B, O, h, w] with stride − 1 zeros after each value, cut or padded to the wanted sizes."""
    height, width = gradient.shape[2:]
    if stride != [1, 1]:
        apart = gradient.reshape(gradient.shape[0], gradient.shape[1], height, 1, width, 1)
        apart = F.pad(apart, [0, stride[1] - 1, 0, 0, 0, stride[0] - 1])
        height, width = height * stride[0], width * stride[1]
        gradient = apart.reshape(gradient.shape[0], gradient.shape[1], height, width)
    gradient = gradient[:, :, : wanted[0], : wanted[1]]
    short = [wanted[0] - gradient.shape[2], wanted[1] - gradient.shape[3]]
    return F.pad(gradient, [0, short[1], 0, short[0]]) if any(short) else gradient


def _to_grouped_weight(
    gradient: Tensor, x: Tensor, weight: Tensor,
    stride: list[int], padding: list[int], dilation: list[int], groups: int,
) -> Tensor:  # fmt: skip
    outputs, inputs, *kernel = weight.shape
    height, width = gradient.shape[2:]
    padded = F.pad(x, [padding[1], padding[1], padding[0], padding[0]])
    slopes = gradient.reshape(-1, groups, outputs // groups, 1, height, width)
    parts = []
    for row in range(kernel[0]):
        top = row * dilation[0]
        rows = padded[:, :, top : top + (height - 1) * stride[0] + 1 : stride[0]]
        for column in range(kernel[1]):
            left = column * dilation[1]
            shifted = rows[:, :, :, left : left + (width - 1) * stride[1] + 1 : stride[1]]
            shifted = shifted.reshape(-1, groups, 1, inputs, height, width)
            parts.append(_sum(slopes, shifted).reshape(outputs, inputs))
    return torch.stack(parts, dim=2).reshape(weight.shape)


def _sum(slopes: Tensor, shifted: Tensor) -> Tensor:
    """Σ over examples and places of each pair of channels of a group: [G, O / G, C / G]."""
    if shifted.shape[3] == 1:  # depthwise
        return (slopes * shifted).sum(dim=(0, 4, 5))
    left = slopes.squeeze(3).permute(1, 2, 0, 3, 4).flatten(2)
    right = shifted.squeeze(2).permute(1, 2, 0, 3, 4).flatten(2)
    return left @ right.transpose(1, 2)
