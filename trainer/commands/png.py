"""A picture that a command draws: where it may be written, and how it is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from handful.runtime.errors import HandfulError
from handful.runtime.package.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 130


class PictureError(HandfulError):
    """A picture cannot be written where it should be."""


def check_png(file: Path, option: str, *, example: str, force: bool) -> None:
    """Refuse a place for the picture before time is spent on what it shows."""
    if file.suffix.lower() != ".png":
        raise PictureError(f"{option} {file} is not a .png file", hint=f"name it so: {example}")
    if not file.parent.is_dir():
        raise PictureError(f"{option}: no folder {file.parent}", hint="make it first")
    if file.exists() and not force:
        raise PictureError(f"{file} exists already", hint="replace it with --force")


def write_png(figure: Figure, file: Path, option: str) -> None:
    """The figure as a PNG file, whole or not at all."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    try:
        write_atomic(file, png.getvalue())
    except OSError as cause:
        raise PictureError(
            f"cannot write {file}: {cause.strerror or cause}",
            hint=f"make room, or name another place with {option}",
        ) from cause
