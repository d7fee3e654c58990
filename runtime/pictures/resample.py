"""Resizing and grey levels in numpy alone, the very values of docs/package-format.md and of Pillow.

For frames where Pillow is not installed. Each new pixel is a sum of integer weights times levels;
the sums are below 2⁵³, so that a product of float64 matrices is exact in whatever order it adds.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import InputSpec

Pixels = NDArray[np.uint8]
BITS = 22  # of the weights behind the point
BLOCK = 16  # new pixels in a product: more of them would multiply more zeros


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x else 1.0


def _bicubic(x: float) -> float:
    y = abs(x)
    if y < 1:
        return (1.5 * y - 2.5) * y * y + 1
    return -0.5 * (((y - 5) * y + 8) * y - 4) if y < 2 else 0.0


FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "box": (0.5, lambda x: 1.0 if -0.5 < x <= 0.5 else 0.0),
    "bilinear": (1.0, lambda x: max(0.0, 1.0 - abs(x))),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, lambda x: _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0),
}


def resample(
    pixels: Pixels, size: tuple[int, int], box: tuple[int, int, int, int], kind: str
) -> Pixels:
    """[h, w, C] at `size` = (width, height), of it the rows and columns of `box`.

    `box` is left, top, right, bottom in pixels of the new size. Rows first, then columns.
    """
    left, top, right, bottom = box
    across = _pass(pixels.swapaxes(0, 1), size[0], (left, right), kind)
    return np.ascontiguousarray(_pass(across.swapaxes(0, 1), size[1], (top, bottom), kind))


def grey(pixels: Pixels) -> Pixels:
    """[h, w, 3] → [h, w, 1]."""
    weighted: Array = pixels.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 2**15) >> 16).astype(np.uint8)[..., None]


def coloured(pixels: Pixels, spec: InputSpec) -> Pixels:
    """[h, w, 1 or 3] in the package's colours."""
    if spec.colour == "grey":
        return pixels if pixels.shape[2] == 1 else grey(pixels)
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def _pass(lines: Pixels, wanted: int, part: tuple[int, int], kind: str) -> Pixels:
    """[n, …] → [part, …]: the first axis as `wanted` new pixels, of which a part is made."""
    count, first, last = len(lines), *part
    if count == wanted:
        return lines[first:last]
    flat = np.ascontiguousarray(lines).reshape(count, -1)
    made = np.empty((last - first, flat.shape[1]), np.uint8)
    for at in range(first, last, BLOCK):
        weights = _weights(count, wanted, kind)[at : min(at + BLOCK, last)]
        start = weights[0][0]
        stop = max(begin + len(values) for begin, values in weights)
        matrix = np.zeros((len(weights), stop - start))
        for row, (begin, values) in zip(matrix, weights, strict=True):
            row[begin - start : begin - start + len(values)] = values
        sums = matrix @ flat[start:stop].astype(np.float64)
        levels = np.floor((sums + 2 ** (BITS - 1)) / 2**BITS)
        made[at - first : at - first + len(weights)] = levels.clip(0, 255)
    return made.reshape(last - first, *lines.shape[1:])


@lru_cache(maxsize=8)  # a camera's frames have one size
def _weights(count: int, wanted: int, kind: str) -> list[tuple[int, tuple[int, ...]]]:
    """For each new pixel the first old one that it is made of, and the weights × 2²²."""
    support, function = FILTERS[kind]
    scale = count / wanted
    wide = max(scale, 1.0)
    reach = support * wide
    lines = []
    for i in range(wanted):
        centre = (i + 0.5) * scale
        first = max(0, math.floor(centre - reach + 0.5))
        last = min(count, math.floor(centre + reach + 0.5))
        inverse = 1 / wide
        raw = [function((j - centre + 0.5) * inverse) for j in range(first, last)]
        total = 0.0
        for weight in raw:
            total += weight
        scaled = [(w / total if total else w) * 2**BITS for w in raw]
        lines.append((first, tuple(math.trunc(w + math.copysign(0.5, w)) for w in scaled)))
    return lines
