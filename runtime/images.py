"""Image files → arrays, by the manifest's preprocessing; the only place that needs Pillow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handful.runtime.package.manifest import InputSpec

from .arrays import Floats
from .errors import InputError, SupportSetError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 64_000_000  # of a file, and of what it is resized to
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
LABELS = "one sub-folder a class, named as the class"
IGNORED = ("thumbs.db", "desktop.ini")  # what file managers leave behind


def read_image(path: str | Path, spec: InputSpec) -> Floats:
    """The picture in the file `path` as the package wants an example: float32, in its shape."""
    if spec.kind != "image":
        raise InputError(
            "the package takes arrays, not pictures",
            hint="give the arrays it was trained on to adapt and predict",
        )
    _pillow()
    image = _open(Path(path), spec)
    image = _cut(image, spec, Path(path))
    pixels = np.asarray(image, np.float32)
    if spec.invert:
        pixels = 255 - pixels
    pixels = pixels * np.float32(spec.scale) + np.float32(spec.offset)
    pixels = pixels.reshape(*pixels.shape[:2], -1)  # [H, W, C]
    return np.ascontiguousarray(pixels if spec.layout == "HWC" else pixels.transpose(2, 0, 1))


def read_folder(path: str | Path, spec: InputSpec) -> dict[str, list[Floats]]:
    """{label: [pictures]} of a folder with one sub-folder a class, both in order of name."""
    path = Path(path)
    if not path.is_dir():
        raise SupportSetError(f"no folder {path}", hint=LABELS)
    found: dict[str, list[Floats]] = {}
    for folder in _visible(path):
        if not folder.is_dir():
            raise SupportSetError(
                f"{folder.name} lies in {path} itself, wanted it in a sub-folder",
                hint=LABELS,
            )
        found[folder.name] = [read_image(file, spec) for file in _visible(folder)]
        if not found[folder.name]:
            raise SupportSetError(
                f"no pictures in {folder}", hint="add one at least, or remove the folder"
            )
    if not found:
        raise SupportSetError(f"no sub-folders in {path}", hint=LABELS)
    return found


def _visible(folder: Path) -> list[Path]:
    return sorted(
        item
        for item in folder.iterdir()
        if not item.name.startswith(".") and item.name.lower() not in IGNORED
    )


def _pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError as cause:
        raise InputError(
            "reading pictures needs Pillow, which is not installed",
            hint="pip install 'handful[images]'",
        ) from cause


def _open(path: Path, spec: InputSpec) -> "Image.Image":
    """Decoded, upright, and in the colours of the spec."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(
                    f"{path} has {image.width} × {image.height} pixels, "
                    f"at most {MAX_PIXELS} are read"
                )
            return _coloured(ImageOps.exif_transpose(image), spec)
    except InputError:
        raise
    except UnidentifiedImageError as cause:
        raise InputError(
            f"{path} is not a picture that can be read", hint=f"one of {', '.join(FORMATS)}"
        ) from cause
    except Exception as cause:  # decoders raise OSError, ValueError, SyntaxError and others
        raise InputError(f"{path} cannot be decoded: {cause}") from cause


def _coloured(image: "Image.Image", spec: InputSpec) -> "Image.Image":
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow would clip instead of scaling
        image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:  # on white paper
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("L" if spec.colour == "grey" else "RGB")


def _cut(image: "Image.Image", spec: InputSpec, path: Path) -> "Image.Image":
    """The shorter side resized, then the centre."""
    from PIL import Image

    filters: dict[str | None, Any] = {
        "lanczos": Image.Resampling.LANCZOS,
        "bicubic": Image.Resampling.BICUBIC,
        "bilinear": Image.Resampling.BILINEAR,
        "box": Image.Resampling.BOX,
    }
    short = spec.resize or min(image.size)
    ratio = short / min(image.size)
    size = (max(short, round(image.width * ratio)), max(short, round(image.height * ratio)))
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"{path} is {image.width} × {image.height}, too long and narrow to resize")
    if size != image.size:
        image = image.resize(size, filters[spec.interpolation])
    height, width = spec.shape[:2] if spec.layout == "HWC" else spec.shape[1:]
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
