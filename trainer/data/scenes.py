"""Simple pictures in colour, drawn here: to try a backbone and a package on without any data."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .folder import picture_spec
from .labelled import LabelledSet

CLASSES, EACH = 20, 6  # what checking a package wants: 20 ways, and 5 shots with a query


def drawn_scenes(side: int, *, seed: int = 0) -> LabelledSet:
    """20 classes of 6 pictures, uint8 [120, side, side, 3], always the same: a class is a figure of
    a colour on another, each picture has its own place, size, light and noise."""
    rng = np.random.default_rng(seed)
    pixels = [
        _scene(side, c % 4, colours, rng)
        for c, colours in enumerate(rng.integers(0, 256, (CLASSES, 2, 3)))
        for _ in range(EACH)
    ]
    return LabelledSet(
        torch.from_numpy(np.stack(pixels)),
        torch.full((CLASSES,), EACH),
        tuple(f"scene {c}" for c in range(CLASSES)),
        picture_spec(side, "rgb"),
    )


def _scene(
    side: int, figure: int, colours: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Disc, square, ring or stripes in the second colour on the first, lit from one side."""
    row, column = np.mgrid[:side, :side] / side - rng.uniform(0.35, 0.65, (2, 1, 1))
    size = rng.uniform(0.2, 0.35)
    radius = np.hypot(row, column)
    inside = (
        radius < size,
        np.maximum(abs(row), abs(column)) < size,
        abs(radius - size) < size / 3,
        np.sin((row + column) / size * 9) > 0,
    )[figure]
    light = 0.7 + 0.3 * np.cos(3 * (row * rng.normal() + column * rng.normal()))
    picture = colours[inside.astype(int)] * light[..., None]
    picture = picture + rng.normal(0, 8, (side, side, 3))
    return np.asarray(picture.clip(0, 255).astype(np.uint8))
