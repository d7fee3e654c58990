"""Omniglot (Lake et al. 2015): packed arrays, the official zips, unpacked folders, or a download.

The usual places are, in order: $HANDFUL_DATA/omniglot, ./data/omniglot, the user's cache. Without
Omniglot in any of them the official archives are downloaded into the cache.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from handful.trainer.data.config import Credit, DataConfig
from handful.trainer.data.labelled import LabelledSet, label_examples
from handful.trainer.data.record import RecordedPart, of_examples
from handful.trainer.data.splits import Part, choose, known_classes
from handful.trainer.settings.errors import DataError

from .arrays import read_arrays
from .download import Archive, Progress, cache_folder, fetch, silent
from .pictures import SIDE, drawing_spec, read_drawing, resize_drawing

PACKED, PACKED_BITS, INDEX = "omniglot_28.npz", "omniglot_105_bits.npz", "omniglot_index.json"
HALVES = ("images_background", "images_evaluation")  # folders, or zips of them
DRAWING = re.compile(r"(?:.*/)?([^/]+/character\d+)/[^/.][^/]*\.png")
BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError)

CREDIT = Credit(
    data="Omniglot",
    authors="Brenden M. Lake, Ruslan Salakhutdinov and Joshua B. Tenenbaum",
    licence="MIT",
    source="https://github.com/brendenlake/omniglot",
    changes="drawings made smaller, ink bright on dark, quarter turns as classes of their own",
    cite="Lake, Salakhutdinov and Tenenbaum (2015). Human-level concept learning through"
    " probabilistic program induction. Science, 350(6266), 1332-1338",
)

Pixels = NDArray[np.uint8]
# https://github.com/brendenlake/omniglot; the md5 are those that torchvision's omniglot.py pins
BASE = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
ARCHIVES = (
    Archive("images_background.zip", "68d2efa1b9178cc56df9314c21c6e718"),
    Archive("images_evaluation.zip", "6b91aef0f799c5bb55b94e3f2daec811"),
)
VINYALS = Path(__file__).parent / "vinyals.json"
LAKE_VALIDATION = 5  # alphabets of the background set that validate: every sixth of the thirty


def load_omniglot(
    config: DataConfig,
    part: Part,
    *,
    progress: Progress = silent,
    recorded: RecordedPart | None = None,
) -> LabelledSet:
    """Characters of one part; with rotations each is four classes."""
    where = find_omniglot(config.path, progress=progress)
    every = characters(where)
    if recorded is None:
        names = part_names(every, config, part)
    else:
        names = list(recorded.classes)
        known_classes(every.names, part, names)
    drawings = every.read(names, config.image_size)
    groups = {name: torch.from_numpy(x)[..., None] for name, x in zip(names, drawings, strict=True)}
    data = label_examples(groups, drawing_spec(config.image_size), where=str(where))
    data = replace(data, facts=of_examples(data)).group("/")  # an alphabet is a group
    return data.rotate() if config.rotations else data


def find_omniglot(path: Path | None, *, progress: Progress = silent) -> Path:
    """The folder that holds Omniglot in one of its forms; downloaded where there is none."""
    if path is not None:
        if not holds(path):
            raise DataError(
                f"no Omniglot in {path}",
                hint=f"wanted in data.path: {PACKED} with its index, or {ARCHIVES[0].name} and"
                f" {ARCHIVES[1].name}, or the folders unpacked from them",
            )
        return path
    cache = cache_folder() / "omniglot"
    shared = os.environ.get("HANDFUL_DATA")
    places = (*([Path(shared, "omniglot")] if shared else []), Path("data", "omniglot"), cache)
    for place in places:
        if holds(place):
            return place
    for archive in ARCHIVES:
        fetch(BASE, archive, cache, progress=progress)
    return cache


def part_names(every: Characters, config: DataConfig, part: Part) -> list[str]:
    """The characters of the part under the split that the config names."""
    if config.split == "vinyals":
        return _vinyals(every, part)
    if config.split == "lake":
        return _lake(every, part)
    return [every.names[i] for i in choose(every.names, config.split, part, config.seed)]


def _vinyals(every: Characters, part: Part) -> list[str]:
    listed = json.loads(VINYALS.read_text(encoding="utf-8"))[part]
    names = [f"{alphabet}/character{n:02}" for alphabet, ns in listed.items() for n in ns]
    known = set(every.names)
    for name in names:
        if name not in known:
            raise DataError(
                f"Omniglot has no character {name}, which the Vinyals split lists",
                hint="the data are not complete: download them again",
            )
    return names


def _lake(every: Characters, part: Part) -> list[str]:
    """Training and validation are alphabets of the background set, the test is the evaluation set.

    Lake et al. know no validation: its five alphabets are taken from training, here.
    """
    alphabets = sorted({name.split("/")[0] for name in every.background})
    validation = set(alphabets[5 :: max(1, len(alphabets) // LAKE_VALIDATION)])

    def part_of(name: str) -> Part:
        if name not in every.background:
            return "meta_test"
        return "meta_val" if name.split("/")[0] in validation else "meta_train"

    chosen = [name for name in every.names if part_of(name) == part]
    if not chosen:
        raise DataError(f"the split lake leaves no classes for {part}")
    return chosen


class Characters(NamedTuple):
    """Characters by name, "Alphabet/character01"; `read` gives [K, size, size], ink bright."""

    names: tuple[str, ...]  # sorted
    background: frozenset[str]
    read: Callable[[Sequence[str], int], list[Pixels]]


def characters(where: Path) -> Characters:
    """The characters in the folder; their drawings are decoded when they are read."""
    if _is_packed(where):
        return _read_packed(where)
    halves = [_half(root) for half in HALVES if (root := _root(where, half))]
    by_name: dict[str, _Half] = {}
    for half in halves:
        for name in half.files:
            if name in by_name:
                raise DataError(
                    f"character {name} is in {by_name[name].root} and in {half.root}",
                    hint="one is a copy of the other: get it again",
                )
            by_name[name] = half

    def read(names: Sequence[str], size: int) -> list[Pixels]:
        drawings: dict[str, Pixels] = {}
        for half in halves:
            drawings |= _read_drawings(
                half, [name for name in names if by_name[name] is half], size
            )
        return [drawings[name] for name in names]

    return Characters(tuple(sorted(by_name)), frozenset(halves[0].files), read)


def holds(where: Path) -> bool:
    """Whether the folder has Omniglot in one of its forms."""
    return _is_packed(where) or all(_root(where, half) for half in HALVES)


class _Half(NamedTuple):
    """One of the two official archives, or the folder that it was unpacked into."""

    root: Path
    files: dict[str, list[str]]  # of each character


def _is_packed(where: Path) -> bool:
    arrays = any((where / file).is_file() for file in (PACKED, PACKED_BITS))
    return arrays and (where / INDEX).is_file()


def _root(where: Path, half: str) -> Path | None:
    folder, archive = where / half, where / f"{half}.zip"
    return folder if folder.is_dir() else archive if archive.is_file() else None


def _half(root: Path) -> _Half:
    if root.is_dir():
        every = [file.relative_to(root).as_posix() for file in root.glob("*/*/*.png")]
    else:
        with _archive(root) as archive:
            every = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    files: dict[str, list[str]] = {}
    for name in sorted(every):
        if match := DRAWING.fullmatch(name):
            files.setdefault(match[1], []).append(name)
    if not files:
        raise DataError(f"no characters in {root}", hint="wanted Alphabet/character01/*.png")
    return _Half(root, files)


def _read_drawings(half: _Half, names: Sequence[str], size: int) -> dict[str, Pixels]:
    def stack(read: Callable[[str], bytes]) -> dict[str, Pixels]:
        return {
            name: np.stack([read_drawing(read(f), size, half.root / f) for f in half.files[name]])
            for name in names
        }

    if half.root.is_dir():
        return stack(lambda name: (half.root / name).read_bytes())
    with _archive(half.root) as archive:
        return stack(archive.read)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except BROKEN as cause:
        raise DataError(
            f"{path} is not a whole zip: {cause}", hint="remove it and download it again"
        ) from cause


def _read_packed(where: Path) -> Characters:
    listed = _index(where / INDEX)
    names = [f"{alphabet}/{character}" for _, alphabet, character in listed]
    background = frozenset(
        n for n, (half, *_) in zip(names, listed, strict=True) if half == "background"
    )
    row = {name: i for i, name in enumerate(names)}

    def read(chosen: Sequence[str], size: int) -> list[Pixels]:
        if size == 28 and (where / PACKED).is_file():
            images = _images(where / PACKED, len(names), (28, 28))
            return [images[row[name]] for name in chosen]
        if not (where / PACKED_BITS).is_file():
            raise DataError(
                f"no {PACKED_BITS} in {where}, wanted for data.image_size: {size}",
                hint=f"set data.image_size = 28 to read {PACKED}",
            )
        bits = _images(where / PACKED_BITS, len(names), (SIDE, 14))
        return [_unpack(bits[row[name]], size) for name in chosen]

    return Characters(tuple(sorted(names)), background, read)


def _index(path: Path) -> list[tuple[str, str, str]]:
    try:
        entries: Any = json.loads(path.read_text(encoding="utf-8"))["classes"]
        listed = [(str(half), str(alphabet), str(name)) for half, alphabet, name in entries]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as cause:
        raise DataError(f"{path} has no list `classes` of [split, alphabet, character]") from cause
    names = [f"{alphabet}/{name}" for _, alphabet, name in listed]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} has class {twice} twice")
    return listed


def _images(file: Path, count: int, shape: tuple[int, int]) -> Pixels:
    images = read_arrays(file, ("images",))["images"]
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or (len(images), *images.shape[2:]) != (count, *shape)
    ):
        raise DataError(
            f"{file} `images` is {images.dtype} {list(images.shape)},"
            f" wanted uint8 [{count}, K, {shape[0]}, {shape[1]}]",
            hint=f"{INDEX} lists {count} classes",
        )
    return images


def _unpack(bits: Pixels, size: int) -> Pixels:
    """Packed bits [K, 105, 14], 1 = ink, as grey levels [K, size, size]."""
    return np.stack([resize_drawing(ink, size) for ink in np.unpackbits(bits, axis=-1, count=SIDE)])
