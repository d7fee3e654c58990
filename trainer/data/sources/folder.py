"""A part of a folder: which of its files are read, and the set that their examples become.

What a file's examples are, pictures.py, sounds.py and recordings.py say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path

import torch
from torch import Tensor

from handful.runtime.errors import InputError
from handful.runtime.inputs.folders import Files
from handful.runtime.package.manifest import InputSpec
from handful.trainer.data.config import DataConfig
from handful.trainer.data.domains import add_domains, choose_domains
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.layout import Layout, Placed, lay_out
from handful.trainer.data.record import RecordedPart, of_files
from handful.trainer.data.splits import Part, choose
from handful.trainer.settings.errors import BadFilesError, DataError


@dataclass(frozen=True)
class Chosen:
    """The files of a part, by class; those that were left out when it was recorded are not here."""

    layout: Layout
    classes: tuple[str, ...]
    rows: tuple[Placed, ...]
    left_out: frozenset[str]

    @property
    def files(self) -> list[Path]:
        """The files to be read."""
        return [row.file for row in self.rows]

    def gather(
        self,
        x: Tensor,
        spec: InputSpec,
        bad: Mapping[Path, InputError],
        *,
        each: Sequence[int] | None = None,
        skip_bad: bool,
    ) -> LabelledSet:
        """The set of the examples [M, …] of all files but the bad ones, in their order.

        `each` are how many a file gave; None: one. Bad files are refused together, or with
        `skip_bad` left out.
        """
        layout = self.layout
        if bad and not skip_bad:
            raise BadFilesError(bad, len(self.rows), layout.words)
        good = [row for row in self.rows if row.file not in bad]
        numbers = list(each) if each is not None else [1] * len(good)
        counts: Counter[str] = Counter()
        for row, number in zip(good, numbers, strict=True):
            counts[row.label] += number
        gone = {row.place for row in self.rows if row.file in bad}
        data = LabelledSet(
            x,
            torch.tensor([counts[name] for name in self.classes]),
            self.classes,
            spec,
            left_out=tuple(sorted(self.left_out | gone)),
        )
        if layout.named:
            return _of_domains(data, good, numbers)
        if empty := [name for name in self.classes if not counts[name]]:
            raise DataError(f"class {empty[0]} in {layout.folder} has no examples that can be read")
        groups = {name: [row for row in good if row.label == name] for name in self.classes}
        facts = {
            name: of_files((r.file, r.file.name) for r in rows) for name, rows in groups.items()
        }
        return replace(data, facts=facts)


def _of_domains(data: LabelledSet, good: Sequence[Placed], numbers: Sequence[int]) -> LabelledSet:
    """The set with the domain and the recording of the file of each example."""
    rows = list(chain.from_iterable(map(repeat, good, numbers)))
    found = add_domains(data, [row.domain for row in rows], [row.recording for row in rows])
    groups = {name: [row for row in good if row.domain == name] for name in found.domains}
    facts = {name: of_files((r.file, r.place) for r in rows) for name, rows in groups.items()}
    return replace(found, facts=facts)


def choose_files(
    config: DataConfig, kind: Files, part: Part, recorded: RecordedPart | None = None
) -> Chosen:
    """The files of the part, in the order of its classes; none of them is opened.

    A part has some of the classes, or where these are named all of them and some of the domains.
    """
    layout = lay_out(config, kind)
    if part in ("meta_train", "all") and recorded is None:
        layout.say_passed_over()
    names = list(recorded.classes) if recorded else None
    left_out = frozenset(recorded.left_out) if recorded else frozenset()
    if layout.named:
        classes, domains = layout.classes, layout.domains
        at = choose_domains(domains, config.split, part, config.seed, names)
        own = {domains[number] for number in at}
        rows = [row for row in layout.files if row.domain in own]
    else:
        at = choose(layout.classes, config.split, part, config.seed, names)
        classes = tuple(layout.classes[number] for number in at)
        order = {name: number for number, name in enumerate(classes)}
        within = (row for row in layout.files if row.label in order)
        rows = sorted(within, key=lambda row: order[row.label])
    return Chosen(layout, classes, tuple(r for r in rows if r.place not in left_out), left_out)
