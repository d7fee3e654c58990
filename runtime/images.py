"""Pictures to arrays, by the manifest's preprocessing: files, decoded pixels, folders of files."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.package.manifest import InputSpec
from handful.runtime.pictures.file import decode, opened
from handful.runtime.pictures.folders import PICTURES, class_folders, read_classes
from handful.runtime.pictures.pixels import Pixels, Upright, centre, fit, resized, too_narrow
from handful.runtime.pictures.resample import coloured, resample

from .arrays import Floats
from .errors import InputError, InputWarning

__all__ = [
    "class_folders", "fit_pixels", "has_pillow", "levels", "prepare", "prepare_image", "quiet",
    "read_folder", "read_image", "read_pixels",
]  # fmt: skip

MAX_FILES = 100_000  # of a folder to adapt to


def read_image(path: str | Path, spec: InputSpec) -> Floats:
    """The picture in the file `path` as the package wants an example: float32, in its shape.

    InputError where the file is no picture, is broken or too large, or the package takes arrays.
    """
    return _values(read_pixels(path, spec), spec)


def read_pixels(path: str | Path, spec: InputSpec) -> Pixels:
    """The picture in the file `path`, uint8 [H, W, C], before `invert`, `scale` and `layout`."""
    _readable(spec)
    return fit(decode(Path(path), spec), spec)


def prepare(pixels: Pixels, spec: InputSpec) -> Floats:
    """What `read_image` makes of a file with these pixels, uint8 [H, W] or [H, W, 1 or 3]."""
    return _values(fit_pixels(pixels, spec), spec)


def fit_pixels(pixels: Pixels, spec: InputSpec) -> Pixels:
    """What `read_pixels` makes of a file with these pixels, uint8 [H, W] or [H, W, 1 or 3].

    By Pillow where it is installed, because it is faster; by numpy elsewhere, with the same values.
    """
    _takes_pictures(spec)
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
    _takes_pictures(spec)
    return _values(fit(opened(image, spec), spec), spec)


def read_folder(
    path: str | Path, spec: InputSpec, *, most: int = MAX_FILES
) -> dict[str, list[Floats]]:
    """{label: [pictures]} of a folder with one sub-folder a class, both in order of name.

    SupportSetError where the folder is not of this form (see `class_folders`) or has more than
    `most` pictures, InputError with all files that cannot be read.
    """
    _readable(spec)
    what, hint = "pictures", "leave some pictures out"
    read = partial(read_image, spec=spec)
    return dict(read_classes(path, PICTURES, read, most=most, what=what, hint=hint))


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


def _takes_pictures(spec: InputSpec) -> None:
    if spec.kind != "image":
        raise InputError(
            f"the package takes {'sound' if spec.kind == 'audio' else 'arrays'}, not pictures",
            hint="give adapt and predict what it was trained on"
            if spec.kind == "audio"
            else "give the arrays it was trained on to adapt and predict",
        )


def _readable(spec: InputSpec) -> None:
    _takes_pictures(spec)
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
