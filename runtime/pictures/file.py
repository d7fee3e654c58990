"""One picture file, decoded with care: everything that its header says is checked first."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.runtime.errors import InputError
from handful.runtime.package.files import READING
from handful.runtime.package.manifest import InputSpec

from .folders import shown
from .pixels import MAX_PIXELS, MODES, Upright, resized, too_narrow

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
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
ORIENTATION = 274  # EXIF's tag
A_READ = 256  # bytes that a read counts for beside what it gives: tiny chunks are not free


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


def decode(path: Path, spec: InputSpec) -> Upright:
    """The picture, decoded; InputError where it is none, too large, or broken."""
    from PIL import Image, UnidentifiedImageError

    too_large = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    with _opened(path) as file:
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
            raise InputError(
                f"{shown(path)} is not a picture that can be read",
                hint=f"one of {', '.join(FORMATS)}",
            ) from cause
        except too_large as cause:
            raise InputError(
                f"{shown(path)} has more than {MAX_PIXELS} pixels, which is the most that is read"
            ) from cause
        except Exception as cause:  # decoders raise OSError, ValueError, SyntaxError and others
            raise InputError(f"{shown(path)} cannot be decoded: {cause}") from cause


def opened(image: "Image.Image", spec: InputSpec) -> Upright:
    """A picture that the application opened, or made; InputError where it is broken."""
    what = "the PIL.Image"
    _check_mode(image, what)
    if min(image.size) < 1 or image.width * image.height > MAX_PIXELS:
        raise InputError(
            f"{what} has {image.width} × {image.height} pixels, 1 to {MAX_PIXELS} are read"
        )
    if too_narrow(image.size, spec):
        raise InputError(f"{what} is {image.width} × {image.height}, too long and narrow to resize")
    try:
        image.load()
    except Exception as cause:  # as above
        raise InputError(f"{what} cannot be decoded: {cause}") from cause
    return Upright(image, _orientation(image))


@contextmanager
def _opened(path: Path) -> Iterator[Metered]:
    """The regular file at `path`; links are followed, since pictures are the user's own."""
    try:
        descriptor = os.open(path, READING)
    except FileNotFoundError as cause:
        raise InputError(f"no file {shown(path)}") from cause
    except OSError as cause:
        raise InputError(f"cannot open {shown(path)}: {cause.strerror}") from cause
    except ValueError as cause:  # NUL, or a character that no file name can hold
        raise InputError(f"{shown(path)} cannot be the name of a file") from cause
    try:
        _regular(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    with Metered(descriptor) as file:
        yield file


def _regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{shown(path)} is a folder, wanted a picture file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{shown(path)} is not a regular file")
    if status.st_size > MAX_BYTES:
        raise InputError(f"{shown(path)} has {status.st_size} bytes, at most {MAX_BYTES} are read")


def _check(image: "ImageFile", spec: InputSpec, path: Path) -> None:
    """What the header says, before a pixel is decoded."""
    mode, form = image.mode, image.format or ""
    _check_mode(image, shown(path))
    decoder, *_, how = image.tile[0] if image.tile else ("", "")
    if mode == "RGB" and "transparency" in image.info and "16" in str(how):
        raise InputError(
            f"{shown(path)} has colours of 16 bits and a transparent one among them",
            hint="convert it to PNG with 8 bits a channel",
        )
    most = MAX_JPEG if form in JPEG else FEWER.get(form, FEWER.get(decoder, MAX_PIXELS))
    width, height = image.size
    if width * height > most:
        raise InputError(
            f"{shown(path)} has {width} × {height} pixels, at most {most} are read",
            hint="scale it down",
        )
    if too_narrow(image.size, spec):
        raise InputError(f"{shown(path)} is {width} × {height}, too long and narrow to resize")


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
        width, height = resized(image.size, spec.resize)
        image.draft(None, (KEPT * width, KEPT * height))
    needed = 4 * image.size[0] * image.size[1] + int(2 * whole * _samples(image))
    if needed > JPEG_BYTES:
        raise InputError(
            f"{shown(path)} needs {needed >> 20} MiB to be decoded,"
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
