"""Samples at one rate to samples at another, by a windowed sinc; docs/package-format.md has it.

y_m = Σ_k x_k f(c (m r/s − k)) / Σ_k f(c (m r/s − k))     from r to s samples a second
f(u) = sin(πu)/(πu) · cos²(πu / 2Z) for |u| < Z, else 0
c    = 0.97 · min(1, s/r)
"""

from math import gcd

import numpy as np

from handful.runtime.arrays import Array

ZEROS = 32  # Z, of the sinc on either side
CUT = 0.97  # of the lower of both Nyquist frequencies, where f has half its height
PER_TIME = 2**20  # products at a time


def resampled(x: Array, old: int, new: int) -> Array:
    """x [n] from `old` to `new` samples a second: float64 [⌈n · new / old⌉]."""
    x = np.asarray(x, np.float64)
    if old == new:
        return x
    common = gcd(old, new)
    up, down = new // common, old // common
    reach = int(np.ceil(ZEROS / (CUT * min(1, up / down))))  # old samples on either side
    padded = np.concatenate([np.zeros(reach), x, np.zeros(reach + 1)])
    count = -(-len(x) * up // down)
    y = np.empty(count)
    taps = np.arange(2 * reach + 1)
    per_time = max(1, PER_TIME // len(taps))
    for at in range(0, count, per_time):
        place = np.arange(at, min(at + per_time, count), dtype=np.int64) * down
        whole, phase = place // up, place % up
        phases, which = np.unique(phase, return_inverse=True)
        weights = _weights(phases / up, reach, min(1, up / down))
        y[at : at + per_time] = np.einsum("mk,mk->m", padded[whole[:, None] + taps], weights[which])
    return y


def _weights(fraction: Array, reach: int, ratio: float) -> Array:
    """Of old samples −reach … reach for places at these fractions of a sample, [P, 2 reach + 1]."""
    u = CUT * ratio * (fraction[:, None] - np.arange(-reach, reach + 1))
    f = np.where(np.abs(u) < ZEROS, np.sinc(u) * np.cos(np.pi * u / (2 * ZEROS)) ** 2, 0)
    weights: Array = f / f.sum(axis=1, keepdims=True)
    return weights
