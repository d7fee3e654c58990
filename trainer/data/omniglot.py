"""Omniglot (Lake et al. 2015): packed arrays, the official zips, unpacked folders, or a download.

The usual places are, in order: $HANDFUL_DATA/omniglot, ./data/omniglot, the user's cache. Without
Omniglot in any of them the official archives are downloaded into the cache.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import torch

from .cache import cache_folder
from .characters import PACKED, Characters, characters, holds
from .config import DataConfig
from .download import Archive, Progress, fetch, silent
from .errors import DataError
from .fingerprint import of_examples
from .labelled import LabelledSet, labelled
from .pictures import drawing_spec
from .record import RecordedPart
from .splits import Part, choose, known_classes

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
    data = labelled(groups, drawing_spec(config.image_size), where=str(where))
    data = replace(data, facts=of_examples(data)).grouped("/")  # an alphabet is a group
    return data.rotated() if config.rotations else data


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
