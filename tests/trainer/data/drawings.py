"""A small Omniglot in each of its forms, for tests."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handful.trainer.data.sources.omniglot import HALVES, INDEX, PACKED_BITS

Bits = NDArray[np.uint8]  # [105, 105], 1 = ink


def png(ink: Bits) -> bytes:
    """As the official files: one bit a pixel, ink 0."""
    stream = io.BytesIO()
    Image.fromarray(ink == 0).convert("1").save(stream, "PNG")
    return stream.getvalue()


def drawing(number: int) -> Bits:
    ink = np.zeros((105, 105), np.uint8)
    ink[10 : 20 + 2 * number, 30:36] = 1
    return ink


def drawings() -> dict[str, dict[str, list[Bits]]]:
    """Half → character → two drawings: seven alphabets of one character, two of two."""
    background = {f"Back{a}/character01": [drawing(a), drawing(a + 10)] for a in range(7)}
    evaluation = {
        f"Eval{a}/character{c:02}": [drawing(20 + 2 * a + c)] * 2 for a in range(2) for c in (1, 2)
    }
    return dict(zip(HALVES, (background, evaluation), strict=True))


def folders(where: Path) -> Path:
    for half, characters in drawings().items():
        for name, images in characters.items():
            (where / half / name).mkdir(parents=True)
            for number, ink in enumerate(images, 1):
                (where / half / name / f"0001_{number:02}.png").write_bytes(png(ink))
    return where


def zips(where: Path) -> Path:
    where.mkdir(exist_ok=True)
    for half, characters in drawings().items():
        with zipfile.ZipFile(where / f"{half}.zip", "w") as archive:
            for name, images in characters.items():
                for number, ink in enumerate(images, 1):
                    archive.writestr(f"{half}/{name}/0001_{number:02}.png", png(ink))
                archive.writestr(f"__MACOSX/{half}/{name}/._0001_01.png", b"resource fork")
            archive.writestr(f"{half}/.DS_Store", b"")
    return where


def packed(where: Path) -> Path:
    where.mkdir(exist_ok=True)
    rows = [
        (half.removeprefix("images_"), name, images)
        for half, characters in drawings().items()
        for name, images in characters.items()
    ]
    bits = np.packbits(np.stack([images for *_, images in rows]), axis=-1)
    np.savez(where / PACKED_BITS, images=bits)
    classes = [[half, *name.split("/")] for half, name, _ in rows]
    (where / INDEX).write_text(json.dumps({"classes": classes}))
    return where
