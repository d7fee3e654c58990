"""Pixels by Pillow: Omniglot's drawings as grey levels, and pictures in another size and colour."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .errors import DataError

SIDE = 105  # pixels of an original drawing
FILTERS: dict[str, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}


def read_drawing(data: bytes, size: int, path: Path) -> NDArray[np.uint8]:
    """A one-bit PNG, ink 0 and paper 1, as [size, size] with ink bright; `path` is for errors."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            found = image.size
            paper = np.asarray(image.convert("1")) if found == (SIDE, SIDE) else None
    except Exception as cause:  # decoders raise OSError, ValueError, SyntaxError and others
        raise DataError(f"cannot read the image {path}: {cause}") from cause
    if paper is None:
        raise DataError(
            f"the image {path} has {found[0]} × {found[1]} pixels,"
            f" Omniglot's drawings have {SIDE} × {SIDE}"
        )
    return resize_drawing((~paper).astype(np.uint8), size)


def resize_drawing(ink: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bits [H, W], 1 = ink: resized as white paper by Pillow's LANCZOS, then inverted."""
    paper = Image.fromarray((1 - ink) * np.uint8(255))
    if paper.size != (size, size):
        paper = paper.resize((size, size), Image.Resampling.LANCZOS)
    return np.uint8(255) - np.asarray(paper, dtype=np.uint8)


def converted(x: Tensor, size: int, colour: str, interpolation: str) -> Tensor:
    """Pictures [M, H, W, C] uint8 as [M, size, size, 1 or 3]: resized, their centre cut out."""
    mode, channels = ("L", 1) if colour == "grey" else ("RGB", 3)
    if tuple(x.shape[1:]) == (size, size, channels):
        return x
    found = np.empty((len(x), size, size, channels), np.uint8)
    for row, pixels in zip(found, x.numpy(), strict=True):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert(mode)
        row[:] = _fitted(image, size, FILTERS[interpolation]).reshape(row.shape)
    return torch.from_numpy(found)


def _fitted(image: Image.Image, size: int, kind: Image.Resampling) -> NDArray[np.uint8]:
    ratio = size / min(image.size)
    width, height = (max(size, round(side * ratio)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), kind)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.uint8)
