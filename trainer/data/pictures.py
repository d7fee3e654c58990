"""Omniglot's drawings as grey levels, and pictures in another size: by the runtime's functions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from handful.runtime.images import fit_pixels
from handful.runtime.package.manifest import InputSpec

from .errors import DataError

SIDE = 105  # pixels of an original drawing


def read_drawing(data: bytes, size: int, path: Path) -> NDArray[np.uint8]:
    """A one-bit PNG, ink 0 and paper 1, as [size, size] with ink bright; `path` is for errors."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            shape = image.size
            paper = np.asarray(image.convert("1")) if shape == (SIDE, SIDE) else None
    except Exception as cause:  # decoders raise OSError, ValueError, SyntaxError and others
        raise DataError(f"cannot read the image {path}: {cause}") from cause
    if paper is None:
        raise DataError(
            f"the image {path} has {shape[0]} × {shape[1]} pixels,"
            f" Omniglot's drawings have {SIDE} × {SIDE}"
        )
    return resize_drawing((~paper).astype(np.uint8), size)


def resize_drawing(ink: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bits [H, W], 1 = ink: resized as white paper by the Lanczos filter, then inverted."""
    paper = fit_pixels((1 - ink) * np.uint8(255), drawing_spec(size))
    return np.uint8(255) - paper[..., 0]


def drawing_spec(size: int) -> InputSpec:
    """Square grey drawings, ink bright."""
    return InputSpec(
        kind="image",
        shape=(size, size, 1),
        layout="HWC",
        range=(0.0, 1.0),
        colour="grey",
        scale=1 / 255,
        invert=True,  # picture files are dark ink on light paper
        resize=size,
        interpolation="lanczos",
    )


def converted(x: Tensor, spec: InputSpec) -> Tensor:
    """Pictures [M, H, W, C] uint8 as a device would prepare files of them: [M, h, w, c]."""
    height, width = spec.shape[:2] if spec.layout == "HWC" else spec.shape[1:]
    size = (height, width, 1 if spec.colour == "grey" else 3)
    if tuple(x.shape[1:]) == size:
        return x
    prepared = np.empty((len(x), *size), np.uint8)
    for row, pixels in zip(prepared, x.numpy(), strict=True):
        row[:] = fit_pixels(pixels, spec)
    return torch.from_numpy(prepared)
