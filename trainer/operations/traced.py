"""Conv4's blocks as a traced gradient step has them: rows of pixels, gathered by constant places.

    pooled   first block by the moments of its patches, the others by Winograd's F(2×2, 3×3);
             maps lie as [pixels, B, C], the four pixels of a pooling window in four parts
    strided  first block likewise, the others by gathered rows; maps lie as [B, pixels, C]

Beside the form "matmul", of which the weights are, an exported step reads and writes less and
multiplies less: benchmarks/RESULTS.md. In eager torch its own convolutions are faster, and for one
query alone Winograd's transform of the weights costs more than it saves, so this form is only
traced where a step descends; it is closed under differentiation and runs under `vmap` like the
others. Every map has its transpose beside it: the gradient of a map is its transpose and the
transpose's is the map, so that all orders are the same two functions. A graph of them has a Gather
where slices, paddings and concatenations would copy the data several times.
"""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

from .normalise import Normalisation, Params, Statistics, absorb_sign, normalise, scale_and_shift
from .pooling import WINDOW, largest, pooling_order, quarters

Index = NDArray[np.int64]
PARITIES = ((0, 0), (0, 1), (1, 0), (1, 1))  # of row and column
# along one axis, of an even and of an odd pixel 2 i + 1: (tap, how far beyond i the output is)
READ_BY = (((1, 0),), ((2, 0), (0, 1)))
SPREAD_BELOW = 32  # output pixels
B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float)  # Bᵀ there
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], float)
A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float)  # Aᵀ there
BB, GG = np.kron(B, B), np.kron(G, G)
AA = np.kron(A, A)[[2 * row + column for row, column in WINDOW]]  # in the order of the window
Maps = tuple[Tensor, Statistics]  # [B, pixels, C] of the last block, and the statistics of all


def pooled_blocks(
    kind: Normalisation, params: Params, x: Tensor, statistics: Statistics | None, blocks: int
) -> Maps:
    """x [B, H, W, C] through blocks that each pool; a normalisation of POOLED_FIRST."""
    _, height, width, _ = x.shape
    gathered: Statistics = {}
    for block in range(blocks):
        name, windows = f"conv{block}", (height // 2) * (width // 2)
        if block == 0 and kind != "task":
            x, layer_statistics = first_block(kind, params, name, x, statistics, pooled=True)
        else:
            p = absorb_sign(params, name)
            weight = p[f"{name}.weight"]
            if block == 0:  # TaskNorm reads moments of each example
                y = _times(image_patches(x, pooled=True).permute(1, 2, 0), weight)
            else:
                y = winograd(x, weight, height, width)

            def pool(y: Tensor, windows: int = windows) -> Tensor:
                return largest(*quarters(y, windows))

            y, layer_statistics = normalise(kind, p, name, y, statistics, -1, pool, batch=1)
            x = torch.relu(y)
        gathered |= layer_statistics
        height, width = height // 2, width // 2
    return x.transpose(0, 1), gathered


def strided_blocks(
    kind: Normalisation, params: Params, x: Tensor, statistics: Statistics | None, blocks: int
) -> Maps:
    """x [B, H, W, C] through blocks of stride 2; a normalisation of POOLED_FIRST."""
    _, height, width, _ = x.shape
    gathered: Statistics = {}
    for block in range(blocks):
        name = f"conv{block}"
        if block == 0 and kind != "task":
            x, layer_statistics = first_block(kind, params, name, x, statistics, pooled=False)
        else:
            weight = params[f"{name}.weight"]
            if block == 0:
                y = _times(image_patches(x, pooled=False).permute(2, 1, 0), weight)
            else:
                y = convolve_strided(x, weight, height, width, last=block == blocks - 1)
            y, layer_statistics = normalise(kind, params, name, y, statistics, -1)
            x = torch.relu(y)
        gathered |= layer_statistics
        height, width = (height + 1) // 2, (width + 1) // 2
    return x, gathered


def _times(patches: Tensor, weight: Tensor) -> Tensor:
    """[m, n, K] times [K, O], as one product of two dimensions."""
    first, second, _ = patches.shape
    return (patches.flatten(0, 1) @ weight).reshape(first, second, -1)


def first_block(
    kind: Normalisation, params: Params, name: str, x: Tensor, statistics: Statistics | None,
    *, pooled: bool,
) -> tuple[Tensor, Statistics]:  # fmt: skip
    """Images [B, H, W, C] → [windows, B, O]; with stride 2 instead [B, pixels by parity, O].

    It goes through the moments of the image's patches, so that no pass normalises its map.

        P     [K, n, B]       each output pixel's K = 9 C inputs, a column each
        m, Σ  mean and covariance of P over pixels and examples
        y = wᵀ P              so its mean is wᵀ m and its variance wᵀ Σ w, channel by channel
        z = relu(max [w γ r; β − wᵀ m γ r]ᵀ [P; 1])    r = 1 / √(wᵀ Σ w + ε)

    P has few rows where the image has few channels, and w fewer still: the gradient of γ r goes
    through [K, O] alone. The affine map comes before the maximum, so that γ may have any sign; it
    is absorbed by w all the same where the block pools, because the statistics are then those of
    the other forms.
    """
    batch, height, width, _ = x.shape
    params = absorb_sign(params, name) if pooled else params
    weight, patches = params[f"{name}.weight"], image_patches(x, pooled=pooled)

    def measure() -> tuple[Tensor, Tensor]:
        flat = patches.flatten(1)
        mean = flat.mean(dim=1, keepdim=True)
        centred = flat - mean
        covariance = centred @ centred.t() / centred.shape[1]
        return (mean.t() @ weight)[0], (weight * (covariance @ weight)).sum(dim=0)

    scale, shift, layer_statistics = scale_and_shift(kind, params, name, statistics, measure)
    weight = torch.cat([weight * scale, shift[None]])
    patches = F.pad(patches, [0, 0, 0, 0, 0, 1], value=1.0)
    if not pooled:
        z = torch.relu(patches.transpose(1, 2).flatten(1).t() @ weight)
        return z.reshape(batch, -1, weight.shape[1]), layer_statistics
    windows = (height // 2) * (width // 2)
    four = (patches[:, k * windows : (k + 1) * windows].flatten(1) for k in range(4))
    z = torch.relu(largest(*(one.t() @ weight for one in four)))
    return z.reshape(windows, batch, -1), layer_statistics


def image_patches(x: Tensor, *, pooled: bool) -> Tensor:
    """P [9 C, n, B] of [B, H, W, C]: pixels in the order of pooling, or with stride 2 by parity."""
    _, height, width, channels = x.shape
    pixels = x.permute(1, 2, 3, 0).flatten(0, 1)
    taps = apply_map(pixels, _patches(height, width, pooled)).reshape(9, -1, channels, x.shape[0])
    return taps.transpose(1, 2).flatten(0, 1)


@cache
def _patches(height: int, width: int, pooled: bool) -> Map:
    """Pixels [H·W, C, B] to taps [9 n, C, B]."""
    index = _patch_places(height, width, pooled)
    back = transpose(index, height * width)
    return Map(lambda x: rows(append_zero(x), index[None]), lambda p: rows(append_zero(p), back))


def _patch_places(height: int, width: int, pooled: bool) -> Index:
    """[9 n]: of each tap, then each output pixel, its input pixel; H·W where there is none."""
    if pooled:
        centres = pooling_order(height, width)
    else:
        every = np.arange(height * width).reshape(height, width)[::2, ::2]
        centres = every.reshape(-1)[by_parity(*every.shape)]
    row, column = np.divmod(centres, width)
    row, column = row + np.array([[[-1]], [[0]], [[1]]]), column + np.array([[-1], [0], [1]])
    there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.where(there, row * width + column, height * width).reshape(-1)


def winograd(x: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """x [H·W, B, C] by rows and weight [9 C, O] → [H·W, B, O] in the order of pooling.

    F(2×2, 3×3), with rows that are ready for 2×2 pooling.

        U = (G ⊗ G) w     [16, C, O]       from weights [9, C, O]
        V = (B ⊗ B) D     [16, T, B, C]    from tiles D of 4×4 pixels, one each two pixels
        Y = (A ⊗ A) (V U)  [4, T, B, O]    of each tile the 2×2 outputs, a window of pooling

    Lavin and Gray 2016 (arXiv:1509.09308), section 4.1: 16 products for four outputs where the
    convolution has 36. The gradient is the transpose of each map, so that it has 16 as well:
    nothing is cut into patches again. Maps lie as [pixels, B, C], since then each tile is one
    Gather by constant places, whatever B is. Where a map is odd, outputs beyond its edge are
    computed and left out.
    """
    channels, outputs = x.shape[2], weight.shape[1]
    u = constant(GG, x) @ weight.reshape(9, channels * outputs)
    v = apply_map(x, _tiles(height, width))
    m = products(v, u.reshape(16, channels, outputs))
    y = constant(AA, x) @ m.reshape(16, -1)
    y = y.reshape(-1, x.shape[1], outputs)
    return y if height % 2 == width % 2 == 0 else apply_map(y, _inside(height, width))


@cache
def _tiles(height: int, width: int) -> Map:
    """Pixels [H·W, B, C] to V [16, T, B, C]."""
    index = _tile_places(height, width)
    tiles = len(index) // 16
    back = transpose(index, height * width)
    more = np.concatenate([BB.T, np.zeros((1, 16))])  # and T rows of zeros, for pixels at an edge

    def there(x: Tensor) -> Tensor:
        d = rows(append_zero(x), index[None])
        return (constant(BB, x) @ d.reshape(16, -1)).reshape(16, tiles, *x.shape[1:])

    def to_pixels(v: Tensor) -> Tensor:
        d = constant(more, v) @ v.reshape(16, -1)
        return rows(d.reshape(17 * tiles, *v.shape[2:]), back)

    return Map(there, to_pixels)


def _tile_places(height: int, width: int) -> Index:
    """[16 T]: for each place in a tile, then each tile, its pixel; H·W where there is none."""
    row = 2 * np.arange((height + 1) // 2) + np.arange(-1, 3)[:, None]  # [4, tiles down]
    column = 2 * np.arange((width + 1) // 2) + np.arange(-1, 3)[:, None]
    row, column = row[:, None, :, None], column[None, :, None, :]
    there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.where(there, row * width + column, height * width).reshape(-1)


@cache
def _inside(height: int, width: int) -> Map:
    """Outputs [4 T, B, O] of an odd map to [H·W, B, O], without those beyond its edge."""
    across = (width + 1) // 2
    tiles = (height + 1) // 2 * across
    row, column = np.divmod(pooling_order(height, width), width)
    places = {place: number for number, place in enumerate(WINDOW)}
    window = np.array([places[pair] for pair in zip(row % 2, column % 2, strict=True)])
    index = window * tiles + row // 2 * across + column // 2
    back = transpose(index, 4 * tiles)
    return Map(lambda y: rows(y, index[None]), lambda y: rows(append_zero(y), back))


def convolve_strided(
    x: Tensor, weight: Tensor, height: int, width: int, *, last: bool = False
) -> Tensor:
    """x [B, H·W, C] by parity and weight [9 C, O] → [B, ⌈H/2⌉·⌈W/2⌉, O] by parity; `last`: by rows.

    Its gradients are sums of products in torch's own operators, so right to any order.

    Products of gathered rows, and a gradient without overlaps.

        y = P(x) w              P [B, n, 9 C]: nine input pixels of each output pixel, a Gather
        ∂w = P(x)ᵀ ∂y
        ∂x = [P₀(∂y) w₀, …]      the input's pixels by the parity of their row and column

    A pixel of an even row and an even column was read once, one of an odd row or column twice, of
    both four times. For each of the four parities the gradient is a product of its own, of 1, 2, 2
    and 4 taps, where the products of all nine taps would have to be spread and added up. Small maps
    are spread: there, sorting the weights by parity costs more. Maps lie as [B, pixels, C], the
    pixels of each parity together, so that the four products are put side by side.
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
    spread = append_zero(gradient, 1).flatten(0, 1) @ weight.t()
    return rows(spread.reshape(gradient.shape[0], -1, weight.shape[0] // 9), places.spread, 1)


def _side_by_side(x: Tensor, index: Index, together: int) -> Tensor:
    """Pixels of x [B, P, C], `together` of them a row: [B, n, together · C]; pixel P is zeros."""
    taken = rows(append_zero(x, 1), index[None], 1)
    return taken.reshape(x.shape[0], len(index) // together, -1)


class _Places(NamedTuple):
    taps: Index  # [9 n]: of each output pixel, then each tap, its input pixel
    spread: Index  # the same from the input's side: [4, pixels] of n + 1 output pixels' taps
    read_by: tuple[Index, ...]  # of each parity, of its pixels the outputs that read them
    sorted_taps: tuple[tuple[int, ...], ...]  # of each parity the taps by which they do


@cache
def _places(height: int, width: int, last: bool) -> _Places:
    high, wide = (height + 1) // 2, (width + 1) // 2
    order = np.arange(high * wide) if last else by_parity(high, wide)
    place = np.pad(_number(by_parity(height, width), height), 1, constant_values=height * width)
    output = np.pad(_number(order, high), (0, 1), constant_values=high * wide)
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
    return _Places(taps, transpose(taps, height * width), tuple(read_by), tuple(sorted_taps))


def by_parity(height: int, width: int) -> Index:
    """Pixels [H·W] of a map, those of each parity together."""
    pixels = np.arange(height * width).reshape(height, width)
    return np.concatenate([pixels[row::2, column::2].reshape(-1) for row, column in PARITIES])


def _number(order: Index, height: int) -> Index:
    """Of each pixel of a map, [H, W], its place in `order`."""
    return np.argsort(order).reshape(height, -1)


class Map(NamedTuple):
    """A linear map A: `there` is A x, `back` is Aᵀ y."""

    there: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]


def apply_map(x: Tensor, pair: Map) -> Tensor:
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
        return apply_map(gradient, Map(ctx.back, ctx.there)), None, None


def rows(x: Tensor, index: Index, dim: int = 0) -> Tensor:
    """Σ over k of the rows index[k] of x along `dim`: x [P, ...] and index [K, n] → [n, ...]."""
    places = (torch.from_numpy(one.astype(np.int32)).to(x.device) for one in index)
    first, *rest = (x.index_select(dim, one) for one in places)
    for more in rest:
        first = first + more
    return first


def append_zero(x: Tensor, dim: int = 0) -> Tensor:
    """x with a row of zeros after its last along `dim`."""
    return F.pad(x, [0, 0] * (x.ndim - 1 - dim) + [0, 1])


def transpose(index: Index, source: int) -> Index:
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
