"""Preprocessing a second time, in numpy and integers, from docs/package-format.md alone."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.runtime.package.manifest import InputSpec

Integers = NDArray[np.int64]
BITS = 22


def box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def bilinear(x: float) -> float:
    return max(0.0, 1 - abs(x))


def bicubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0


def sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def lanczos(x: float) -> float:
    return sinc(x) * sinc(x / 3) if -3 <= x < 3 else 0.0


FILTERS: dict[str, tuple[Callable[[float], float], float]] = {
    "box": (box, 0.5),
    "bilinear": (bilinear, 1),
    "bicubic": (bicubic, 2),
    "lanczos": (lanczos, 3),
}


def coefficients(count: int, wanted: int, interpolation: str) -> list[tuple[int, Integers]]:
    """For each new pixel of a line of `count`: the first old one, and integer weights × 2²²."""
    kernel, reach = FILTERS[interpolation]
    scale = count / wanted
    widened = max(scale, 1.0)
    reach *= widened
    weights = []
    for i in range(wanted):
        centre = (i + 0.5) * scale
        first = max(0, math.trunc(centre - reach + 0.5))
        after = min(count, math.trunc(centre + reach + 0.5))
        line = [kernel((j - centre + 0.5) * (1 / widened)) for j in range(first, after)]
        total = 0.0
        for weight in line:
            total += weight
        line = [weight / total if total else weight for weight in line]
        whole = [math.trunc(w * 2**BITS + (0.5 if w >= 0 else -0.5)) for w in line]
        weights.append((first, np.array(whole, np.int64)))
    return weights


def one_pass(pixels: Integers, wanted: int, interpolation: str) -> Integers:
    """The first axis of [count, ...] resized to `wanted`."""
    if len(pixels) == wanted:
        return pixels
    lines = [
        np.tensordot(weights, pixels[first : first + len(weights)], axes=1)
        for first, weights in coefficients(len(pixels), wanted, interpolation)
    ]
    levels: Integers = np.clip((np.stack(lines) + 2 ** (BITS - 1)) >> BITS, 0, 255)
    return levels


def grey(rgb: Integers) -> Integers:
    red, green, blue = np.moveaxis(rgb, -1, 0)
    level: Integers = (19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16
    return level[..., None]


def on_white(rgba: Integers) -> Integers:
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    return (colour * alpha + 255 * (255 - alpha) + 127) // 255


def pixels(decoded: Any, spec: InputSpec) -> Integers:
    """Upright samples [H, W], [H, W, 3 or 4], 8 or 16 bits, as [h, w, C] from 0 to 255."""
    high = decoded >> 8 if decoded.dtype == np.uint16 else decoded
    samples: Integers = np.asarray(high, np.int64)
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.shape[2] == 4:
        samples = on_white(samples)
    if spec.colour == "grey" and samples.shape[2] == 3:
        samples = grey(samples)
    elif spec.colour == "rgb":
        samples = np.broadcast_to(samples, (*samples.shape[:2], 3))
    assert spec.resize is not None
    assert spec.interpolation is not None
    rows, columns = spec.shape[:2] if spec.layout == "HWC" else spec.shape[1:]
    tall, wide = samples.shape[:2]
    short = min(tall, wide)
    if spec.fit == "square":
        height, width = ((2 * side * spec.resize + short) // (2 * short) for side in (tall, wide))
    elif wide * rows >= tall * columns:
        height, width = max(1, (2 * tall * columns + wide) // (2 * wide)), columns
    else:
        height, width = rows, max(1, (2 * wide * rows + tall) // (2 * tall))
    across = one_pass(samples.swapaxes(0, 1), width, spec.interpolation).swapaxes(0, 1)
    down = one_pass(across, height, spec.interpolation)
    top, left = (height - rows) // 2, (width - columns) // 2
    if spec.fit == "whole":
        ground = np.full((rows, columns, down.shape[2]), 255 if spec.invert else 127)
        ground[-top : height - top, -left : width - left] = down
        return ground
    return down[top : top + rows, left : left + columns]


def prepared(decoded: Any, spec: InputSpec) -> NDArray[np.float32]:
    """What the graphs read."""
    levels = pixels(decoded, spec)
    levels = 255 - levels if spec.invert else levels
    values = levels.astype(np.float32) * np.float32(spec.scale) + np.float32(spec.offset)
    return values if spec.layout == "HWC" else values.transpose(2, 0, 1)
