"""The scales of 8-bit filters, small enough that no CPU's sums overflow.

CPUs with AVX2 but no VNNI multiply 8-bit activations a, 0 to 255, by filters w, −127 to 127, and
add neighbouring products in pairs of 16 bits before they go on in 32. a₁w₁ + a₂w₂ may be 64,770
there, and becomes 32,767. A filter's scale is therefore the least at which

    |w| ≤ 127    and    |w₁ + w₂| ≤ 127 for each pair of one sign

so that a pair is at most 255 · 128 (1 for rounding), and every CPU gets the same levels. Filters of
one pixel are read channel after channel, in pairs; in wider ones any two may meet. Those of one
channel are never multiplied in this way.

The usual remedy, filters of 7 bits throughout, is twice as coarse; this is 1.2 times as coarse in
EfficientNet-Lite0, and equally fast (docs/photos.md).
"""

from __future__ import annotations

import numpy as np

from handful.runtime.arrays import Floats

MOST = 127
LEAST = 1e-4  # of the largest scale: a filter that is all zeros needs one too


def filter_scales(weight: Floats) -> Floats:
    """A scale for each filter of weight [M, C, …], [M]."""
    rows = weight.reshape(len(weight), -1)
    largest = np.abs(rows).max(axis=1)
    if weight.shape[1] > 1:
        one_pixel = rows.shape[1] == weight.shape[1]
        largest = np.maximum(largest, _neighbours(rows) if one_pixel else _any_two(rows))
    scales: Floats = np.maximum(largest, max(LEAST * largest.max(), 1e-30)) / np.float32(MOST)
    return scales


def _neighbours(rows: Floats) -> Floats:
    """The largest |w₁ + w₂| of a filter's pairs of one sign, the first with the second, …: [M]."""
    pairs = np.pad(rows, [(0, 0), (0, rows.shape[1] % 2)]).reshape(len(rows), -1, 2)
    same = pairs[..., 0] * pairs[..., 1] > 0
    sums: Floats = np.abs(pairs.sum(axis=2) * same).max(axis=1)
    return sums


def _any_two(rows: Floats) -> Floats:
    """The largest |w₁ + w₂| of any two weights of one sign in a filter: [M]."""
    signs = [np.sort(np.maximum(side, 0), axis=1)[:, -2:].sum(axis=1) for side in (rows, -rows)]
    sums: Floats = np.maximum(*signs)
    return sums
