"""Omniglot (Lake et al. 2015): packed arrays, the official zips, unpacked folders, or a download.

The usual places are, in order: $HANDFUL_DATA/omniglot, ./data/omniglot, the user's cache. Without
a file in any of them the official archives are downloaded into the cache.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from handful.runtime.manifest import InputSpec

from .config import DataConfig
from .download import Archive, fetch
from .errors import DataError
from .labelled import LabelledSet, labelled
from .pictures import read_drawing
from .splits import Part, split

# https://github.com/brendenlake/omniglot; the md5 are those that torchvision's omniglot.py pins
BASE = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
ARCHIVES = (
    Archive("images_background.zip", "68d2efa1b9178cc56df9314c21c6e718"),
    Archive("images_evaluation.zip", "6b91aef0f799c5bb55b94e3f2daec811"),
)
FOLDERS = ("images_background", "images_evaluation")
PACKED, PACKED_BITS, INDEX = "omniglot_28.npz", "omniglot_105_bits.npz", "omniglot_index.json"
VINYALS = Path(__file__).parent / "vinyals.json"
LAKE_VALIDATION = 5  # alphabets of the background set that validate: every sixth of the thirty

Drawings = dict[str, NDArray[np.uint8]]  # "Alphabet/character01" → [K, H, W], ink bright


def load_omniglot(config: DataConfig, part: Part) -> LabelledSet:
    """Characters of one part; with rotations each is four classes."""
    size = config.image_size
    where = find_omniglot(config.path)
    drawings, background = _read(where, size)
    spec = InputSpec(
        kind="image",
        shape=(size, size, 1),
        layout="HWC",
        range=(0.0, 1.0),
        colour="grey",
        scale=1 / 255,
        invert=True,  # picture files are dark ink on light paper
        resize=size,
        interpolation="lanczos",
    )
    groups = {name: torch.from_numpy(x)[..., None] for name, x in drawings.items()}
    data = labelled(groups, spec, where=str(where))
    chosen = _part(data, background, config, part)
    return chosen.rotated() if config.rotations else chosen


def find_omniglot(path: Path | None) -> Path:
    """The folder that holds Omniglot in one of its forms; downloaded where there is none."""
    if path is not None:
        if not _holds(path):
            raise DataError(
                f"no Omniglot in {path}",
                hint=f"wanted {PACKED}, or {ARCHIVES[0].name} and {ARCHIVES[1].name},"
                " or the folders unpacked from them",
            )
        return path
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "handful" / "omniglot"
    roots = [Path(os.environ["HANDFUL_DATA"])] if os.environ.get("HANDFUL_DATA") else []
    for place in (*(root / "omniglot" for root in roots), Path("data/omniglot"), cache):
        if _holds(place):
            return place
    for archive in ARCHIVES:
        fetch(BASE, archive, cache)
    return cache


def _holds(path: Path) -> bool:
    packed = (path / INDEX).is_file() and (path / PACKED).is_file()
    zips = all((path / archive.name).is_file() for archive in ARCHIVES)
    return packed or zips or all((path / folder).is_dir() for folder in FOLDERS)


def _read(where: Path, size: int) -> tuple[Drawings, set[str]]:
    """All characters by name, and the names of the background set."""
    if (where / INDEX).is_file():
        return _packed(where, size)
    drawings: Drawings = {}
    background: set[str] = set()
    for archive, folder in zip(ARCHIVES, FOLDERS, strict=True):
        unpacked = (where / folder).is_dir()
        files = _folder(where / folder) if unpacked else _zip(where / archive.name)
        for name, images in _by_character(files).items():
            drawings[name] = np.stack([read_drawing(data, size, file) for file, data in images])
            if folder == FOLDERS[0]:
                background.add(name)
    return dict(sorted(drawings.items())), background


def _packed(where: Path, size: int) -> tuple[Drawings, set[str]]:
    index = json.loads((where / INDEX).read_text(encoding="utf-8"))
    try:
        if size == 28:
            images = np.load(where / PACKED, allow_pickle=False)["images"]
        else:
            bits = np.load(where / PACKED_BITS, allow_pickle=False)["images"]
            images = _resized(np.unpackbits(bits, axis=-1, count=105), size)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read Omniglot's packed images in {where}: {error}") from error
    names = [f"{alphabet}/{character}" for _, alphabet, character in index["classes"]]
    background = {
        name for name, entry in zip(names, index["classes"], strict=True) if entry[0] == "background"
    }
    drawings = dict(zip(names, images, strict=True))
    return dict(sorted(drawings.items())), background


def _resized(ink: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bits [C, K, 105, 105], 1 = ink, as grey levels [C, K, size, size]."""
    from .pictures import resize_drawing

    flat = ink.reshape(-1, *ink.shape[2:])
    return np.stack([resize_drawing(image, size) for image in flat]).reshape(
        *ink.shape[:2], size, size
    )


def _folder(root: Path) -> Iterable[tuple[str, bytes]]:
    for file in sorted(root.glob("*/*/*.png")):
        yield str(file.relative_to(root)), file.read_bytes()


def _zip(path: Path) -> Iterable[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".png"):
                    yield name.split("/", 1)[1], archive.read(name)
    except (zipfile.BadZipFile, OSError, IndexError) as error:
        raise DataError(
            f"{path} is not a whole zip: {error}", hint="remove it and let it be downloaded again"
        ) from error


def _by_character(files: Iterable[tuple[str, bytes]]) -> dict[str, list[tuple[str, bytes]]]:
    found: dict[str, list[tuple[str, bytes]]] = {}
    for name, data in files:
        alphabet, character, _ = name.replace("\\", "/").rsplit("/", 2)
        found.setdefault(f"{alphabet}/{character}", []).append((name, data))
    return found


def _part(
    data: LabelledSet, background: set[str], config: DataConfig, part: Part
) -> LabelledSet:
    """The classes of the part under the split that the config names."""
    index = {name: i for i, name in enumerate(data.classes)}
    if config.split == "vinyals":
        listed = json.loads(VINYALS.read_text(encoding="utf-8"))[part]
        names = [f"{a}/character{n:02d}" for a, numbers in listed.items() for n in numbers]
        if missing := [name for name in names if name not in index]:
            raise DataError(
                f"Omniglot has no character {missing[0]}, which the Vinyals split lists",
                hint="the data are not complete: download them again",
            )
        return data.take([index[name] for name in names])
    if config.split == "lake":
        alphabets = sorted({name.split("/")[0] for name in background})
        validating = set(alphabets[5 :: len(alphabets) // LAKE_VALIDATION])
        wanted = {
            "meta_train": [n for n in data.classes if n in background and n.split("/")[0] not in validating],
            "meta_val": [n for n in data.classes if n in background and n.split("/")[0] in validating],
            "meta_test": [n for n in data.classes if n not in background],
        }[part]
        return data.take([index[name] for name in wanted])
    return split(data, config.split, part, config.seed)


