"""A 3×3 convolution with stride 2 as products of gathered rows, and its gradient without overlaps.

    y = P(x) w              P [B, n, 9 C]: of each output pixel its nine input pixels, one Gather
    ∂w = P(x)ᵀ ∂y
    ∂x = [P₀(∂y) w₀, …]      the input's pixels by the parity of their row and column

A pixel of an even row and an even column was read once, one of an odd row or column twice, of both
four times. For each of the four parities the gradient is a product of its own, of 1, 2, 2 and 4
taps, where the products of all nine taps would have to be spread and added up. Small maps are
spread: there, sorting the weights by parity costs more. Maps lie as [B, pixels, C], the pixels of
each parity together, so that the four products are put side by side.
"""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from .linear import Index, rows, transposed, with_zero

PARITIES = ((0, 0), (0, 1), (1, 0), (1, 1))  # of row and column
# along one axis, of an even and of an odd pixel 2 i + 1: (tap, how far beyond i the output is)
READ_BY = (((1, 0),), ((2, 0), (0, 1)))
SPREAD_BELOW = 32  # output pixels


class _Places(NamedTuple):
    taps: Index  # [9 n]: of each output pixel, then each tap, its input pixel
    spread: Index  # the same from the input's side: [4, pixels] of n + 1 output pixels' taps
    read_by: tuple[Index, ...]  # of each parity, of its pixels the outputs that read them
    sorted_taps: tuple[tuple[int, ...], ...]  # of each parity the taps by which they do


def by_parity(height: int, width: int) -> Index:
    """Pixels [H·W] of a map, those of each parity together."""
    pixels = np.arange(height * width).reshape(height, width)
    return np.concatenate([pixels[row::2, column::2].reshape(-1) for row, column in PARITIES])


def strided(x: Tensor, weight: Tensor, height: int, width: int, *, last: bool = False) -> Tensor:
    """x [B, H·W, C] by parity and weight [9 C, O] → [B, ⌈H/2⌉·⌈W/2⌉, O] by parity; `last`: by rows.

    Its gradients are sums of products in torch's own operators, so right to any order.
    """
    y: Tensor = _Strided.apply(x, weight, height, width, last)  # type: ignore[no-untyped-call]
    return y


class _Strided(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, height: int, width: int, last: bool) -> Tensor:
        patches = _side_by_side(x, _places(height, width, last).taps, 9)
        return (patches.flatten(0, 1) @ weight).reshape(x.shape[0], -1, weight.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.map = inputs[2:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        to_x, to_weight = ctx.needs_input_grad[:2]
        places = _places(*ctx.map)
        to_input = _to_input_spread if gradient.shape[1] < SPREAD_BELOW else _to_input_by_parity
        patches = _side_by_side(x, places.taps, 9).flatten(0, 1) if to_weight else None
        return (
            to_input(gradient, weight, places) if to_x else None,
            None if patches is None else patches.t() @ gradient.flatten(0, 1),
            None,
            None,
            None,
        )


def _to_input_by_parity(gradient: Tensor, weight: Tensor, places: _Places) -> Tensor:
    counts = [len(taps) for taps in places.sorted_taps]
    order = torch.tensor(sum(places.sorted_taps, ()), device=weight.device)
    turned = weight.reshape(9, -1, weight.shape[1]).transpose(1, 2).index_select(0, order)
    parts = []
    for outputs, taps in zip(places.read_by, torch.split_with_sizes(turned, counts), strict=True):
        patches = _side_by_side(gradient, outputs, len(taps))
        part = patches.flatten(0, 1) @ taps.flatten(0, 1)
        parts.append(part.reshape(gradient.shape[0], -1, part.shape[1]))
    return torch.cat(parts, dim=1)


def _to_input_spread(gradient: Tensor, weight: Tensor, places: _Places) -> Tensor:
    spread = with_zero(gradient, 1).flatten(0, 1) @ weight.t()
    return rows(spread.reshape(gradient.shape[0], -1, weight.shape[0] // 9), places.spread, 1)


def _side_by_side(x: Tensor, index: Index, together: int) -> Tensor:
    """Pixels of x [B, P, C], `together` of them a row: [B, n, together · C]; pixel P is zeros."""
    taken = rows(with_zero(x, 1), index[None], 1)
    return taken.reshape(x.shape[0], len(index) // together, -1)


@cache
def _places(height: int, width: int, last: bool) -> _Places:
    high, wide = (height + 1) // 2, (width + 1) // 2
    order = np.arange(high * wide) if last else by_parity(high, wide)
    place = np.pad(_numbered(by_parity(height, width), height), 1, constant_values=height * width)
    output = np.pad(_numbered(order, high), (0, 1), constant_values=high * wide)
    row, column = (2 * axis[:, None, None] for axis in np.divmod(order, wide))
    taps = place[row + np.arange(3)[:, None], column + np.arange(3)].reshape(-1)
    read_by, sorted_taps = [], []
    for odd_row, odd_column in PARITIES:
        down, across = READ_BY[odd_row], READ_BY[odd_column]
        i = np.arange((height + 1 - odd_row) // 2)[:, None, None, None]
        j = np.arange((width + 1 - odd_column) // 2)[:, None, None]
        further = np.array([[beyond] for _, beyond in down]), np.array([b for _, b in across])
        read_by.append(output[i + further[0], j + further[1]].reshape(-1))
        sorted_taps.append(tuple(3 * tap + other for tap, _ in down for other, _ in across))
    return _Places(taps, transposed(taps, height * width), tuple(read_by), tuple(sorted_taps))


def _numbered(order: Index, height: int) -> Index:
    """Of each pixel of a map, [H, W], its place in `order`."""
    return np.argsort(order).reshape(height, -1)
