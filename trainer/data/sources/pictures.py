"""A folder of images, prepared by the runtime's own functions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from handful.runtime.errors import InputError, hint_extra
from handful.runtime.inputs.examples import KINDS
from handful.runtime.inputs.folders import read_each
from handful.runtime.inputs.pictures import fit_pixels, read_pixels, silence_pillow
from handful.runtime.inputs.remarks import say_once
from handful.runtime.package.manifest import Fit, InputSpec
from handful.trainer.data.backbones.named import Interpolation
from handful.trainer.data.config import DataConfig
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.record import RecordedPart
from handful.trainer.data.splits import Part
from handful.trainer.settings.errors import DataError

from .folder import choose_files


def load_folder(
    config: DataConfig,
    part: Part,
    *,
    recorded: RecordedPart | None = None,
    skip_bad: bool = False,
) -> LabelledSet:
    """The part's classes, sorted; only their images are read.

    Files that cannot be read are refused together, or with `skip_bad` left out; those that were
    left out when the classes were recorded are left out again.
    """
    spec = picture_spec(
        config.image_size,
        config.colour,
        resize=config.preprocessing.resize,
        interpolation=config.preprocessing.interpolation,
        fit=config.fit,
    )
    chosen = choose_files(config, KINDS["image"].files, part, recorded)
    pixels, bad = _read(chosen.files, spec)
    return chosen.gather(pixels, spec, bad, skip_bad=skip_bad)


def picture_spec(
    size: int,
    colour: Literal["grey", "rgb"],
    *,
    resize: int | None = None,
    interpolation: Interpolation = "lanczos",
    fit: Fit = "square",
) -> InputSpec:
    """Square pictures: the shorter side resized, the centre of `size` cut out, pixels in 0..1."""
    if resize is not None and resize < size:
        raise DataError(
            f"data.resize is {resize}, pictures of {size} pixels a side cannot be cut out",
            hint=f"wanted {size} at least, or no data.resize",
        )
    return InputSpec(
        kind="image",
        shape=(size, size, 1 if colour == "grey" else 3),
        layout="HWC",
        range=(0.0, 1.0),
        colour=colour,
        scale=1 / 255,
        resize=resize or size,
        fit=fit,
        interpolation=interpolation,
    )


def _read(files: list[Path], spec: InputSpec) -> tuple[Tensor, dict[Path, InputError]]:
    """The pixels of all good files, uint8 [M, H, W, C], and what is wrong with each bad one."""
    try:
        import PIL  # noqa: F401
    except ImportError as cause:
        raise DataError(
            "reading pictures needs Pillow, which is not installed",
            hint=hint_extra("train"),
        ) from cause
    x = np.empty((len(files), *spec.shape), np.uint8)
    bad: dict[Path, InputError] = {}
    with say_once(), silence_pillow():
        good = read_each(files, lambda file: read_pixels(file, spec), bad)
        for row, (_, pixels) in enumerate(good):
            x[row] = pixels
    return torch.from_numpy(x[: len(files) - len(bad)]), bad


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


def convert(x: Tensor, spec: InputSpec) -> Tensor:
    """Pictures [M, H, W, C] uint8 as a device would prepare files of them: [M, h, w, c]."""
    height, width = spec.shape[:2] if spec.layout == "HWC" else spec.shape[1:]
    size = (height, width, 1 if spec.colour == "grey" else 3)
    if tuple(x.shape[1:]) == size:
        return x
    prepared = np.empty((len(x), *size), np.uint8)
    for row, pixels in zip(prepared, x.numpy(), strict=True):
        row[:] = fit_pixels(pixels, spec)
    return torch.from_numpy(prepared)
