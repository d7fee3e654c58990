"""What a run's data are: their places, the classes of each part, a fingerprint of every class.

A run writes this down before it trains; whoever reads its data later takes these classes instead
of splitting anew, and is refused, by name, what is no longer the same. A class's fingerprint is of
its examples as they were read, or of its files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from handful.runtime.inputs.folders import compose
from handful.runtime.package.manifest import Seen
from handful.trainer.data.backbones.named import find_known
from handful.trainer.settings.errors import DataError

from .config import DRAWN, PLACES, DataConfig
from .functions import is_functions
from .labelled import ClassFacts, LabelledSet
from .splits import MOVED, PARTS, Part, shorten

FORMAT = 1
PACKAGED = "data"  # in a package's `training`: the recorded classes of the part it is tested on
SEEN = ("mean", "deviation")


def is_name(source: str) -> bool:
    """Whether `data.source` is a name, and not the path of a folder or a file."""
    return source in ("omniglot", *DRAWN) or is_functions(source)


@dataclass(frozen=True)
class RecordedPart:
    """The classes of one part, as they were read when the run was made."""

    part: Part
    classes: Mapping[str, ClassFacts]
    left_out: tuple[str, ...] = ()  # files that could not be read then, by their path in the source

    def only(self, names: Sequence[str]) -> RecordedPart:
        """Some of the classes; the others may be gone."""
        return replace(self, classes={name: self.classes[name] for name in names})

    def compare(self, facts: Mapping[str, ClassFacts]) -> None:
        """Refuse what was read now, if it is not what was read then."""
        changes = [
            f"{name} has {now.examples} examples, had {then.examples}"
            if now.examples != then.examples
            else f"{name} has other examples"
            for name, then in self.classes.items()
            if (now := facts[name]) != then
        ]
        if changes:
            raise DataError(
                f"the data of {self.part} are not those that were recorded: {shorten(changes)}",
                hint=MOVED,
            )


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """All that is written down of a run's data."""

    places: Mapping[str, str] = field(default_factory=dict)  # setting → absolute path
    parts: Mapping[Part, Mapping[str, ClassFacts]]
    left_out: tuple[str, ...] = ()
    backbone: str | None = None  # the sha256 of the backbone's file
    seen: Seen | None = None  # what the meta-training examples were like, for the manifest

    def part(self, part: Part) -> RecordedPart:
        """One part of it."""
        if part not in self.parts:
            raise DataError(f"the recorded data have no {part}", hint="train a new run")
        return RecordedPart(part, self.parts[part], self.left_out)


def places_of(config: DataConfig, omniglot: Path | None = None) -> dict[str, str]:
    """Where the settings' files are, as absolute paths; `omniglot` is where it was found."""
    paths = {name: getattr(config, name) for name in PLACES}
    if is_name(config.source):
        del paths["source"]
        paths["path"] = omniglot
    if find_known(config.backbone):
        del paths["backbone"]
    return {
        name: str(Path(place).absolute())
        for name, place in paths.items()
        if place is not None and (name != "split" or Path(place).is_file())
    }


def locate(config: DataConfig, record: DataRecord, moved: str | None = None) -> DataConfig:
    """The settings with the recorded places, whatever folder this process runs in.

    `moved` is where the data are now. A recorded place that is gone leaves the setting as it was.
    """
    changes: dict[str, Any] = {
        name: place if name in ("source", "split") else Path(place)
        for name, place in record.places.items()
        if Path(place).exists()
    }
    if moved is not None and moved != config.source:
        if config.source in DRAWN:
            raise DataError(
                f"{config.source} are drawn, there are no files of them", hint="leave --data out"
            )
        changes |= {"path": Path(moved)} if config.source == "omniglot" else {"source": moved}
    elif moved is not None and not is_name(config.source):
        changes["source"] = moved
    source = changes.get("source", config.source)
    if moved is not None and not Path(changes.get("split", config.split)).is_file():
        # a split file mostly lies beside its data, or in their folder
        name = Path(config.split).name
        for place in (Path(moved, name), Path(moved).parent / name):
            if place.is_file():
                changes["split"] = str(place)
    if not is_name(source) and not Path(source).exists():
        expected = moved or record.places.get("source", source)
        raise DataError(f"the data are not at {expected}", hint=MOVED)
    return replace(config, **changes)


def to_json(record: DataRecord) -> dict[str, Any]:
    """A plain dict; a class is one line, its count and its fingerprint."""
    parts = {part: list_classes(classes) for part, classes in record.parts.items()}
    return {
        "format": FORMAT,
        "places": dict(record.places),
        "backbone": record.backbone,
        "seen": asdict(record.seen) if record.seen else None,
        "left_out": list(record.left_out),
        "parts": parts,
    }


def list_classes(classes: Mapping[str, ClassFacts]) -> dict[str, str]:
    """Name → "count fingerprint"."""
    return {name: f"{facts.examples} {facts.fingerprint}" for name, facts in classes.items()}


def parse_classes(classes: Any, where: str) -> dict[str, ClassFacts]:
    """What `list_classes` wrote."""
    try:
        words = {compose(str(name)): text.split() for name, text in classes.items()}
        return {name: ClassFacts(int(count), mark) for name, (count, mark) in words.items()}
    except (AttributeError, ValueError) as cause:
        raise DataError(
            f"{where} does not list classes with their count and fingerprint",
            hint="it was changed by hand: train a new run",
        ) from cause


def from_json(content: Any, where: str) -> DataRecord:
    """What `to_json` wrote."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(
            f"{where} is not a record of data in format {FORMAT}",
            hint="it was changed by hand, or by a newer handful",
        )
    try:
        return DataRecord(
            places={str(name): str(place) for name, place in content["places"].items()},
            parts={part: parse_classes(content["parts"][part], where) for part in PARTS},
            left_out=tuple(map(str, content["left_out"])),
            backbone=content["backbone"],
            seen=_seen(content["seen"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as cause:
        raise DataError(
            f"{where} is not a whole record of data", hint="it was changed by hand: train a new run"
        ) from cause


def _seen(content: Any) -> Seen | None:
    if content is None:
        return None
    mean, deviation = ((float(low), float(high)) for low, high in (content[k] for k in SEEN))
    return Seen(mean=mean, deviation=deviation)


DIGITS = 16  # of a sha256: 64 bits, against accidents and not against forgers


def of_examples(data: LabelledSet) -> dict[str, ClassFacts]:
    """Each class by the type, shape and bytes of its examples, in their order."""
    head = f"{data.x.dtype} {list(data.x.shape[1:])}".encode()
    facts = {}
    for name, part in zip(data.classes, torch.split(data.x, data.counts.tolist()), strict=True):
        digest = hashlib.sha256(head + part.numpy().tobytes()).hexdigest()
        facts[name] = ClassFacts(len(part), digest[:DIGITS])
    return facts


def of_files(files: Iterable[tuple[Path, str]]) -> ClassFacts:
    """One class, or domain, by the names and contents of its files, in their order."""
    digest, count = hashlib.sha256(), 0
    for file, name in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{content} {name}\n".encode(errors="surrogateescape"))
        count += 1
    return ClassFacts(count, digest.hexdigest()[:DIGITS])


def of_file(file: Path) -> str:
    """The sha256 of one file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
