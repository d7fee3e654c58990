"""A run's data: read and checked before training, located again for evaluation and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from handful.runtime.errors import InputError
from handful.runtime.package.manifest import InputSpec
from handful.trainer.data import DataConfig, DataError, LabelledSet, embed, load_pictures
from handful.trainer.data.config import DRAWN
from handful.trainer.data.distortions import Distortion
from handful.trainer.data.domains import DomainSet, Mix, list_doubts
from handful.trainer.data.functions import is_functions, load_functions
from handful.trainer.data.labelled import ClassFacts, Within
from handful.trainer.data.record import (
    PACKAGED,
    DataRecord,
    RecordedPart,
    locate,
    of_file,
    parse_classes,
    places_of,
)
from handful.trainer.data.sources.download import Progress as Fetching
from handful.trainer.data.sources.download import silent
from handful.trainer.data.splits import MOVED, PARTS, Part
from handful.trainer.episodes import EpisodeSource
from handful.trainer.settings.errors import BadFilesError
from handful.trainer.settings.import_path import is_import_path

from .config import MetaConfig, RunConfig, data_from_dict
from .folder import read_config, read_record

Phase = TypeVar("Phase", bound=MetaConfig)
CHECKED_SHOTS, CHECKED_CLASSES = 4, 2  # examples of so many test classes let `export` check


@dataclass(frozen=True)
class RunData:
    """What a run is trained on, and what is written down of it."""

    config: RunConfig  # as asked, with no more queries than the classes have examples for
    train: EpisodeSource
    validation: EpisodeSource
    record: DataRecord
    remarks: tuple[str, ...] = ()  # warnings for the user

    def to(self, device: torch.device) -> RunData:
        """The same on a device."""
        return replace(self, train=self.train.to(device), validation=self.validation.to(device))


@dataclass(frozen=True)
class RecordedData:
    """The data that a run or a package was made with, wherever they are now."""

    config: DataConfig
    record: DataRecord | None

    @classmethod
    def of_run(cls, folder: Path, moved: str | None = None) -> RecordedData:
        """Those of the run in `folder`; `moved` says where they are now."""
        settings = read_config(folder).data
        record = read_record(folder)
        config = locate(settings, record, moved)
        _same_backbone(config, record)
        return cls(config, record)

    @classmethod
    def of_package(cls, training: Mapping[str, Any], moved: str | None = None) -> RecordedData:
        """Those in the `training` of a package's manifest."""
        config = data_from_dict(training["config"], where="manifest.json")
        if is_import_path(config.source) and moved != config.source:
            raise DataError(
                f"the package was trained on functions of {config.source},"
                " which is not imported on a package's word",
                hint=f"if you trust it, say so: --data {config.source}",
            )
        if moved == config.source and is_functions(moved):
            load_functions(moved)  # the user's own word
        if is_functions(config.source):
            return cls(config, None)
        parts = training.get(PACKAGED)
        if parts == {} and moved is None:
            raise DataError(
                "the package was trained on no data",
                hint="name the data to test it on: --data FOLDER",
            )
        if isinstance(parts, dict):
            packaged: dict[Part, dict[str, ClassFacts]] = {
                part: parse_classes(parts[part], "manifest.json") for part in PARTS if part in parts
            }
            record = DataRecord(parts=packaged)
            return cls(locate(config, record, moved), record)
        if config.split == "random" and config.source not in DRAWN:
            raise DataError(
                "the package does not say which classes it was not trained on",
                hint="export it again from its run",
            )
        return cls(locate(config, DataRecord(parts={}), moved), None)

    def find_part(self, part: Part) -> RecordedPart:
        """What was written down of one part."""
        if self.record is None:
            raise DataError(f"nothing is recorded of {part}", hint=MOVED)
        return self.record.part(part)

    @property
    def functions(self) -> EpisodeSource | None:
        """The family of functions that the run was trained on; None where it was classes."""
        source = self.config.source
        return load_functions(source, trusted=False) if is_functions(source) else None

    def load(self, part: Part) -> LabelledSet:
        """One part, embedded where the run has a backbone."""
        return embed(self.pictures(part), self.config)

    def pictures(
        self, part: Part, *, only: Sequence[str] | None = None, package: InputSpec | None = None
    ) -> LabelledSet:
        """One part, or some of its classes, as a device meets them.

        `package` is what an exported package reads: then the backbone's own file is not needed.
        """
        if self.record is not None and not self.record.parts:
            part = "all"  # nothing was trained on these data: any class is a new one
        is_recorded = self.record is not None and part in self.record.parts
        recorded = self.find_part(part) if is_recorded else None
        if recorded and only is not None:
            recorded = recorded.only(only)
        wanted = None
        if self.config.backbone and package:
            from handful.trainer.data.backbone import packaged_input

            wanted = packaged_input(package)
        return load_pictures(self.config, part, recorded=recorded, wanted=wanted)


def read_data(
    config: RunConfig,
    record: DataRecord | None,
    *,
    moved: str | None = None,
    skip_bad: bool = False,
    skip_small: bool = False,
    fetching: Fetching = silent,
) -> RunData:
    """All parts, read and checked; a resumed run reads the classes in its `record`.

    Every file that cannot be read is named at once, or with `skip_bad` left out and named, as are
    with `skip_small` the classes of a new run that have too few examples for its tasks.
    """
    if is_functions(config.data.source):
        _refuse_pictures(config)
        # a run that is resumed may be another person's: `trust` has imported what it names, or not
        source = load_functions(config.data.source, trusted=record is None)
        nothing = DataRecord(parts={part: {} for part in PARTS})
        return RunData(config, source, source, record or nothing)
    data = locate(config.data, record, moved) if record else config.data
    if record:
        _same_backbone(data, record)
    pictures: dict[Part, LabelledSet] = {}
    bad: dict[Path, InputError] = {}
    count, what = 0, ""
    for part in PARTS:
        recorded = record.part(part) if record else None
        try:
            pictures[part] = load_pictures(
                data, part, progress=fetching, recorded=recorded, skip_bad=skip_bad
            )
            count += len(pictures[part].x)
        except BadFilesError as error:
            bad |= error.bad
            count, what = count + error.count, error.what
    if bad:
        raise BadFilesError(bad, count, what)
    small: list[str] = []
    if skip_small and not record:
        for part, needed in needs(config).items():
            pictures[part], names = drop_small(pictures[part], needed, where=part)
            small += [f"{part}: {said}" for said in names]
    train, validation = (embed(pictures[part], data) for part in ("meta_train", "meta_val"))
    config, lowered = lower_queries(config, train, validation)
    check_suffices(config, train, validation)
    remarks = [
        *_warn_left_out(pictures, record),
        *small,
        *lowered,
        *warn_uncheckable(pictures["meta_test"]),
        *([] if record else list_doubts(pictures)),  # a resumed run gave its warnings at first
    ]
    if data.backbone:
        from handful.trainer.data.backbone import doubts

        remarks += doubts(train, pictures["meta_train"], data)
    return RunData(
        config, train, validation, record or _make_record(data, pictures), tuple(remarks)
    )


def apply_drawing(
    source: EpisodeSource, within: Within, distort: Distortion | None = None, mix: Mix | None = None
) -> EpisodeSource:
    """The same source, whose tasks come from few groups, hold distorted examples, or are mixed."""
    if isinstance(source, DomainSet):
        return source.with_drawing(within, distort, mix)
    return source.with_drawing(within, distort) if isinstance(source, LabelledSet) else source


def _refuse_pictures(config: RunConfig) -> None:
    """Functions have no groups, and no pictures to distort."""
    meta = config.meta
    if meta.within or meta.validation_within or meta.distortion is not None:
        raise DataError(
            f"tasks of {config.data.source} are functions: they have no groups, and nothing to"
            " distort",
            hint="leave out meta.within, meta.validation_within and meta.distort",
        )


def _make_record(config: DataConfig, pictures: Mapping[Part, LabelledSet]) -> DataRecord:
    omniglot = None
    if config.source == "omniglot":
        from handful.trainer.data.sources.omniglot import find_omniglot

        omniglot = find_omniglot(config.path)
    return DataRecord(
        places=places_of(config, omniglot),
        parts={part: dict(data.facts) for part, data in pictures.items()},
        left_out=tuple(sorted({file for data in pictures.values() for file in data.left_out})),
        backbone=of_file(_backbone(config)) if config.backbone else None,
        seen=pictures["meta_train"].measure_seen(),
    )


def _backbone(config: DataConfig) -> Path:
    from handful.trainer.data.backbone import backbone_file

    return backbone_file(config)


def _same_backbone(config: DataConfig, record: DataRecord) -> None:
    """Refuse a backbone that is not the one the run was trained on."""
    if config.backbone is None:
        return
    file = _backbone(config)
    if not file.is_file():
        raise DataError(
            f"no backbone {record.places.get('backbone', config.backbone)}",
            hint="put it back: the run was trained on what it gives",
        )
    if record.backbone != of_file(file):
        raise DataError(
            f"backbone {config.backbone} is not the one that the run was trained on", hint=MOVED
        )


def _warn_left_out(pictures: Mapping[Part, LabelledSet], record: DataRecord | None) -> list[str]:
    files = sorted({file for data in pictures.values() for file in data.left_out})
    if not files or record:  # a resumed run gave its warnings when it began
        return []
    return [f"left out, since they cannot be read: {', '.join(files)}"]


def warn_uncheckable(test: LabelledSet) -> list[str]:
    """A warning where `export` would have too few test examples to check a package on."""
    if test.named is not None:
        return []
    enough = int((test.counts >= CHECKED_SHOTS).sum())
    if enough >= CHECKED_CLASSES:
        return []
    return [
        f"{enough} of {len(test.classes)} test classes have {CHECKED_SHOTS} examples or more:"
        f" `handful export` will refuse this run, it needs {CHECKED_CLASSES} to check a package on"
    ]


def needs(config: RunConfig) -> dict[Part, int]:
    """The examples that a class of each part must have for the tasks asked for."""
    phases = [config.meta, *filter(None, [config.pretrain])]
    validated = max(meta.validation_shot + meta.validation_queries for meta in phases)
    trained = max(max(meta.shot) + meta.queries for meta in phases)
    return {"meta_train": trained, "meta_val": validated, "meta_test": validated}


def drop_small(data: LabelledSet, needed: int, *, where: str) -> tuple[LabelledSet, list[str]]:
    """Its classes of so many examples or more; and a sentence that names the others.

    A DataError where fewer than two classes are left. Named ones give what they have, and stay.
    """
    if data.named is not None:
        return data, []
    counts = data.counts.tolist()
    kept = [c for c, count in enumerate(counts) if count >= needed]
    if len(kept) == len(counts):
        return data, []
    if len(kept) < 2:
        raise DataError(
            f"{len(kept)} of {len(counts)} classes of {where} have {needed} examples or more",
            hint="lower the shots or the queries, or do without --skip-small",
        )
    names = [data.classes[c] for c, count in enumerate(counts) if count < needed]
    gone = {name if name in data.facts else name.rpartition("@")[0] for name in names}
    facts = {name: facts for name, facts in data.facts.items() if name not in gone}
    said = f"left out, with fewer than {needed} examples: {', '.join(names)}"
    return replace(data.take(kept), facts=facts), [said]


def lower_queries(
    config: RunConfig, train: LabelledSet, validation: LabelledSet
) -> tuple[RunConfig, list[str]]:
    """The settings with no more queries than every class has beside its shots; what was lowered.

    Where a class is too small for the shots themselves, they are left as they are.
    """
    notes: list[str] = []

    def lower(meta: Phase, section: str) -> Phase:
        if train.named is not None:  # their queries may come twice
            return meta
        parts = (("", train, max(meta.shot)), ("validation_", validation, meta.validation_shot))
        changes: dict[str, Any] = {}
        for prefix, data, shot in parts:
            smallest = int(data.counts.argmin())
            most, asked = int(data.counts[smallest]) - shot, getattr(meta, f"{prefix}queries")
            if 1 <= most < asked:
                changes[f"{prefix}queries"] = most
                notes.append(
                    f"{section}.{prefix}queries {asked} is lowered to {most}:"
                    f" {data.classes[smallest]} has {most + shot} examples"
                )
        return replace(meta, **changes)

    meta = lower(config.meta, "meta")
    pretrain = config.pretrain and lower(config.pretrain, "pretrain")
    return replace(config, meta=meta, pretrain=pretrain), notes


def check_suffices(config: RunConfig, train: LabelledSet, validation: LabelledSet) -> None:
    """Refuse data that cannot fill the tasks asked for, before anything is trained."""
    for section, meta in (("meta", config.meta), ("pretrain", config.pretrain)):
        if meta is None:
            continue
        largest = train.size(max(meta.way), max(meta.shot), meta.queries)
        train.with_drawing(meta.training_groups, meta.distortion).check(
            largest, where="the meta-training split", prefix=f"{section}."
        )
        validation.with_drawing(meta.validation_groups).check(
            meta.validation_size,
            where="the meta-validation split",
            prefix=f"{section}.validation_",
        )
