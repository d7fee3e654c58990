"""Pictures to examples, by the manifest's preprocessing: files, images, frames, decoded pixels.

A file is decoded with care: everything that its header says is checked before a pixel is. What
becomes of decoded pixels is in resize.py.
"""

import io
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handful.runtime.arrays import Array, Floats, as_array, refuse_more
from handful.runtime.errors import InputError, InputWarning, hint_extra
from handful.runtime.package.files import READING
from handful.runtime.package.manifest import InputSpec

from .folders import quote_path
from .remarks import remark
from .resize import (
    MAX_PIXELS,
    MODES,
    Pixels,
    Upright,
    centre_box,
    clip_box,
    crop_padded,
    fit,
    is_too_narrow,
    kept_share,
    new_size,
    resample,
    to_colours,
)

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = (  # of these formats
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".gif", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
TO_JPEG = "convert it to JPEG or PNG: magick IN OUT.jpg"
HEIC = (
    f"{TO_JPEG}, on a Mac sips -s format jpeg IN --out OUT.jpg; an iPhone takes JPEG where"
    " Settings, Camera, Formats is Most Compatible"
)
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
BEGINNINGS = {  # of files that are named .jpg all the same, or come from the web as such
    **{b"ftyp" + brand: ".heic" for brand in HEIC_BRANDS},
    **dict.fromkeys((b"ftypavif", b"ftypavis"), ".avif"),
    **{b"<svg": ".svg", b"8BPS": ".psd", b"jP  ": ".jp2", b"JXL ": ".jxl", b"\xff\x0a": ".jxl"},
    b"\0\0\1\0": ".ico",
}
CONVERT = {
    **dict.fromkeys((".heic", ".heif", ".hif"), HEIC),
    **dict.fromkeys((".avif", ".jxl", ".jp2", ".svg", ".psd", ".ico", ".tga", ".dib"), TO_JPEG),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"), TO_JPEG),
}
MAX_BYTES = 2**27  # of a file
# formats whose decoders need more memory, and decoders written in Python, up to 2 µs a pixel
FEWER = {"WEBP": 2**23, "TIFF": 2**24, "bmp_rle": 2**22, "ppm_plain": 2**21, "ppm": 2**19}
JPEG = ("JPEG", "MPO")  # the second has several pictures, of which the first is read
MAX_JPEG = 2**26  # pixels of a JPEG file
REDUCED_ABOVE = 2**24  # pixels: a smaller JPEG file is decoded in full, as by any reader
KEPT = 3  # the sides of a reduced JPEG are at least so many times those after the resize
JPEG_BYTES = 240 * 2**20  # of coefficients and pixels together
MAX_SCANS = 100  # of a JPEG: each passes over all pixels, even where it is a few bytes
MAX_HEADER = 2**24  # bytes that are read before the first pixel
MAX_BODY = MAX_BYTES + 2**26  # and after it
BLANK = 0.005  # of a pixel's range: the deviation of a picture that has nothing in it
ORIENTATION = 274  # EXIF's tag
KEPT_AT_LEAST = 0.6  # of a picture, or there is a warning: of 16:9 a square has 56 %
CUT_HINT = "; cut it around what is meant, or use a package that takes it whole"
A_READ = 256  # bytes that a read counts for beside what it gives: tiny chunks are not free


def read_image(path: str | Path, spec: InputSpec) -> Floats:
    """The picture in the file `path` as the package wants an example: float32, in its shape.

    InputError where the file is no picture, is broken or too large. The spec is of pictures.
    """
    require_pillow()
    return _values(
        fit(_look_at(decode(Path(path), spec), spec, quote_path(Path(path))), spec), spec
    )


def read_pixels(path: str | Path, spec: InputSpec) -> Pixels:
    """The picture in the file `path`, uint8 [H, W, C], before `invert`, `scale` and `layout`."""
    require_pillow()
    return fit(decode(Path(path), spec), spec)


def prepare_image(image: Any, spec: InputSpec) -> Floats:
    """What `read_image` makes of a file that holds this PIL.Image."""
    return _values(fit(_look_at(open_image(image, spec), spec, "the PIL.Image"), spec), spec)


def prepare_pixels(pixels: Pixels, spec: InputSpec) -> Floats:
    """What `read_image` makes of a file with these pixels, uint8 [H, W] or [H, W, 1 or 3]."""
    return _values(fit_pixels(pixels, spec), spec)


def fit_pixels(pixels: Pixels, spec: InputSpec) -> Pixels:
    """What `read_pixels` makes of a file with these pixels, uint8 [H, W] or [H, W, 1 or 3].

    By Pillow where it is installed, because it is faster; by numpy elsewhere, with the same values.
    """
    height, width = pixels.shape[:2]
    if is_too_narrow((width, height), spec):
        raise InputError(f"a picture is {width} × {height}, too long and narrow to resize")
    if not has_pillow():
        whole = new_size((width, height), spec)
        box = centre_box(whole, spec)
        solid = to_colours(pixels if pixels.ndim == 3 else pixels[..., None], spec)
        found = resample(solid, whole, clip_box(box, whole), spec.interpolation or "lanczos")
        return crop_padded(found, box, spec)
    from PIL import Image

    flat: Any = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    return fit(Upright(Image.fromarray(np.ascontiguousarray(flat))), spec)


def to_array(value: Any, spec: InputSpec, what: str) -> Array:
    """An array as it is; a picture, or a batch of frames, as the graphs see it."""
    if is_picture(value):
        return prepare_image(value, spec)
    if (path := _path(value)) is not None:
        return read_image(path, spec)
    array, own = as_array(value, what), shapes(spec)
    is_pixels = array.dtype == np.uint8 and array.shape[-1:] == (3,) and array.size > 0
    if not is_pixels or array.shape in own or array.shape[1:] in own:
        return array
    if array.ndim in (3, 4) and min(array.shape[-3:-1]) > 0:
        _warn_of_cut((array.shape[-2], array.shape[-3]), spec, what)
    if array.ndim == 4:
        refuse_more(len(array), what)
        return np.stack([prepare_pixels(frame, spec) for frame in array])
    return prepare_pixels(array, spec) if array.ndim == 3 else array


def is_picture(value: object) -> bool:
    """Whether it is a PIL.Image."""
    pillow = sys.modules.get("PIL.Image")  # without it no value can be one of its images
    return pillow is not None and isinstance(value, pillow.Image)


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


def levels(example: Floats, spec: InputSpec) -> Pixels:
    """The pixels uint8 [H, W, C] that `read_pixels` gave, of what `read_image` made of them."""
    values = (example.astype(np.float64) - spec.offset) / spec.scale
    laid = np.rint(values).clip(0, 255).astype(np.uint8)
    pixels: Pixels = laid if spec.layout == "HWC" else laid.transpose(1, 2, 0)
    return 255 - pixels if spec.invert else pixels


def find_blank(x: Floats, spec: InputSpec) -> Array:
    """Which examples [B, ...] are of one colour, but for a camera's noise: bool [B]."""
    pixels = (1, 2) if spec.layout == "HWC" else (2, 3)
    deviation = x.std(axis=pixels, dtype=np.float64).max(axis=1)  # of each channel by itself
    return np.asarray(deviation < BLANK * 255 * abs(spec.scale))


def jpeg(pixels: Pixels, side: int) -> bytes:
    """A JPEG file of pixels uint8 [H, W, 1 or 3], made smaller so that no side is above `side`."""
    from PIL import Image

    flat: Any = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    image, file = Image.fromarray(np.ascontiguousarray(flat)), io.BytesIO()
    image.thumbnail((side, side))
    image.save(file, "JPEG", quality=80, optimize=True)
    return file.getvalue()


def _values(pixels: Pixels, spec: InputSpec) -> Floats:
    """uint8 [H, W, C] as the graphs see it: inverted, scaled in float32, laid out."""
    laid = pixels if spec.layout == "HWC" else pixels.transpose(2, 0, 1)
    values = (255 - laid if spec.invert else laid).astype(np.float32, order="C")
    values *= np.float32(spec.scale)
    values += np.float32(spec.offset)
    return values


def _look_at(upright: Upright, spec: InputSpec, what: str) -> Upright:
    _warn_of_cut(upright.whole_size, spec, what)
    return upright


def _warn_of_cut(size: tuple[int, int], spec: InputSpec, what: str) -> None:
    """Warn where much of a picture of this width and height is cut off: what was meant may be."""
    share = kept_share(size, spec)
    if share >= KEPT_AT_LEAST:
        return
    words = f"{what} is {size[0]} × {size[1]}: {100 * (1 - share):.0f} % of it is cut off"
    remark("cut off", f"{words} at both its ends", CUT_HINT)


def _path(value: object) -> str | None:
    if not isinstance(value, str | os.PathLike):
        return None
    try:
        return os.fsdecode(value)
    except Exception:  # an application's object whose __fspath__ fails; it may be an array
        return None


def decode(path: Path, spec: InputSpec) -> Upright:
    """The picture, decoded; InputError where it is none, too large, or broken."""
    from PIL import Image, UnidentifiedImageError

    too_large = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    with _open_file(path) as file:
        try:
            with Image.open(file, formats=FORMATS) as image:
                _check(image, spec, path)
                whole = image.size
                file.is_jpeg = image.format in JPEG
                if file.is_jpeg:
                    _reduce(image, spec, path)
                file.left = MAX_BODY
                image.load()
            # Pillow turns a TIFF while it loads it
            return Upright(image, _orientation(image), None if image.format == "TIFF" else whole)
        except InputError:
            raise
        except UnidentifiedImageError as cause:
            raise _unknown(file, path) from cause
        except too_large as cause:
            raise InputError(
                f"{quote_path(path)} has more than {MAX_PIXELS} pixels,"
                " which is the most that is read"
            ) from cause
        except Exception as cause:  # decoders raise OSError, ValueError, SyntaxError and others
            raise InputError(f"{quote_path(path)} cannot be decoded: {cause}") from cause


def open_image(image: "Image.Image", spec: InputSpec) -> Upright:
    """A picture that the application opened, or made; InputError where it is broken."""
    what = "the PIL.Image"
    _check_mode(image, what)
    if min(image.size) < 1 or image.width * image.height > MAX_PIXELS:
        raise InputError(
            f"{what} has {image.width} × {image.height} pixels, 1 to {MAX_PIXELS} are read"
        )
    if is_too_narrow(image.size, spec):
        raise InputError(f"{what} is {image.width} × {image.height}, too long and narrow to resize")
    try:
        image.load()
    except Exception as cause:  # as above
        raise InputError(f"{what} cannot be decoded: {cause}") from cause
    return Upright(image, _orientation(image))


def _regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{quote_path(path)} is a folder, wanted a picture file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{quote_path(path)} is not a regular file")
    if status.st_size > MAX_BYTES:
        raise InputError(
            f"{quote_path(path)} has {status.st_size} bytes, at most {MAX_BYTES} are read"
        )


class Metered(io.FileIO):
    """A file of which only `left` bytes may be read, each read counting for A_READ at least."""

    left = MAX_HEADER
    is_jpeg = False
    scans = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As a file's; ValueError where too much was read."""
        data = super().read(-1 if size is None else size) or b""
        self.left -= len(data) + A_READ
        self.scans += data.count(b"\xff\xda") if self.is_jpeg else 0
        if self.left < 0 or self.scans > MAX_SCANS:
            raise ValueError("it has too many parts, or too much beside the pixels")
        return data


@contextmanager
def _open_file(path: Path) -> Iterator[Metered]:
    """The regular file at `path`; links are followed, since pictures are the user's own."""
    try:
        descriptor = os.open(path, READING)
    except FileNotFoundError as cause:
        raise InputError(f"no file {quote_path(path)}") from cause
    except OSError as cause:
        raise InputError(f"cannot open {quote_path(path)}: {cause.strerror}") from cause
    except ValueError as cause:  # NUL, or a character that no file name can hold
        raise InputError(f"{quote_path(path)} cannot be the name of a file") from cause
    try:
        _regular(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    with Metered(descriptor) as file:
        yield file


def _unknown(file: Metered, path: Path) -> InputError:
    """A file in a format that is not read: by how it begins, or by its name."""
    file.seek(0)
    head, kind = file.read(12), path.suffix.lower()
    for beginning, other in BEGINNINGS.items():  # some have a length first
        if beginning in (head[: len(beginning)], head[4 : 4 + len(beginning)]):
            kind = other
    if kind in CONVERT:
        words = f"{quote_path(path)} is a file of {kind[1:].upper()}, which is not read"
        return InputError(words, hint=CONVERT[kind])
    return InputError(
        f"{quote_path(path)} is not a picture that can be read", hint=f"one of {', '.join(FORMATS)}"
    )


def _check(image: "ImageFile", spec: InputSpec, path: Path) -> None:
    """What the header says, before a pixel is decoded."""
    mode, form = image.mode, image.format or ""
    _check_mode(image, quote_path(path))
    decoder, *_, how = image.tile[0] if image.tile else ("", "")
    if mode == "RGB" and "transparency" in image.info and "16" in str(how):
        raise InputError(
            f"{quote_path(path)} has colours of 16 bits and a transparent one among them",
            hint="convert it to PNG with 8 bits a channel",
        )
    most = MAX_JPEG if form in JPEG else FEWER.get(form, FEWER.get(decoder, MAX_PIXELS))
    width, height = image.size
    if width * height > most:
        raise InputError(
            f"{quote_path(path)} has {width} × {height} pixels, at most {most} are read",
            hint="scale it down",
        )
    if is_too_narrow(image.size, spec):
        raise InputError(f"{quote_path(path)} is {width} × {height}, too long and narrow to resize")


def _check_mode(image: "Image.Image", what: str) -> None:
    mode = image.mode
    if mode not in MODES or (mode == "I" and image.format not in ("PNG", "PPM")):
        raise InputError(
            f"{what} has pixels of Pillow's mode {mode}, wanted 8 or 16 bits a channel",
            hint="convert it to PNG with 8 bits a channel",
        )


def _reduce(image: "ImageFile", spec: InputSpec, path: Path) -> None:
    """Let a large JPEG be decoded at a reduced size; refuse one that takes too much even so."""
    whole = image.size[0] * image.size[1]
    if whole > REDUCED_ABOVE:
        width, height = new_size(image.size, spec)
        image.draft(None, (KEPT * width, KEPT * height))
    needed = 4 * image.size[0] * image.size[1] + int(2 * whole * _samples(image))
    if needed > JPEG_BYTES:
        raise InputError(
            f"{quote_path(path)} needs {needed >> 20} MiB to be decoded,"
            f" at most {JPEG_BYTES >> 20} are taken",
            hint="scale it down",
        )


def _samples(image: Any) -> float:
    """Samples a pixel of a JPEG, less where colours are coarser; each may be kept as two bytes."""
    layers = image.layer  # (name, horizontal, vertical, …) for each component
    finest = max(h for _, h, *_ in layers) * max(v for _, _, v, *_ in layers)
    return float(sum(h * v for _, h, v, *_ in layers) / finest)


def _orientation(image: "Image.Image") -> int:
    """EXIF tag 274, 1 to 8; 1 where it is missing or broken. A TIFF was turned by Pillow."""
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif") or b"")
        orientation = exif.get(ORIENTATION, 1)
    except Exception:  # as above; a picture whose EXIF is broken is a picture
        return 1
    return orientation if orientation in range(1, 9) else 1


@contextmanager
def silence_pillow() -> Iterator[None]:
    """Silence what Pillow warns of (odd metadata, say), for a command that has words of its own.

    Not for libraries and threads: Python's filters of warnings belong to the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", InputWarning)  # ours is for the person
        yield


def require_pillow() -> None:
    """InputError where files of pictures cannot be read here."""
    if not has_pillow():
        raise InputError(
            "reading pictures needs Pillow, which is not installed",
            hint=hint_extra("images"),
        )


def has_pillow() -> bool:
    """Whether pictures can be read here."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        return False
    return True
