"""Where the files of a folder belong: to a class, by a pattern also to a domain and a recording.

Without a pattern a folder has one sub-folder a class. A pattern describes a file's path below the
folder, `{person}/{class}/{recording}_*.csv`: `{name}` is a part of it without a `/`,
`{name:[a-z]+}` one of this form, a second `{name}` the same text; `{}`, `{:[0-9]+}` and `*` are
passed over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from handful.runtime.errors import SupportSetError
from handful.runtime.inputs.folders import (
    Files,
    class_folders,
    compose,
    files_below,
    is_left_behind,
    join_faults,
    label_of,
)
from handful.runtime.inputs.remarks import remark
from handful.trainer.settings.errors import DataError, there_are

from .config import DataConfig

CLASS, PERSON, RECORDING = "class", "person", "recording"
PART, ANY = "[^/]+", "[^/]*"  # of a path: what a name stands for, and a star
FORM = 'as in data.files = "{person}/{class}/{recording}_*.csv"'
WHOSE = 'where persons have folders with classes in them: data.domain = ["person"]'
LOOKED_AT = 2000  # files, for the one that comes nearest to a pattern
NAMED = 3  # files that are passed over


class Placed(NamedTuple):
    """A file, its path below the folder, and what it belongs to; "" where there is none."""

    file: Path
    place: str
    label: str
    domain: str = ""
    recording: str = ""


@dataclass(frozen=True)
class Layout:
    """The files of one kind in a folder, sorted by class, domain and path."""

    folder: Path
    words: str  # what the files are called
    files: tuple[Placed, ...]
    classes: tuple[str, ...]
    named: bool = False  # whether the classes are those of every task, which is a domain's
    passed_over: tuple[str, ...] = ()  # files that do not fit the pattern

    @property
    def domains(self) -> tuple[str, ...]:
        """All domains, sorted."""
        return tuple(sorted({row.domain for row in self.files}, key=natural))

    def say_passed_over(self) -> None:
        """Say which files do not fit."""
        if self.passed_over:
            few = ", ".join(self.passed_over[:NAMED]) + (", …" * (len(self.passed_over) > NAMED))
            count = len(self.files) + len(self.passed_over)
            remark(
                "passed over",
                f"{len(self.passed_over)} of {count} {self.words} in {self.folder} are passed over,"
                f" data.files does not fit them: {few}",
            )


def lay_out(config: DataConfig, kind: Files) -> Layout:
    """Where the settings' files of this kind belong; DataError where they do not fit them."""
    folder = Path(config.source)
    try:
        pattern = pattern_of(config)
        if pattern is None:
            found = class_folders(folder, kind)
            rows = [
                Placed(file, relative_path(file, folder), label)
                for label, files in found.items()
                for file in files
            ]
            return Layout(folder, kind.words, tuple(rows), tuple(found))
        below = files_below(folder, kind)
    except SupportSetError as error:
        hint = error.hint or ""
        if pattern is None and _holds_persons(folder):
            hint += f"; {WHOSE}"
        raise DataError(str(error), hint=hint) from error
    if below.faults:
        raise join_faults(below.faults, f"folders below {folder}", DataError, None)
    return _by_pattern(config, pattern, kind.words, below.files)


def _holds_persons(folder: Path) -> bool:
    """Whether there are folders, and each has folders in it."""
    below = [place for place in folder.glob("*/") if not is_left_behind(place.name)]
    return bool(below) and all(any(place.glob("*/")) for place in below)


def relative_path(file: Path, folder: Path) -> str:
    """The file's path in the folder, written the same on every system."""
    return file.relative_to(folder).as_posix()


def natural(name: str) -> list[tuple[int, int, str]]:
    """Numbers in their order: 2 before 10."""
    parts = name.split("/")
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts]


def join_domain(values: Sequence[str], where: str) -> str:
    """One name of the values that are a domain together; the first one is the person."""
    if slashed := [value for value in values if "/" in value]:
        raise DataError(
            f"{where} has {slashed[0]!r}, and a domain's name has no `/` in it",
            hint="what stands before it would be taken for the person",
        )
    return "/".join(values)


def select_classes(names: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that `data.classes` chooses, in its order; all where it chooses none."""
    if unknown := [name for name in names if name not in classes]:
        raise DataError(
            f"data.classes has {unknown[0]}, which the data have not",
            hint=there_are(unknown[0], list(classes)[:20]),
        )
    return tuple(names) or tuple(classes)


def pattern_of(config: DataConfig) -> Pattern | None:
    """The pattern of the settings; None where a folder has one sub-folder a class."""
    if not config.files and not config.domain:
        return None
    own = "/".join([*(f"{{{name}}}" for name in config.domain), "{class}", "*"])
    return Pattern.parse(config.files or own)


def _by_pattern(config: DataConfig, pattern: Pattern, words: str, files: Sequence[Path]) -> Layout:
    folder = Path(config.source)
    domain, recording = pattern.roles(config)
    rows, others = [], []
    for file in files:
        place = compose(relative_path(file, folder))
        found = pattern.read(place)
        if found is None:
            others.append(place)
            continue
        label = label_of(found[CLASS], f"the class of {place}", DataError)
        whose = join_domain([found[name] for name in domain], place)
        # by itself a file is a recording, of which all windows come from
        rows.append(Placed(file, place, label, whose, found[recording] if recording else place))
    if not rows:
        raise pattern.nothing_fits(others, folder, words)
    classes = tuple(sorted({row.label for row in rows}))
    if domain:
        classes = select_classes(config.classes, classes)
    order = {label: number for number, label in enumerate(classes)}
    kept = (row for row in rows if row.label in order)
    rows = sorted(kept, key=lambda row: (order[row.label], natural(row.domain), row.place))
    return Layout(folder, words, tuple(rows), classes, bool(domain), tuple(others))


@dataclass(frozen=True)
class Pattern:
    """What `data.files` says: its pieces, each as it was written, with its name and its form."""

    text: str
    pieces: tuple[tuple[str, str | None, str], ...]  # written, name ("" for none), expression

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """The pieces of the text; DataError where it is not of the form."""
        pieces: list[tuple[str, str | None, str]] = []
        at = 0
        while at < len(text):
            if text[at] == "{":
                end = _closing(text, at)
                pieces.append(_piece(text[at:end], text, {name for _, name, _ in pieces}))
            elif text[at] == "}":
                raise _malformed(text, "has a } without its {")
            elif text[at] == "*":
                end = at + 1
                pieces.append(("*", "", ANY))
            else:
                end = min((n for n in map(text.find, "{}*", [at] * 3) if n >= 0), default=len(text))
                literal = compose(text[at:end])
                pieces.append((literal, None, re.escape(literal)))
            at = end
        found = cls(text, tuple(pieces))
        if CLASS not in found.names:
            raise _malformed(text, "has no {class}")
        return found

    @property
    def names(self) -> list[str]:
        """What it has a name for, in the order in which it stands there."""
        return list(dict.fromkeys(name for _, name, _ in self.pieces if name))

    def roles(self, config: DataConfig) -> tuple[tuple[str, ...], str | None]:
        """The names that are the domain, and the one that is the recording, if one is.

        What the settings do not say `{person}` and `{recording}` are, where they are there.
        """
        own = [name for name in self.names if name != CLASS]
        domain = config.domain or tuple(name for name in own if name == PERSON)
        given = config.recording
        recording = (RECORDING if RECORDING in own else None) if given is None else given or None
        for setting, name in (
            *(("domain", name) for name in domain),
            ("recording", recording),
        ):
            if name is not None and name not in own:
                hint = there_are(name, own) if own else f"name it there, {FORM}"
                if setting == "recording":
                    hint += '; data.recording = "" where every file is a recording'
                raise DataError(f"data.{setting} has {name}, and {self.said} has not", hint=hint)
        if idle := [name for name in own if name not in (*domain, recording)]:
            raise DataError(
                f"{self.said} has {idle[0]}, of which nothing says what it is",
                hint=f'data.domain = ["{idle[0]}"] or data.recording = "{idle[0]}" does; {{}} or *'
                " stands for what is passed over",
            )
        if recording and not domain:
            raise DataError(
                f"{self.said} has recordings and no domain, a person or a device",
                hint="name it there and in data.domain, or leave the recording to {}",
            )
        return domain, recording

    @property
    def said(self) -> str:
        """The pattern as an error speaks of it."""
        return f'data.files "{self.text}"'

    def read(self, place: str) -> dict[str, str] | None:
        """What the names stand for in a path; None where it does not fit, DataError in two ways."""
        short, long = (expression.fullmatch(place) for expression in self._compiled)
        if short is None or long is None:
            return None
        for name, value in short.groupdict().items():
            if value != long[name]:
                raise DataError(
                    f"{place} fits {self.said} in two ways: {name} is {value} or {long[name]}",
                    hint=f"say of what a part is made: {{{name}:[a-z]+}}, {{:[0-9]+}}",
                )
        return long.groupdict()

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        """With every part as short as it may be, and as long: where they agree there is one way."""
        return _compile(self.pieces, "?"), _compile(self.pieces, "")

    def nothing_fits(self, places: Sequence[str], folder: Path, words: str) -> DataError:
        """The error for a folder without a file that fits; it shows the one that comes nearest."""
        fitting, place = max(
            ((self._fits_until(place), place) for place in places[:LOOKED_AT]),
            key=lambda found: found[0],
        )
        depth, wanted = place.count("/"), self.text.count("/")
        folders = f"{depth} folder{'s' * (depth != 1)} deep"
        why = f"lies {folders}, wanted {wanted}"
        if depth == wanted:
            rest = "".join(written for written, _, _ in self.pieces[fitting:])
            why = f'has nothing for "{rest}"'
        return DataError(
            f"none of {len(places)} {words} in {folder} fits {self.said};"
            f" {place}, which comes nearest, {why}",
            hint=f"the pattern is of the whole path below the folder, {FORM}",
        )

    def _fits_until(self, place: str) -> int:
        """How many of the pieces fit the beginning of a path."""
        for count in range(len(self.pieces), 0, -1):
            if _compile(self.pieces[:count], "").match(place):
                return count
        return 0


def _compile(pieces: Sequence[tuple[str, str | None, str]], how: str) -> re.Pattern[str]:
    """One expression; `how` follows the parts without a form of their own: ? for short ones."""
    text, known = "", set()
    for _, name, form in pieces:
        form += how if form in (PART, ANY) else ""
        if not name:
            text += f"(?:{form})" if name == "" else form
        elif name in known:
            text += f"(?P={name})"
        else:
            text += f"(?P<{name}>{form})"
            known.add(name)
    return re.compile(text)


def _closing(text: str, at: int) -> int:
    """The place after the brace that closes the one at `at`."""
    depth = 0
    for place in range(at, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place + 1
    raise _malformed(text, "has a { without its }")


def _piece(written: str, text: str, known: set[str | None]) -> tuple[str, str, str]:
    name, colon, form = written[1:-1].partition(":")
    if name and not name.isidentifier():
        raise _malformed(text, f"has {written}, where {name!r} is no name")
    if name and name in known and colon:
        raise _malformed(text, f"says twice what {name} is")
    if not colon:
        return written, name, PART
    try:
        groups = re.compile(form).groups
    except (re.error, RecursionError, OverflowError) as cause:
        raise _malformed(text, f"has {written}, no regular expression: {cause}") from cause
    if groups:
        raise _malformed(text, f"has {written}, a group in a part: write (?:…)")
    return written, name, form or PART


def _malformed(text: str, fault: str) -> DataError:
    return DataError(f'data.files "{text}" {fault}', hint=FORM)
