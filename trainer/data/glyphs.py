"""Glyphs: invented characters, drawn here, so that everything runs without a data set.

Class c is a stroke program made from the seed [SEED, c]; each of its examples moves the control
points a little and has its own thickness, slant, rotation, size and place.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from handful.runtime.arrays import Array, Floats

from .config import DataConfig
from .errors import DataError
from .fingerprint import of_examples
from .labelled import LabelledSet
from .pictures import drawing_spec
from .record import RecordedPart
from .splits import Part, known_classes
from .strokes import program

SEED = 2017  # of the alphabet itself, the same for every run
SIZE = 28  # pixels, as Omniglot is commonly scaled
# First class, classes, examples of each. Training wants many classes with few examples (Omniglot
# has 1200 of 20); validation and test hold 5 shots and 15 queries, as the published episodes do.
PARTS: dict[Part, tuple[int, int, int]] = {
    "meta_train": (0, 2000, 10),
    "meta_val": (2000, 200, 20),
    "meta_test": (2200, 400, 20),
}
SPEC = drawing_spec(SIZE)  # a glyph is bright on dark, a picture file dark on light

# How much examples of a class differ. Chosen by eye on a sheet of samples, and so that the nearest
# neighbour on pixels is right in 64 % of 5-way 1-shot tasks: neither lost nor done.
INK = 20.0  # pixels across the largest character
JITTER = 0.045  # of a control point, in widths of the character
SLANT = 0.15
ROTATION = 0.12  # radians
STRETCH = 0.08  # of log width, log height
SHIFT = 1.0  # pixels
HALF_WIDTH = (0.85, 0.18)  # of the pen in pixels, mean and deviation
NOISES = 8  # drawn for an example beside its control points


def load_glyphs(
    config: DataConfig, part: Part, *, recorded: RecordedPart | None = None
) -> LabelledSet:
    """The part's classes, drawn on the spot; with rotations each is four classes."""
    if config.image_size != SIZE:
        raise DataError(
            f"data.image_size is {config.image_size}, glyphs are drawn at {SIZE} pixels a side",
            hint=f"set data.image_size = {SIZE}",
        )
    first, classes, examples = PARTS[part]
    numbers = range(first, first + classes)
    x = np.empty((classes, examples, SIZE, SIZE, 1), np.uint8)
    for row, number in zip(x, numbers, strict=True):
        row[:] = draw_class(number, examples)
    drawn = LabelledSet(
        torch.from_numpy(x).flatten(0, 1),
        torch.full((classes,), examples),
        tuple(f"glyph-{number:04}" for number in numbers),
        SPEC,
    )
    if recorded is not None:
        drawn = drawn.take(known_classes(drawn.classes, part, list(recorded.classes)))
    drawn = replace(drawn, facts=of_examples(drawn))
    return drawn.rotated() if config.rotations else drawn


def draw_class(number: int, examples: int) -> NDArray[np.uint8]:
    """The first `examples` drawings [K, 28, 28, 1] of a class; a longer series begins alike."""
    rng = np.random.default_rng([SEED, number])
    basis, control, segments = program(rng)
    noise = rng.standard_normal((examples, 2 * len(control) + NOISES), np.float32).clip(-2, 2)
    factors, moves = noise[:, :NOISES], noise[:, NOISES:].reshape(examples, -1, 2)
    points = basis @ (control + JITTER * moves)
    points = points @ _transform(factors) + factors[:, None, 5:7] * SHIFT + (SIZE - 1) / 2
    half_width = HALF_WIDTH[0] + HALF_WIDTH[1] * factors[:, 7]
    distance = _distance(points[:, segments], points[:, segments + 1])
    ink = np.clip(half_width[:, None, None] + 0.5 - distance, 0, 1)
    return np.rint(ink * 255).astype(np.uint8)[..., None]


def _transform(factors: Floats) -> Array:
    """Slant, rotation and size of each example as a matrix [K, 2, 2] for points written as rows."""
    slant, angle = factors[:, 0] * SLANT, factors[:, 1] * ROTATION
    width, height = INK * np.exp(factors[:, 2] * STRETCH), INK * np.exp(factors[:, 3] * STRETCH)
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    scaled = _matrices(width, zero, zero, height)
    slanted = _matrices(one, zero, slant, one)
    matrix: Array = scaled @ slanted @ _matrices(cos, sin, -sin, cos)
    return matrix


def _matrices(a: Array, b: Array, c: Array, d: Array) -> Array:
    return np.stack([a, b, c, d], axis=1).reshape(-1, 2, 2)


def _distance(start: Array, end: Array) -> Floats:
    """From each pixel to the nearest of the segments [K, G, 2] → [K, 28, 28].

    With p − a seen from the segment's start and d = end − start, the nearest point is at
    t = (p − a)·d / |d|² within 0..1, and the squared distance |p − a|² + t (t |d|² − 2 (p − a)·d).
    """
    pixel = np.arange(SIZE, dtype=np.float32)
    d = end - start
    length = np.maximum((d**2).sum(axis=2), 1e-6)[:, :, None, None]
    across = (pixel - start[:, :, 0, None])[:, :, None, :]  # [K, G, 1, 28]
    down = (pixel - start[:, :, 1, None])[:, :, :, None]  # [K, G, 28, 1]
    dot = across * d[:, :, 0, None, None] + down * d[:, :, 1, None, None]
    t = np.clip(dot / length, 0, 1)
    squared = t * (t * length - 2 * dot)
    squared += across**2
    squared += down**2
    nearest: Floats = np.maximum(squared.min(axis=1), 0)
    return np.sqrt(nearest)
