"""Maximum over pairs, with a gradient that goes to the first of the largest."""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


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
