"""Omniglot's drawings from PNG to grey levels, as most of the field's code does it."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .errors import DataError


def read_drawing(data: bytes, size: int, name: str) -> NDArray[np.uint8]:
    """A one-bit PNG, ink 0 and paper 1, as [size, size] with ink bright."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            paper = np.asarray(image.convert("1"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"cannot read the image {name}: {error}") from error
    return resize_drawing(1 - np.minimum(paper, 1), size)


def resize_drawing(ink: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bits [H, W], 1 = ink: resized as white paper by Pillow's LANCZOS, then inverted."""
    paper = Image.fromarray((1 - ink) * np.uint8(255))
    if paper.size != (size, size):
        paper = paper.resize((size, size), Image.Resampling.LANCZOS)
    return np.uint8(255) - np.asarray(paper, dtype=np.uint8)
