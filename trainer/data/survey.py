"""What a source holds before anything is trained on it: parts, bad files, duplicates, sizes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from handful.runtime.errors import InputError
from handful.runtime.inputs.examples import KINDS
from handful.runtime.inputs.pictures import silence_pillow
from handful.runtime.inputs.series import read_array
from handful.runtime.inputs.sounds import read_wav
from handful.trainer.data.sources.download import Progress, silent
from handful.trainer.settings.errors import BadFilesError, DataError

from . import folder_kind, load_pictures
from .config import DataConfig
from .labelled import LabelledSet
from .layout import Placed, lay_out
from .record import is_name, of_file
from .splits import PARTS, Part

Range = tuple[float, float, float]  # least, median, most
Facts = tuple[dict[str, dict[str, int]], dict[str, Range]]  # what → value → files, and → over them


class Place(NamedTuple):
    """Where an example or a file lies; `part` is "" for a class of a part that cannot be read."""

    part: str
    label: str
    name: str  # a file's path in the source, or the example's place in its class

    def __str__(self) -> str:
        """As people look for it."""
        return f"{self.name} ({self.part})" if self.part else self.name


@dataclass(frozen=True)
class Survey:
    """A source as training would read it."""

    config: DataConfig
    parts: Mapping[Part, LabelledSet]  # those that can be read, without their bad files
    bad: Mapping[str, str] = field(default_factory=dict)  # file → why it cannot be read
    faults: tuple[DataError, ...] = ()  # of parts that cannot be read at all
    duplicates: tuple[tuple[Place, ...], ...] = ()  # the same bytes; across parts first
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # what → value → files
    ranges: Mapping[str, Range] = field(default_factory=dict)  # what → over the files
    colour: bool = False  # most pictures are in colour: photographs, not drawings


def survey(config: DataConfig, progress: Progress = silent) -> Survey:
    """Read all parts, as `handful train` reads them, and whatever else their files say.

    A DataError where no part can be read and no file is to blame, as where there is no such folder.
    """
    parts: dict[Part, LabelledSet] = {}
    bad: dict[Path, InputError] = {}
    faults: dict[str, DataError] = {}
    for part in PARTS:
        try:
            try:
                parts[part] = load_pictures(config, part, progress=progress)
            except BadFilesError as error:
                bad |= error.bad
                parts[part] = load_pictures(config, part, progress=progress, skip_bad=True)
        except DataError as error:
            faults.setdefault(str(error), error)
    if not parts and not bad:
        raise next(iter(faults.values()))
    found = Survey(config, parts, faults=tuple(faults.values()))
    folder = Path(config.source)
    if is_name(config.source) or not folder.is_dir():
        x = next(iter(parts.values())).x
        colour = x.dtype == torch.uint8 and x.ndim == 4 and x.shape[-1] == 3
        counts = _shapes(parts)
        return replace(found, duplicates=_find_same(_examples(parts)), counts=counts, colour=colour)
    kind = folder_kind(config)
    layout = lay_out(config, KINDS[kind].files)
    place_of = {row.file: row.place for row in layout.files}
    good = [row for row in layout.files if row.file not in bad]
    every = [row.file for row in good]
    counts, ranges = HEADERS[kind](every) if every else ({}, {})
    return replace(
        found,
        bad={place_of[file]: str(error) for file, error in bad.items()},
        duplicates=_find_same(_files(good, parts)),
        counts=counts,
        ranges=ranges,
        colour=kind == "image" and is_in_colour(every),
    )


def spread(numbers: Sequence[float]) -> Range:
    """The least, the median and the most."""
    return min(numbers), median(numbers), max(numbers)


def _files(
    rows: Sequence[Placed], parts: Mapping[Part, LabelledSet]
) -> Iterator[tuple[str, Place]]:
    """The hash of each file's bytes, and where it lies."""
    part_of = {name: part for part, data in parts.items() for name in data.facts}
    for row in rows:
        part = part_of.get(row.domain or row.label, "")
        yield of_file(row.file), Place(part, row.label, row.place)


def _examples(parts: Mapping[Part, LabelledSet]) -> Iterator[tuple[str, Place]]:
    """The hash of each example, and where it lies; turned ones are passed over."""
    for part, data in parts.items():
        classes = torch.split(data.x, data.counts.tolist())
        for label, examples in zip(data.classes, classes, strict=True):
            own = label if label in data.facts else label.removesuffix("@0")
            if own not in data.facts:
                continue  # a turn of a class, which is no drawing of its own
            for row, example in enumerate(examples):
                digest = hashlib.sha256(example.contiguous().numpy().tobytes()).hexdigest()
                yield digest, Place(part, own, f"{own}[{row}]")


def _find_same(places: Iterator[tuple[str, Place]]) -> tuple[tuple[Place, ...], ...]:
    """Those with the same hash: first across parts, then across classes, then within one."""
    by_hash: dict[str, list[Place]] = {}
    for digest, place in places:
        by_hash.setdefault(digest, []).append(place)
    groups = (tuple(group) for group in by_hash.values() if len(group) > 1)
    return tuple(sorted(groups, key=lambda group: -badness(group)))


def badness(group: Sequence[Place]) -> int:
    """2 where the same bytes are in several parts, 1 in several classes, 0 within a class."""
    if len({place.part for place in group}) > 1:
        return 2
    return int(len({place.label for place in group}) > 1)


def _shapes(parts: Mapping[Part, LabelledSet]) -> dict[str, dict[str, int]]:
    """Of arrays, whose examples are all alike."""
    x = next(iter(parts.values())).x
    shape = " × ".join(map(str, x.shape[1:]))
    kind = str(x.dtype).removeprefix("torch.")
    return {f"examples of {kind}": {shape: sum(len(data.x) for data in parts.values())}}


def _of_pictures(files: Sequence[Path]) -> Facts:
    from PIL import Image

    with silence_pillow():
        facts = []
        for file in files:
            with Image.open(file) as image:
                facts.append((f"{image.width} × {image.height}", image.mode))
    return {
        "sizes": _count_often(size for size, _ in facts),
        "modes": _count_often(m for _, m in facts),
    }, {}


LOOKED_AT, SIDE = 24, 32  # pictures, evenly over the files, and the side that they are shrunk to
TINGE = 12  # levels of 255 by which channels differ where a picture is in colour


def is_in_colour(files: Sequence[Path]) -> bool:
    """Whether most pictures are: drawings are often stored as RGB, and their channels are alike."""
    from PIL import Image

    some = files[:: max(1, len(files) // LOOKED_AT)]
    coloured = 0
    with silence_pillow():
        for file in some:
            with Image.open(file) as image:
                image.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded small
                pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE)), np.int16)
            spread = pixels.max(axis=2) - pixels.min(axis=2)
            coloured += bool(spread.mean() > TINGE)
    return 2 * coloured > len(some)


def _of_sounds(files: Sequence[Path]) -> Facts:
    sounds = [(sound.rate, len(sound.samples)) for sound in map(read_wav, files)]
    return (
        {"samples a second": _count_often(str(rate) for rate, _ in sounds)},
        {"seconds": spread([count / rate for rate, count in sounds])},
    )


def _of_readings(files: Sequence[Path]) -> Facts:
    shapes = [array.shape for array in map(read_array, files)]
    return (
        {"channels": _count_often(str(shape[-1] if len(shape) > 1 else 1) for shape in shapes)},
        {"readings a file": spread([shape[0] for shape in shapes])},
    )


# what the files' own headers say: how often each value occurs, and how long they are
HEADERS: Mapping[str, Callable[[Sequence[Path]], Facts]] = {
    "image": _of_pictures,
    "audio": _of_sounds,
    "array": _of_readings,
}


def _count_often(values: Iterator[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())
