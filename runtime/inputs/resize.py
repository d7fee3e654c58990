"""Decoded pixels to the size and colours of a package, exactly as docs/package-format.md says.

The resizing is in numpy alone, to the very values of Pillow, for frames where Pillow is not
installed. Each new pixel is a sum of integer weights times levels; the sums are below 2⁵³, so that
a product of float64 matrices is exact in whatever order it adds.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import InputSpec

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]

SIXTEEN = ("I;16", "I;16L", "I;16B", "I")  # "I" is what some Pillows make of 16 bits
GREYS = ("1", "L", *SIXTEEN)
MODES = (*GREYS, "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr")
STRIP = 2**18  # pixels that are converted at a time, so that no second whole picture is made
MAX_PIXELS = 2**25  # of a picture as decoded, and as resized: Pillow takes four bytes for each
PAPER, MIDDLE = 255, 127  # levels of what is padded: of drawings in ink, and of everything else
TURNED = (5, 6, 7, 8)  # EXIF orientations whose stored rows are columns
BITS = 22  # of the weights behind the point
BLOCK = 16  # new pixels in a product: more of them would multiply more zeros


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
        return self._turn(self.image.size)

    @property
    def whole_size(self) -> tuple[int, int]:
        """Width and height in the file, when upright."""
        return self._turn(self.whole or self.image.size)

    def _turn(self, size: tuple[int, int]) -> tuple[int, int]:
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


def fit(upright: Upright, spec: InputSpec) -> Pixels:
    """uint8 [H, W, C] of the spec's size and colour: resized, then the centre cut out, or padded.

    Each axis is a pass of its own, the horizontal one first, with 8 bits between: a resize of both
    axes is up to 6 grey levels apart between releases of Pillow, which choose the order themselves.
    """
    from PIL import Image

    kind = Image.Resampling[(spec.interpolation or "lanczos").upper()]
    width, height = new_size(upright.whole_size, spec)
    box = centre_box((width, height), spec)
    left, top, right, bottom = clip_box(box, (width, height))
    mode = "L" if spec.colour == "grey" else "RGB"
    across = _across(upright, mode, width, (left, right), kind)
    del upright  # the decoded picture, where the caller keeps none
    if across.height != height:
        across = across.resize((right - left, height), kind)
    pixels = np.asarray(across.crop((0, top, right - left, bottom)), np.uint8)
    return crop_padded(pixels.reshape(bottom - top, right - left, -1), box, spec)


def scaled_size(size: tuple[int, int], shorter: int | None) -> tuple[int, int]:
    """Width and height when the shorter side has `shorter` pixels; a half is rounded up."""
    least = min(size)
    wanted = shorter or least
    width, height = ((2 * side * wanted + least) // (2 * least) for side in size)
    return width, height


def new_size(size: tuple[int, int], spec: InputSpec) -> tuple[int, int]:
    """Width and height of the whole picture, before it is cut or padded."""
    if spec.fit == "square":
        return scaled_size(size, spec.resize)
    rows, columns = _shape(spec)
    width, height = size
    if width * rows >= height * columns:
        return columns, max(1, (2 * height * columns + width) // (2 * width))
    return max(1, (2 * width * rows + height) // (2 * height)), rows


def kept_share(size: tuple[int, int], spec: InputSpec) -> float:
    """The share of a picture's longer way that is not cut off at its two sides."""
    rows, columns = _shape(spec)
    whole = new_size(size, spec)
    shares = [min(1.0, wanted / side) for side, wanted in zip(whole, (columns, rows), strict=True)]
    return min(shares) / max(shares)  # a margin all around is meant


def _shape(spec: InputSpec) -> tuple[int, int]:
    """Rows and columns of an example."""
    rows, columns = spec.shape[:2] if spec.layout == "HWC" else spec.shape[1:]
    return rows, columns


def is_too_narrow(size: tuple[int, int], spec: InputSpec) -> bool:
    """Whether the longer side would become so long that memory is not to be had."""
    width, height = new_size(size, spec)
    return width * height > MAX_PIXELS


def centre_box(size: tuple[int, int], spec: InputSpec) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is cut out of a picture of this width and height.

    Beyond the picture's edges, as below 0, it is padded.
    """
    rows, columns = _shape(spec)
    left, top = (size[0] - columns) // 2, (size[1] - rows) // 2
    return left, top, left + columns, top + rows


def clip_box(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a box that lies in a picture of this width and height."""
    left, top, right, bottom = box
    return max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])


def crop_padded(pixels: Pixels, box: tuple[int, int, int, int], spec: InputSpec) -> Pixels:
    """The part of a picture that lies in the box [h, w, C], on a ground of the box's size."""
    rows, columns = _shape(spec)
    if pixels.shape[:2] == (rows, columns):
        return pixels
    left, top = max(0, -box[0]), max(0, -box[1])
    ground = np.full((rows, columns, pixels.shape[2]), PAPER if spec.invert else MIDDLE, np.uint8)
    ground[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return ground


def _across(
    upright: Upright, mode: str, width: int, columns: tuple[int, int], kind: Any
) -> "Image.Image":
    """The first pass: every row resized to `width`, and its `columns` cut out."""
    from PIL import Image

    first, last = columns
    across = Image.new(mode, (last - first, upright.size[1]))
    for y, strip in upright.strips():
        part = convert_colours(strip, mode)
        if part.width != width:
            part = part.resize((width, part.height), kind)
        across.paste(part.crop((first, 0, last, part.height)), (0, y))
    return across


def convert_colours(image: "Image.Image", mode: str) -> "Image.Image":
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


def to_grey(pixels: Pixels) -> Pixels:
    """[h, w, 3] → [h, w, 1]."""
    weighted: Array = pixels.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 2**15) >> 16).astype(np.uint8)[..., None]


def to_colours(pixels: Pixels, spec: InputSpec) -> Pixels:
    """[h, w, 1 or 3] in the package's colours."""
    if spec.colour == "grey":
        return pixels if pixels.shape[2] == 1 else to_grey(pixels)
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def resample(
    pixels: Pixels, size: tuple[int, int], box: tuple[int, int, int, int], kind: str
) -> Pixels:
    """[h, w, C] at `size` = (width, height), of it the rows and columns of `box`.

    `box` is left, top, right, bottom in pixels of the new size. Rows first, then columns.
    """
    left, top, right, bottom = box
    across = _pass(pixels.swapaxes(0, 1), size[0], (left, right), kind)
    return np.ascontiguousarray(_pass(across.swapaxes(0, 1), size[1], (top, bottom), kind))


def _pass(lines: Pixels, wanted: int, part: tuple[int, int], kind: str) -> Pixels:
    """[n, …] → [part, …]: the first axis as `wanted` new pixels, of which a part is made."""
    count, first, last = len(lines), *part
    if count == wanted:
        return lines[first:last]
    flat = np.ascontiguousarray(lines).reshape(count, -1)
    made = np.empty((last - first, flat.shape[1]), np.uint8)
    every = _weights(count, wanted, first, last, kind)
    for at in range(first, last, BLOCK):
        weights = every[at - first : min(at + BLOCK, last) - first]
        start = weights[0][0]
        stop = max(begin + len(values) for begin, values in weights)
        matrix = np.zeros((len(weights), stop - start))
        for row, (begin, values) in zip(matrix, weights, strict=True):
            row[begin - start : begin - start + len(values)] = values
        sums = matrix @ flat[start:stop].astype(np.float64)
        levels = np.floor((sums + 2 ** (BITS - 1)) / 2**BITS)
        made[at - first : at - first + len(weights)] = levels.clip(0, 255)
    return made.reshape(last - first, *lines.shape[1:])


@lru_cache(maxsize=8)  # a camera's frames have one size
def _weights(
    count: int, wanted: int, begin: int, end: int, kind: str
) -> list[tuple[int, tuple[int, ...]]]:
    """For new pixels `begin` to `end` the first old one of each, and the weights × 2²².

    Of a long and narrow picture nearly all are cut off; there may be millions of them.
    """
    support, function = FILTERS[kind]
    scale = count / wanted
    wide = max(scale, 1.0)
    reach = support * wide
    lines = []
    for i in range(begin, end):
        centre = (i + 0.5) * scale
        first = max(0, math.floor(centre - reach + 0.5))
        last = min(count, math.floor(centre + reach + 0.5))
        inverse = 1 / wide
        raw = [function((j - centre + 0.5) * inverse) for j in range(first, last)]
        total = 0.0
        for weight in raw:
            total += weight
        scaled = [(w / total if total else w) * 2**BITS for w in raw]
        lines.append((first, tuple(math.trunc(w + math.copysign(0.5, w)) for w in scaled)))
    return lines


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x else 1.0


def _bicubic(x: float) -> float:
    y = abs(x)
    if y < 1:
        return (1.5 * y - 2.5) * y * y + 1
    return -0.5 * (((y - 5) * y + 8) * y - 4) if y < 2 else 0.0


FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "box": (0.5, lambda x: 1.0 if -0.5 < x <= 0.5 else 0.0),
    "bilinear": (1.0, lambda x: max(0.0, 1.0 - abs(x))),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, lambda x: _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0),
}
