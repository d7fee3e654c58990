"""Linear maps with their transposes: rows put in another order, and products of batched matrices.

A map's gradient is its transpose and the transpose's is the map, so that all orders are the same
two functions, under `vmap` and in a traced graph as well. A graph of them has a Gather by constant
places where slices, paddings and concatenations would copy the data several times.
"""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

Index = NDArray[np.int64]


class Map(NamedTuple):
    """A linear map A: `there` is A x, `back` is Aᵀ y."""

    there: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]


def mapped(x: Tensor, pair: Map) -> Tensor:
    """A x."""
    result: Tensor = _Mapped.apply(x, pair.there, pair.back)  # type: ignore[no-untyped-call]
    return result


class _Mapped(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]
    ) -> Tensor:
        return there(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.there, ctx.back = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return mapped(gradient, Map(ctx.back, ctx.there)), None, None


def rows(x: Tensor, index: Index, dim: int = 0) -> Tensor:
    """Σ over k of the rows index[k] of x along `dim`: x [P, ...] and index [K, n] → [n, ...]."""
    places = (torch.from_numpy(one.astype(np.int32)).to(x.device) for one in index)
    first, *rest = (x.index_select(dim, one) for one in places)
    for more in rest:
        first = first + more
    return first


def with_zero(x: Tensor, dim: int = 0) -> Tensor:
    """x with a row of zeros after its last along `dim`."""
    return F.pad(x, [0, 0] * (x.ndim - 1 - dim) + [0, 1])


def transposed(index: Index, source: int) -> Index:
    """Where each of `source` rows went, [K, source].

    `index` [n] says which row each of n places is, `source` being zeros; where a row went to fewer
    than K places, n stands for the rest.
    """
    found: list[list[int]] = [[] for _ in range(source + 1)]
    for place, row in enumerate(index.tolist()):
        found[row].append(place)
    most = max(len(places) for places in found[:source])
    nowhere = [len(index)] * most
    return np.array([(places + nowhere)[:most] for places in found[:source]]).T.copy()


def constant(matrix: NDArray[np.float64], like: Tensor) -> Tensor:
    """The matrix in the type of `like`, and where that is."""
    return torch.tensor(matrix, dtype=like.dtype, device=like.device)


def products(x: Tensor, weight: Tensor) -> Tensor:
    """x [M, n, B, C] times weight [M, C, O] → [M, n, B, O]."""
    result: Tensor = _Products.apply(x, weight)  # type: ignore[no-untyped-call]
    return result


class _Products(Function):
    """∂weight = xᵀ ∂y with a Reshape between the transposition and the product: onnxruntime would
    fuse them into a product of transposed matrices, which is slower for a batch of them.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        y = torch.bmm(x.flatten(1, 2), weight)
        return y.reshape(*x.shape[:3], weight.shape[2])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        to_x, to_weight = ctx.needs_input_grad
        return (
            products(gradient, weight.transpose(1, 2)) if to_x else None,
            torch.bmm(x.permute(0, 3, 1, 2).flatten(2), gradient.flatten(1, 2))
            if to_weight
            else None,
        )
