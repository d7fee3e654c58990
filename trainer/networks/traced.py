"""Conv4's blocks as a traced gradient step has them: a third form, of rows of pixels.

    pooled   first block by the moments of its patches, the others by Winograd's F(2×2, 3×3);
             maps lie as [pixels, B, C], the four pixels of a pooling window in four parts
    strided  first block likewise, the others by gathered rows; maps lie as [B, pixels, C]

Beside the form "matmul", of which the weights are, an exported step reads and writes less and
multiplies less: benchmarks/RESULTS.md. In eager torch its own convolutions are faster, and for one
query alone Winograd's transform of the weights costs more than it saves, so this form is only
traced where a step descends; it is closed under differentiation and runs under `vmap` like the
others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .first_block import first_block, image_patches
from .normalise import Normalisation, Params, Statistics, normalise, sign_absorbed
from .pooling import largest, quarters
from .strided import strided
from .winograd import winograd

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
            p = sign_absorbed(params, name)
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
                y = strided(x, weight, height, width, last=block == blocks - 1)
            y, layer_statistics = normalise(kind, params, name, y, statistics, -1)
            x = torch.relu(y)
        gathered |= layer_statistics
        height, width = (height + 1) // 2, (width + 1) // 2
    return x, gathered


def _times(patches: Tensor, weight: Tensor) -> Tensor:
    """[m, n, K] times [K, O], as one product of two dimensions."""
    first, second, _ = patches.shape
    return (patches.flatten(0, 1) @ weight).reshape(first, second, -1)
