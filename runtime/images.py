"""Pictures to arrays, by the manifest's preprocessing: files, images, frames, decoded pixels."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.package.manifest import InputSpec
from handful.runtime.pictures.file import decode, opened
from handful.runtime.pictures.pixels import Pixels, Upright, centre, fit, resized, too_narrow
from handful.runtime.pictures.resample import coloured, resample

from .arrays import Array, Floats, as_array, refuse_more
from .errors import InputError, InputWarning


def read_image(path: str | Path, spec: InputSpec) -> Floats:
    """The picture in the file `path` as the package wants an example: float32, in its shape.

    InputError where the file is no picture, is broken or too large. The spec is of pictures.
    """
    return _values(read_pixels(path, spec), spec)


def read_pixels(path: str | Path, spec: InputSpec) -> Pixels:
    """The picture in the file `path`, uint8 [H, W, C], before `invert`, `scale` and `layout`."""
    require_pillow()
    return fit(decode(Path(path), spec), spec)


def prepare(pixels: Pixels, spec: InputSpec) -> Floats:
    """What `read_image` makes of a file with these pixels, uint8 [H, W] or [H, W, 1 or 3]."""
    return _values(fit_pixels(pixels, spec), spec)


def fit_pixels(pixels: Pixels, spec: InputSpec) -> Pixels:
    """What `read_pixels` makes of a file with these pixels, uint8 [H, W] or [H, W, 1 or 3].

    By Pillow where it is installed, because it is faster; by numpy elsewhere, with the same values.
    """
    height, width = pixels.shape[:2]
    if too_narrow((width, height), spec):
        raise InputError(f"a picture is {width} × {height}, too long and narrow to resize")
    if not has_pillow():
        whole = resized((width, height), spec.resize)
        solid = coloured(pixels if pixels.ndim == 3 else pixels[..., None], spec)
        return resample(solid, whole, centre(whole, spec), spec.interpolation or "lanczos")
    from PIL import Image

    flat: Any = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    return fit(Upright(Image.fromarray(np.ascontiguousarray(flat))), spec)


def prepare_image(image: Any, spec: InputSpec) -> Floats:
    """What `read_image` makes of a file that holds this PIL.Image."""
    return _values(fit(opened(image, spec), spec), spec)


def given(value: Any, spec: InputSpec, what: str) -> Array:
    """An array as it is; a picture, or a batch of frames, as the graphs see it."""
    if is_picture(value):
        return prepare_image(value, spec)
    if (path := _path(value)) is not None:
        return read_image(path, spec)
    array, own = as_array(value, what), shapes(spec)
    is_pixels = array.dtype == np.uint8 and array.shape[-1:] == (3,) and array.size > 0
    if not is_pixels or array.shape in own or array.shape[1:] in own:
        return array
    if array.ndim == 4:
        refuse_more(len(array), what)
        return np.stack([prepare(frame, spec) for frame in array])
    return prepare(array, spec) if array.ndim == 3 else array


def is_picture(value: object) -> bool:
    """Whether it is a PIL.Image."""
    pillow = sys.modules.get("PIL.Image")  # without it no value can be one of its images
    return pillow is not None and isinstance(value, pillow.Image)


def _path(value: object) -> str | None:
    if not isinstance(value, str | os.PathLike):
        return None
    try:
        return os.fsdecode(value)
    except Exception:  # an application's object whose __fspath__ fails; it may be an array
        return None


def shapes(spec: InputSpec) -> tuple[tuple[int, ...], ...]:
    """Those that an array of one example may have: the axis of a single channel may be missing."""
    if spec.colour == "grey":
        return spec.shape, spec.shape[:-1] if spec.layout == "HWC" else spec.shape[1:]
    return (spec.shape,)


def shape_hint(spec: InputSpec, array: Array) -> str:
    """What to do where an array has another shape."""
    return (
        f"the layout is {spec.layout}; pictures of any size are given as paths, as PIL.Image,"
        " or as uint8 [h, w, 3]"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Pillow warns of (odd metadata, say), for a command that has words of its own.

    Not for libraries and threads: Python's filters of warnings belong to the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", InputWarning)  # ours is for the person
        yield


def _values(pixels: Pixels, spec: InputSpec) -> Floats:
    """uint8 [H, W, C] as the graphs see it: inverted, scaled in float32, laid out."""
    laid = pixels if spec.layout == "HWC" else pixels.transpose(2, 0, 1)
    values = (255 - laid if spec.invert else laid).astype(np.float32, order="C")
    values *= np.float32(spec.scale)
    values += np.float32(spec.offset)
    return values


def levels(example: Floats, spec: InputSpec) -> Pixels:
    """The pixels uint8 [H, W, C] that `read_pixels` gave, of what `read_image` made of them."""
    values = (example.astype(np.float64) - spec.offset) / spec.scale
    laid = np.rint(values).clip(0, 255).astype(np.uint8)
    pixels: Pixels = laid if spec.layout == "HWC" else laid.transpose(1, 2, 0)
    return 255 - pixels if spec.invert else pixels


def require_pillow() -> None:
    """InputError where files of pictures cannot be read here."""
    if not has_pillow():
        raise InputError(
            "reading pictures needs Pillow, which is not installed",
            hint="pip install 'handful[images]'",
        )


def has_pillow() -> bool:
    """Whether pictures can be read here."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        return False
    return True
