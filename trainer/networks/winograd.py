"""A 3×3 convolution by Winograd's F(2×2, 3×3), with rows that are ready for 2×2 pooling.

    U = (G ⊗ G) w     [16, C, O]       from weights [9, C, O]
    V = (B ⊗ B) D     [16, T, B, C]    from tiles D of 4×4 pixels, one each two pixels
    Y = (A ⊗ A) (V U)  [4, T, B, O]    of each tile the 2×2 outputs, which are a window of pooling

Lavin and Gray 2016 (arXiv:1509.09308), section 4.1: 16 products for four outputs where the
convolution has 36. The gradient is the transpose of each map, so that it has 16 as well: nothing is
cut into patches again. Maps lie as [pixels, B, C], since then each tile is one Gather by constant
places, whatever B is. Where a map is odd, outputs beyond its edge are computed and left out.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from torch import Tensor

from .linear import Index, Map, constant, mapped, products, rows, transposed, with_zero
from .pooling import WINDOW, pooling_order

B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float)  # Bᵀ there
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], float)
A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float)  # Aᵀ there
BB, GG = np.kron(B, B), np.kron(G, G)
AA = np.kron(A, A)[[2 * row + column for row, column in WINDOW]]  # in the order of the window


def winograd(x: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """x [H·W, B, C] by rows and weight [9 C, O] → [H·W, B, O] in the order of pooling."""
    channels, outputs = x.shape[2], weight.shape[1]
    u = constant(GG, x) @ weight.reshape(9, channels * outputs)
    v = mapped(x, _tiles(height, width))
    m = products(v, u.reshape(16, channels, outputs))
    y = constant(AA, x) @ m.reshape(16, -1)
    y = y.reshape(-1, x.shape[1], outputs)
    return y if height % 2 == width % 2 == 0 else mapped(y, _inside(height, width))


@cache
def _tiles(height: int, width: int) -> Map:
    """Pixels [H·W, B, C] to V [16, T, B, C]."""
    index = _tile_places(height, width)
    tiles = len(index) // 16
    back = transposed(index, height * width)
    more = np.concatenate([BB.T, np.zeros((1, 16))])  # and T rows of zeros, for pixels at an edge

    def there(x: Tensor) -> Tensor:
        d = rows(with_zero(x), index[None])
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
    back = transposed(index, 4 * tiles)
    return Map(lambda y: rows(y, index[None]), lambda y: rows(with_zero(y), back))
