"""One table of readings, a .csv file as programs write them, read with care.

layout.py finds where the readings stand. Memory grows with the numbers that are kept: a line at a
time is read, and numbers are counted.
"""

import codecs
import csv
import io
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError

from .layout import (
    DIRECTIVE,
    READ,
    SHOWN,
    Finder,
    Layout,
    Note,
    Row,
    broken_number,
    is_number,
    other_width,
    read_number,
    ungroup,
)

MAX_VALUES = 2**22  # of a file; lines as well, empty ones included
MAX_LINE = 2**20  # characters
BLOCK = 4096  # rows at a time
HEAD = 100  # lines, not counting empty ones, in which the table has to begin
BEGINNING = 256  # bytes whose zeros tell UTF-16 from other text
INDEX = 8  # readings from which a column that counts them is no accident
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SEPARATORS = (";", "\t", "|", ",", " ")  # the first of those that do equally well
COMMENTS = ("#", "%")


@dataclass(frozen=True)
class Recording:
    """Readings, what their columns are called, and when they were taken, where a file says it."""

    values: Array  # [n, C] of a table; of a .npy file as it is
    names: tuple[str, ...] | None = None
    times: Array | None = None  # [n] float64, from the first reading on, never falling
    unit: float | None = None  # seconds that a unit of `times` is


def read_table(
    data: bytes,
    name: str,
    note: Note,
    *,
    channels: Sequence[str] | None = None,
    count: int | None = None,
    timed: bool = False,
) -> Recording:
    """The readings in the bytes of a table, float64 [n, C].

    `channels` are the names to look for, and `count` says how many there have to be where it is
    known. A column of times is read where they are needed (`timed`), and is never a channel unless
    it is named as one. InputError names `name`, the line, what was found and what was wanted.
    """
    if not data.strip(b"\r\n \t"):
        raise InputError(f"{name} is empty", hint=READ)
    encoding = _encoding(data)
    try:
        lines = _head(data, encoding, name)
        if any("\0" in line for _, line in lines):
            raise InputError(f"{name} holds bytes that are 0, wanted text", hint=READ)
        separator = _separator(lines)
        layout = Finder(name, separator, _rows_of(lines, separator), note).layout(channels, count)
        return _numbers(data, encoding, name, layout, timed, note)
    except UnicodeError as cause:
        raise InputError(f"{name} is not text in {encoding.upper()}", hint=READ) from cause


def _encoding(data: bytes) -> str:
    """By its mark; without one UTF-16 where it can be seen, UTF-8, and Latin-1 where it is not."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return encoding
    for empty, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # of Latin letters and digits
        if b"\0" in data[:BEGINNING] and not any(data[empty:BEGINNING:2]):
            return encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), MAX_LINE):
            decoder.decode(data[at : at + MAX_LINE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


class _Lines:
    """A text's lines, none of them longer than the cap, and each a whole row of the table."""

    def __init__(self, data: bytes, encoding: str, name: str, separator: str = ",") -> None:
        self._text = io.TextIOWrapper(io.BytesIO(data), encoding)
        self._name, self._separator = name, separator
        self.number = 0  # of the line that was given last

    def __iter__(self) -> Iterator[str]:
        for line in iter(partial(self._text.readline, MAX_LINE + 1), ""):
            self.number += 1
            if len(line) > MAX_LINE:
                raise InputError(
                    f"{self._name} has more than {MAX_LINE} characters in line {self.number}",
                    hint="a line is a reading; save larger ones as .npy",
                )
            if self.number > MAX_VALUES:
                raise _too_large(self._name)
            yield line

    def rows(self) -> Iterator[list[str]]:
        """The fields of each line."""
        lines = self._complete()
        return csv.reader(lines, delimiter=self._separator, skipinitialspace=self._spaced)

    @property
    def _spaced(self) -> bool:
        return self._separator != " "

    def _complete(self) -> Iterator[str]:
        """The lines, blanks between fields being one; a quotation ends in its line."""
        for line in self:
            text = line if self._spaced else " ".join(line.split())
            if '"' in text:
                alone = csv.reader([text], delimiter=self._separator, strict=True)
                try:
                    next(alone)
                except csv.Error:
                    raise InputError(
                        f"{self._name} has a quotation in line {self.number} that does not end"
                        " before a separator",
                        hint='text that holds " has it twice, within quotation marks',
                    ) from None
            yield text


def _too_large(name: str) -> InputError:
    return InputError(
        f"{name} has more than {MAX_VALUES} numbers", hint="save larger recordings as .npy"
    )


def _head(data: bytes, encoding: str, name: str) -> list[tuple[int, str]]:
    """The first lines that are not empty, with their numbers."""
    lines, found = _Lines(data, encoding, name), []
    for line in lines:
        if line.strip():
            found.append((lines.number, line))
        if len(found) == HEAD:
            break
    return found


def _separator(lines: list[tuple[int, str]]) -> str:
    """What parts the fields: the sign by which most lines are numbers alone, and most numbers."""
    if directive := DIRECTIVE.fullmatch(lines[0][1]):
        return directive[1]

    def quality(separator: str) -> tuple[int, int]:
        numbers = [
            [is_number(field, separator) for field in row.fields]
            for row in _rows_of(lines, separator)
        ]
        return sum(all(row) for row in numbers), sum(map(sum, numbers))

    there = [sign for sign in SEPARATORS if any(sign in line.strip() for _, line in lines)]
    return max(there, key=quality, default=",")


def _rows_of(lines: list[tuple[int, str]], separator: str) -> list[Row]:
    """The first lines' fields; of comments those that may be names."""
    rows = []
    for number, line in lines:
        text = " ".join(line.split()) if separator == " " else line
        plain = text.lstrip("".join(COMMENTS)) if text.startswith(COMMENTS) else text
        try:
            reader = csv.reader([plain], delimiter=separator, skipinitialspace=separator != " ")
            fields = [field.strip() for field in next(reader)]
        except (csv.Error, StopIteration):
            fields = [plain.strip()]  # too long, or a mere comment; read again with the others
        if text.startswith(COMMENTS) and any(is_number(f, separator) for f in fields):
            continue  # a reading that was commented out, a date
        rows.append(Row(number, fields))
    return rows


def _numbers(
    data: bytes, encoding: str, name: str, layout: Layout, timed: bool, note: Note
) -> Recording:
    """The numbers of all lines behind `layout.after`."""
    fields = data.count(b"\n") + data.count(layout.separator.encode())
    if fields > MAX_VALUES and _separates(layout, data):  # before it has taken seconds
        raise _too_large(name)
    clock = _Clock(name) if timed and layout.time is not None else None
    body = _Body(name, layout, clock, note)
    if layout.separator == "," or b"," not in data:
        body.convert = float
    lines = _Lines(data, encoding, name, layout.separator)
    rows = lines.rows()
    try:
        for _ in range(layout.after):
            next(rows)
        while block := list(islice(rows, BLOCK)):
            body.take(block, lines.number - len(block) + 1)
    except csv.Error as cause:  # a field of more than 128 KiB
        raise InputError(f"{name}, line {lines.number}: {cause}", hint=READ) from cause
    return body.recording()


def _separates(layout: Layout, data: bytes) -> bool:
    """Whether each separator in the bytes ends a field: none is quoted, none is a mere blank."""
    return layout.separator != " " and b'"' not in data and b"\n\n" not in data


class _Body:
    """The readings of a table, as they come."""

    def __init__(self, name: str, layout: Layout, clock: "_Clock | None", note: Note) -> None:
        self.name, self.layout, self.clock, self.note = name, layout, clock, note
        self.convert: Callable[[str], float] = partial(read_number, separator=layout.separator)
        columns = layout.columns if layout.index is None else (*layout.columns, layout.index)
        self.columns = columns
        self.all = columns == tuple(range(layout.width)) and clock is None
        self.values, self.lines = array("d"), array("I")
        self.count = self.empty = 0
        self.commas = self.points = False

    def take(self, rows: list[list[str]], first: int) -> None:
        """Rows from the line `first` on: at once where they are numbers alone, else one by one."""
        if self.all and not self.empty and {*map(len, rows)} == {self.layout.width}:
            fields = list(chain.from_iterable(rows))
            try:
                values = array("d", map(self.convert, fields))
            except ValueError:
                values = array("d")
            if values and self.convert is float and not any("_" in field for field in fields):
                self._keep(values, range(first, first + len(rows)), len(fields))
                return
        for line, row in enumerate(rows, first):
            self._one(row, line)

    def _one(self, fields: list[str], line: int) -> None:
        if not fields or fields[0].startswith(COMMENTS):
            return
        if not any(map(str.strip, fields)):  # of separators alone, as spreadsheets end in
            self.empty = self.empty or (line if len(fields) > 1 else 0)
            return
        if self.layout.header and [field.strip() for field in fields] == [*self.layout.header]:
            self.note(
                "names again", f" has the names of its columns again, line {line} passed over"
            )
            return
        if self.empty:
            raise broken_number(self.name, self.empty, "")
        if len(fields) != self.layout.width:
            raise other_width(self.name, line, len(fields), self.layout.width)
        separator, chosen = self.layout.separator, [fields[i] for i in self.columns]
        try:
            values = array("d", [read_number(field, separator) for field in chosen])
        except ValueError:
            bad = next(field for field in chosen if not is_number(field, separator))
            raise broken_number(self.name, line, bad.strip()) from None
        if separator != ",":
            joined = " ".join(ungroup(field) if "," in field else field for field in chosen)
            self.commas = self.commas or "," in joined
            self.points = self.points or "." in joined
        if self.clock is not None and self.layout.time is not None:
            self.clock.add(fields[self.layout.time], separator, line)
        self._keep(values, [line], len(fields))

    def _keep(self, values: "array[float]", lines: Sequence[int], fields: int) -> None:
        self.count += fields
        if self.count > MAX_VALUES:
            raise _too_large(self.name)
        self.values.extend(values)
        self.lines.extend(lines)

    def recording(self) -> Recording:
        """All of them; InputError where there is none, or one is not finite."""
        name = self.name
        if not self.lines:
            raise InputError(f"{name} has no line of numbers", hint=READ)
        if self.commas and self.points:
            raise InputError(
                f"{name} has numbers with a comma and others with a point",
                hint="write all fractions alike, and nothing between thousands",
            )
        found = np.frombuffer(self.values).reshape(len(self.lines), len(self.columns))
        if not np.isfinite(found).all():
            row = int(np.argmin(np.isfinite(found).all(axis=1)))
            words = f"{name} has a value that is not finite in line {self.lines[row]}"
            raise InputError(words, hint="leave the line out, or look at what wrote it")
        if self.layout.index is not None:
            found = _without_index(found, name)
        clock = self.clock
        times = None if clock is None else clock.since_first()
        unit = 1.0 if clock is not None and clock.first is not None else self.layout.unit
        return Recording(found, self.layout.names, times, unit)


def _without_index(found: Array, name: str) -> Array:
    """The channels alone, once the last column has counted them."""
    if (np.diff(found[:, -1]) != 1).any():
        raise InputError(
            f"{name} has a first column without a name that does not count the readings",
            hint="name it as a channel, or remove it",
        )
    return found[:, :-1]


class _Clock:
    """A column of times: numbers, or dates or times of day in ISO 8601."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._times = array("d")
        self.first: datetime | None = None  # of dates

    def add(self, text: str, separator: str, line: int) -> None:
        """The time of one more reading; InputError where it is none, or before the last one."""
        text = text.strip()
        try:
            time = self._date(text) if self.first is not None else read_number(text, separator)
        except ValueError:
            time = self._first_date(text, line)
        if not -np.inf < time < np.inf:
            raise InputError(f"{self._name} has a time that is not finite in line {line}")
        if self._times and time < self._times[-1]:
            raise InputError(
                f"{self._name} has a time in line {line} that is before the one above it",
                hint="sort the readings by time, and give each recording a file of its own",
            )
        self._times.append(time)

    def _date(self, text: str) -> float:
        assert self.first is not None
        return (_instant(text) - self.first).total_seconds()

    def _first_date(self, text: str, line: int) -> float:
        try:
            if self._times:
                raise ValueError(text)
            self.first = _instant(text)
        except ValueError:
            raise InputError(
                f"{self._name} has {text[:SHOWN]!a} in line {line}, wanted a time",
                hint="a number, a date as 2026-01-31T12:00:00.5, or a time of day as 12:00:00.5",
            ) from None
        return 0.0

    def since_first(self) -> Array:
        """[n] float64."""
        times = np.frombuffer(self._times)
        since: Array = times - times[0]
        return since


def _instant(text: str) -> datetime:
    """A date in ISO 8601, or a time of day; one without a zone counts as UTC."""
    found = datetime.fromisoformat(f"1970-01-01T{text}" if text[2:3] == ":" else text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def counts_readings(values: Array) -> bool:
    """Whether a first column counts 0, 1, 2, … or 1, 2, 3, …: an index that has no name."""
    if values.ndim != 2 or len(values) < INDEX or values.shape[1] < 2:
        return False
    column = values[:, 0]
    return bool(column[0] in (0, 1) and (np.diff(column) == 1).all())
