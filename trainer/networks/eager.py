"""Convolution, moments and pooling by torch's fused kernels: the forms of one task at a time.

Maps are [B, C, H, W] with channels last in memory, where torch's kernels for them are ten times as
fast as elsewhere. All of it may be differentiated as often as one likes; under `vmap`, on a GPU and
in a traced graph the forms of convolution.py and pooling.py take its place.
"""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch.autograd import Function

from .convolution import patches, tracing

aten = torch.ops.aten
FEW = 3  # channels, up to which a product of patches is faster than torch's convolution
WINDOW = [2, 2]


def is_eager(x: Tensor) -> bool:
    """Whether x is computed with as it is: on a CPU, not traced, and not one of many under vmap."""
    if x.device.type != "cpu" or tracing():
        return False
    return all(level.key() != TransformType.Vmap for level in get_interpreter_stack() or ())


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """x [B, C, H, W] and weight [9 C, O] → [B, O, ⌈H / stride⌉, ⌈W / stride⌉], padding 1."""
    channels, outputs = x.shape[1], weight.shape[1]
    if channels <= FEW:
        cut = patches(x.permute(0, 2, 3, 1), stride)
        y = cut.reshape(-1, weight.shape[0]) @ weight
        return y.reshape(*cut.shape[:3], outputs).permute(0, 3, 1, 2)
    kernel = weight.reshape(3, 3, channels, outputs).permute(3, 2, 0, 1)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, kernel, stride=stride, padding=1)


def pooled_moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x [B, C, H, W] → mean and biased variance [1, C, 1, 1], and the maximum over 2×2 windows.

    Of equals in a window the first has the gradient, row by row.
    """
    moments_and_pooled: tuple[Tensor, ...] = _PooledMoments.apply(x)  # type: ignore[no-untyped-call]
    mean, var, pooled, _ = moments_and_pooled
    return mean, var, pooled


class _PooledMoments(Function):
    """Together, so that both gradients of x are one tensor: a + b x, and those of the windows."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, var = aten.batch_norm_update_stats(x, None, None, 0.0)
        pooled, places = aten.max_pool2d_with_indices(x, WINDOW, WINDOW)
        return mean.reshape(1, -1, 1, 1), var.reshape(1, -1, 1, 1), pooled, places

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        mean, _, _, places = output
        ctx.mark_non_differentiable(places)
        ctx.save_for_backward(inputs[0], mean, places)

    @staticmethod
    def backward(ctx: Any, to_mean: Tensor, to_var: Tensor, to_pooled: Tensor, _: Any) -> Tensor:
        x, mean, places = ctx.saved_tensors
        count = x.numel() // mean.numel()
        b = to_var * (2 / count)
        gradient: Tensor = _Unpooled.apply(x, to_mean / count - b * mean, b, to_pooled, places)  # type: ignore[no-untyped-call]
        return gradient


class _Unpooled(Function):
    """a + b x, and at its place in each window the entry of `windows`; linear but for b x."""

    @staticmethod
    def forward(x: Tensor, a: Tensor, b: Tensor, windows: Tensor, places: Tensor) -> Tensor:
        spread: Tensor = aten.max_pool2d_with_indices_backward(
            windows, x, WINDOW, WINDOW, [0, 0], [1, 1], False, places
        )
        return spread.addcmul_(x, b).add_(a)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x, _, b, _, places = inputs
        ctx.save_for_backward(x, b, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, b, places = ctx.saved_tensors
        to_a = gradient.sum((0, 2, 3), keepdim=True)
        to_b = (gradient * x).sum((0, 2, 3), keepdim=True)
        return gradient * b, to_a, to_b, _taken(gradient, places), None


def _taken(x: Tensor, places: Tensor) -> Tensor:
    """The entry of x [B, C, H, W] at each window's place [B, C, H′, W′]."""
    flat, index = (t.permute(0, 2, 3, 1).flatten(1, 2) for t in (x, places))
    batch, channels, height, width = places.shape
    taken: Tensor = flat.gather(1, index)
    return taken.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
