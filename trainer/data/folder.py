"""A folder of images, one sub-folder a class, prepared as the runtime will prepare them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from handful.runtime.errors import InputError, SupportSetError
from handful.runtime.images import class_folders, quiet, read_each, read_pixels, unreadable
from handful.runtime.package.manifest import InputSpec

from .config import DataConfig, Interpolation
from .errors import DataError
from .labelled import LabelledSet, labelled
from .splits import Part, split


def load_folder(config: DataConfig, part: Part) -> LabelledSet:
    """The part's classes, named as their sub-folders and sorted; only their images are read."""
    folder = Path(config.source)
    files = image_files(folder)
    rows = iter(range(sum(map(len, files.values()))))
    listing = {name: torch.tensor([next(rows) for _ in found]) for name, found in files.items()}
    spec = picture_spec(
        config.image_size, config.colour, resize=config.resize, interpolation=config.interpolation
    )
    chosen = split(labelled(listing, spec, where=str(folder)), config.split, part, config.seed)
    every = [file for found in files.values() for file in found]
    return replace(chosen, x=_read([every[row] for row in chosen.x.tolist()], spec))


def image_files(folder: Path) -> dict[str, list[Path]]:
    """Class → its files, both sorted: by the very rules of a folder that a device adapts to."""
    try:
        return class_folders(folder)
    except SupportSetError as error:
        raise DataError(str(error), hint=error.hint) from error


def picture_spec(
    size: int,
    colour: Literal["grey", "rgb"],
    *,
    resize: int | None = None,
    interpolation: Interpolation = "lanczos",
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
        interpolation=interpolation,
    )


def _read(files: list[Path], spec: InputSpec) -> Tensor:
    """The pixels of all files, uint8 [M, H, W, C]."""
    try:
        import PIL  # noqa: F401
    except ImportError as cause:
        raise DataError(
            "reading pictures needs Pillow, which is not installed",
            hint="pip install 'handful[train]'",
        ) from cause
    x = np.empty((len(files), *spec.shape), np.uint8)
    bad: dict[Path, InputError] = {}
    with quiet():
        good = read_each(files, lambda file: read_pixels(file, spec), bad)
        for row, (_, pixels) in enumerate(good):
            x[row] = pixels
    if bad:
        error = unreadable(bad, len(files))
        raise DataError(str(error), hint=error.hint)
    return torch.from_numpy(x)
