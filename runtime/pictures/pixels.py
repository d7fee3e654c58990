"""Decoded pixels to the size and colours of a package, exactly as docs/package-format.md says."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handful.runtime.package.manifest import InputSpec

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]

SIXTEEN = ("I;16", "I;16L", "I;16B", "I")  # "I" is what some Pillows make of 16 bits
GREYS = ("1", "L", *SIXTEEN)
MODES = (*GREYS, "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr")
STRIP = 2**18  # pixels that are converted at a time, so that no second whole picture is made
MAX_PIXELS = 2**25  # of a picture as decoded, and as resized: Pillow takes four bytes for each
TURNED = (5, 6, 7, 8)  # EXIF orientations whose stored rows are columns


@dataclass(frozen=True)
class Upright:
    """A decoded picture, and the EXIF orientation (1 to 8) by which it is to be turned.

    `whole` is the size in the file, where that was decoded at a reduced size.
    """

    image: "Image.Image"
    orientation: int = 1
    whole: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as decoded, when upright."""
        return self._turned(self.image.size)

    @property
    def whole_size(self) -> tuple[int, int]:
        """Width and height in the file, when upright."""
        return self._turned(self.whole or self.image.size)

    def _turned(self, size: tuple[int, int]) -> tuple[int, int]:
        return (size[1], size[0]) if self.orientation in TURNED else size

    def strips(self) -> Iterator[tuple[int, "Image.Image"]]:
        """The first row of each strip, and its pixels: from top to bottom, upright."""
        width, height = self.size
        rows = max(1, STRIP // width)
        for top in range(0, height, rows):
            yield top, self._rows(top, min(top + rows, height))

    def _rows(self, top: int, bottom: int) -> "Image.Image":
        from PIL import Image

        turn = Image.Transpose
        how = {
            2: turn.FLIP_LEFT_RIGHT,
            3: turn.ROTATE_180,
            4: turn.FLIP_TOP_BOTTOM,
            5: turn.TRANSPOSE,
            6: turn.ROTATE_270,
            7: turn.TRANSVERSE,
            8: turn.ROTATE_90,
        }.get(self.orientation)
        width, height = self.image.size
        if self.orientation in (3, 4):
            box = (0, height - bottom, width, height - top)
        elif self.orientation in (5, 6):
            box = (top, 0, bottom, height)
        elif self.orientation in (7, 8):
            box = (width - bottom, 0, width - top, height)
        else:
            box = (0, top, width, bottom)
        part = self.image.crop(box)
        return part if how is None else part.transpose(how)


def resized(size: tuple[int, int], shorter: int | None) -> tuple[int, int]:
    """Width and height when the shorter side has `shorter` pixels; a half is rounded up."""
    least = min(size)
    wanted = shorter or least
    width, height = ((2 * side * wanted + least) // (2 * least) for side in size)
    return width, height


def too_narrow(size: tuple[int, int], spec: InputSpec) -> bool:
    """Whether the longer side would become so long that memory is not to be had."""
    width, height = resized(size, spec.resize)
    return width * height > MAX_PIXELS


def centre(size: tuple[int, int], spec: InputSpec) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is cut out of a picture of this width and height."""
    rows, columns = spec.shape[:2] if spec.layout == "HWC" else spec.shape[1:]
    left, top = (size[0] - columns) // 2, (size[1] - rows) // 2
    return left, top, left + columns, top + rows


def fit(upright: Upright, spec: InputSpec) -> Pixels:
    """uint8 [H, W, C] of the spec's size and colour: resized, then the centre cut out.

    Each axis is a pass of its own, the horizontal one first, with 8 bits between: a resize of both
    axes is up to 6 grey levels apart between releases of Pillow, which choose the order themselves.
    """
    from PIL import Image

    kind = Image.Resampling[(spec.interpolation or "lanczos").upper()]
    width, height = resized(upright.whole_size, spec.resize)
    left, top, right, bottom = centre((width, height), spec)
    mode = "L" if spec.colour == "grey" else "RGB"
    across = _across(upright, mode, width, (left, right), kind)
    del upright  # the decoded picture, where the caller keeps none
    if across.height != height:
        across = across.resize((right - left, height), kind)
    pixels = np.asarray(across.crop((0, top, right - left, bottom)), np.uint8)
    return pixels.reshape(bottom - top, right - left, -1)


def _across(
    upright: Upright, mode: str, width: int, columns: tuple[int, int], kind: Any
) -> "Image.Image":
    """The first pass: every row resized to `width`, and its `columns` cut out."""
    from PIL import Image

    first, last = columns
    across = Image.new(mode, (last - first, upright.size[1]))
    for y, strip in upright.strips():
        part = coloured(strip, mode)
        if part.width != width:
            part = part.resize((width, part.height), kind)
        across.paste(part.crop((first, 0, last, part.height)), (0, y))
    return across


def coloured(image: "Image.Image", mode: str) -> "Image.Image":
    """In 8 bits, on white paper where it is transparent, as grey `L` or as `RGB`."""
    from PIL import Image

    if image.mode in SIXTEEN:
        image = _eight_bits(image)
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    if image.mode not in GREYS:
        image = image.convert("RGB")  # first, so that grey is always made of 8-bit RGB
    return image.convert(mode)


def _eight_bits(image: "Image.Image") -> "Image.Image":
    """The high byte of 16; a level that the file names transparent is white."""
    from PIL import Image

    samples: NDArray[Any] = np.asarray(image)
    levels = (samples >> 8).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        levels[samples == key] = 255
    return Image.fromarray(levels)
