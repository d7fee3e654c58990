"""Maximum over pairs and over windows, with a gradient that goes to the first of the largest."""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

# rows and columns of a 2×2 window in the order in which the first of equals is found
WINDOW = ((0, 0), (0, 1), (1, 0), (1, 1))


def larger_half(x: Tensor) -> Tensor:
    """x [..., 2 n] → the maximum of its two halves [..., n]; of equals the first has the gradient.

    torch's own maximum divides the gradient of equals, which takes five passes over the data.
    """
    larger: Tensor = _LargerHalf.apply(x)  # type: ignore[no-untyped-call]
    return larger


class _LargerHalf(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        first, second = _halves(x)
        return torch.maximum(first, second)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        first, second = _halves(ctx.saved_tensors[0])
        to_second = gradient * (second > first).to(gradient.dtype)
        return torch.cat([gradient - to_second, to_second], dim=-1)


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def pooling_order(height: int, width: int) -> NDArray[np.int64]:
    """Pixels [H·W] of a map: the first of each 2×2 window, row by row, then the second of each, and
    so on; at the end those of an odd last row or column, which pooling drops.
    """
    pixels = np.arange(height * width).reshape(height, width)
    whole = pixels[: height // 2 * 2, : width // 2 * 2]
    windows = [whole[row::2, column::2].reshape(-1) for row, column in WINDOW]
    return np.concatenate([*windows, np.setdiff1d(pixels, whole)])


def quarters(x: Tensor, windows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First to fourth pixels of all windows, [windows, ...], of x [H·W, ...] in pooling order."""
    four: tuple[Tensor, Tensor, Tensor, Tensor] = _Quarters.apply(x, windows)  # type: ignore[no-untyped-call]
    return four


class _Quarters(Function):
    """The gradient is one concatenation; that of four slices would be four, and sums."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, windows: int) -> tuple[Tensor, ...]:
        return tuple(x[k * windows : (k + 1) * windows].clone() for k in range(4))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Any) -> None:
        ctx.dropped = inputs[0].shape[0] - 4 * inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        dropped = gradients[0].new_zeros(ctx.dropped, *gradients[0].shape[1:])
        return torch.cat([*gradients, *([dropped] if ctx.dropped else [])]), None


def largest(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The largest of four tensors, entry by entry; of equals the first has the gradient."""
    result: Tensor = _Largest.apply(a, b, c, d)  # type: ignore[no-untyped-call]
    return result


class _Largest(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return torch.maximum(torch.maximum(a, b), torch.maximum(c, d))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        a, b, c, d = ctx.saved_tensors
        later = gradient * (torch.maximum(c, d) > torch.maximum(a, b)).to(gradient.dtype)
        earlier = gradient - later
        to_b = earlier * (b > a).to(gradient.dtype)
        to_d = later * (d > c).to(gradient.dtype)
        return earlier - to_b, to_b, later - to_d, to_d
