"""Conv4's first block through the moments of its patches, so that no pass normalises its map.

    P     [K, n, B]       each output pixel's K = 9 C inputs, a column each
    m, Σ  mean and covariance of P over pixels and examples
    y = wᵀ P              so its mean is wᵀ m and its variance wᵀ Σ w, channel by channel
    z = relu(max [w γ r; β − wᵀ m γ r]ᵀ [P; 1])    r = 1 / √(wᵀ Σ w + ε)

P has few rows where the image has few channels, and w fewer still: the gradient of γ r goes through
[K, O] alone. The affine map comes before the maximum, so that γ may have any sign; it is absorbed
by w all the same where the block pools, because the statistics are then those of the other forms.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .linear import Index, Map, mapped, rows, transposed, with_zero
from .normalise import Normalisation, Params, Statistics, scale_and_shift, sign_absorbed
from .pooling import largest, pooling_order
from .strided import by_parity


def first_block(
    kind: Normalisation, params: Params, name: str, x: Tensor, statistics: Statistics | None,
    *, pooled: bool,
) -> tuple[Tensor, Statistics]:  # fmt: skip
    """Images [B, H, W, C] → [windows, B, O]; with stride 2 instead [B, pixels by parity, O]."""
    batch, height, width, _ = x.shape
    params = sign_absorbed(params, name) if pooled else params
    weight, patches = params[f"{name}.weight"], image_patches(x, pooled=pooled)

    def measured() -> tuple[Tensor, Tensor]:
        flat = patches.flatten(1)
        mean = flat.mean(dim=1, keepdim=True)
        centred = flat - mean
        covariance = centred @ centred.t() / centred.shape[1]
        return (mean.t() @ weight)[0], (weight * (covariance @ weight)).sum(dim=0)

    scale, shift, layer_statistics = scale_and_shift(kind, params, name, statistics, measured)
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
    taps = mapped(pixels, _patches(height, width, pooled)).reshape(9, -1, channels, x.shape[0])
    return taps.transpose(1, 2).flatten(0, 1)


@cache
def _patches(height: int, width: int, pooled: bool) -> Map:
    """Pixels [H·W, C, B] to taps [9 n, C, B]."""
    index = _places(height, width, pooled)
    back = transposed(index, height * width)
    return Map(lambda x: rows(with_zero(x), index[None]), lambda p: rows(with_zero(p), back))


def _places(height: int, width: int, pooled: bool) -> Index:
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
