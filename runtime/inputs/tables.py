"""One table of readings, a .csv file as programs write them, read with care.

Which line names the columns, which column is the time, and what parts the fields is found in the
file's first lines. What is certain is silent, what is likely is said (`note`), and all else is
refused: columns are never taken in another order than their names have.

Memory grows with the numbers that are kept: a line at a time is read, and numbers are counted.
"""

import codecs
import csv
import io
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError
from handful.runtime.package.rules import channel_key, is_channel

MAX_VALUES = 2**22  # of a file; lines as well, empty ones included
MAX_LINE = 2**20  # characters
BLOCK = 4096  # rows at a time
HEAD = 100  # lines, not counting empty ones, in which the table has to begin
INDEX = 8  # readings from which a column that counts them is no accident
SHOWN, LISTED = 40, 12  # characters of a field, and columns, in an error
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SEPARATORS = (";", "\t", "|", ",", " ")  # the first of those that do equally well
COMMENTS = ("#", "%")
DIRECTIVE = re.compile(r'"?sep=(.)"?\s*')  # a first line for spreadsheets
IN_BRACKETS = re.compile(r"[(\[].*[)\]]")
BRACKETED = re.compile(r"(.*?)\s*[(\[]([^()\[\]]*)[)\]]")  # `x (px)`
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")  # ISO 8601
DECIMAL = re.compile(r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*")
GROUPS = tuple(  # of thousands: parted by blanks or apostrophes, or where a decimal sign differs
    re.compile(rf"\s*[+-]?\d{{1,3}}({sign}\d{{3}}){more}\s*")
    for sign, more in (
        ("[ \u00a0\u2009\u202f'’]", r"+([.,]\d+)?"),
        (",", r"+\.\d+"),
        (",", "{2,}"),
        (r"\.", r"+,\d+"),
        (r"\.", "{2,}"),
    )
)
BOOLEANS = {"true": 1.0, "false": 0.0}
MISSING = ("", "na", "n/a", "nan", "null", "none", "nil")
UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "usec", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanos", "nanosecond", "nanoseconds"), 1e-9),
}
TIMES = ("t", "time", "times", "timestamp", "timestamps", "datetime", "date", "elapsed", "epoch")
UNNAMED = ("", "unnamed: 0", "index")  # what data frames call the column that counts their rows
UNIT = re.compile(  # with a prefix for thousands; or anything with a sign that names have not
    r"[numµkcd]?(s|sec|g|m|v|a|hz|n|pa|t|w|rad|deg|c|k|lx|lux|lsb|px|pixels?|counts?|bool|1|-)|.*[/²^°%·].*"
)
READ = "a .npy file of numbers, or a .csv file with a line for each reading"
Note = Callable[[str, str], None]  # a kind of remark, and the words that follow the file's name


@dataclass(frozen=True)
class Recording:
    """Readings, what their columns are called, and when they were taken, where a file says it."""

    values: Array  # [n, C] of a table; of a .npy file as it is
    names: tuple[str, ...] | None = None
    times: Array | None = None  # [n] float64, from the first reading on, never falling
    unit: float | None = None  # seconds that a unit of `times` is


class _Row(NamedTuple):
    line: int
    fields: list[str]


@dataclass(frozen=True)
class _Layout:
    """Where the numbers are: the columns of the channels, of the time and of the rows' index."""

    separator: str
    after: int  # the line after which readings follow
    width: int  # fields of a line
    columns: tuple[int, ...]
    names: tuple[str, ...] | None
    time: int | None = None
    unit: float | None = None
    index: int | None = None  # said to count the readings by its name alone
    header: tuple[str, ...] = ()  # the fields of the line that names the columns


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
        layout = _Finder(name, separator, _rows_of(lines, separator), note).layout(channels, count)
        return _numbers(data, encoding, name, layout, timed, note)
    except UnicodeError as cause:
        raise InputError(f"{name} is not text in {encoding.upper()}", hint=READ) from cause


def _encoding(data: bytes) -> str:
    """By its mark; without one UTF-8, and Latin-1 where it is not."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
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
            [_is_number(field, separator) for field in row.fields]
            for row in _rows_of(lines, separator)
        ]
        return sum(all(row) for row in numbers), sum(map(sum, numbers))

    there = [sign for sign in SEPARATORS if any(sign in line.strip() for _, line in lines)]
    return max(there, key=quality, default=",")


def _rows_of(lines: list[tuple[int, str]], separator: str) -> list[_Row]:
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
        if text.startswith(COMMENTS) and any(_is_number(f, separator) for f in fields):
            continue  # a reading that was commented out, a date
        rows.append(_Row(number, fields))
    return rows


def _value(text: str, separator: str) -> float:
    """The number that a field is; ValueError where it is none."""
    if "_" in text:  # which Python takes within numbers
        raise ValueError(text)
    try:
        return float(text)
    except ValueError:
        plain = _ungrouped(text).strip()
        if separator != "," and DECIMAL.fullmatch(plain):
            return float(plain.replace(",", "."))
        truth = BOOLEANS.get(plain.casefold())
        return float(plain) if truth is None else truth


def _ungrouped(text: str) -> str:
    """A number without what parts its thousands, and with a minus that Python knows."""
    text = text.replace("−", "-")
    if DECIMAL.fullmatch(text):
        return text
    for groups in GROUPS:
        if match := groups.fullmatch(text):
            sign, end = match[1][0], match.end(1)
            return text[:end].replace(sign, "") + text[end:]
    return text


def _is_number(text: str, separator: str) -> bool:
    try:
        _value(text, separator)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Finder:
    """Looks for the table in a file's first rows."""

    name: str
    separator: str
    rows: list[_Row]
    note: Note

    def layout(self, channels: Sequence[str] | None, count: int | None) -> _Layout:
        """Where the channels' numbers are."""
        header = None if channels is None else self._naming(channels)
        if header is not None and channels is not None:
            return self._by_name(header, channels)
        width = self._width()
        body = next((i for i, row in enumerate(self.rows) if self._full(row, width)), None)
        if body is None:
            raise self._no_table(width)
        header = self._header(body, width)
        counts = header is None and self._counts(body, width)
        if counts:
            header, body = body, body + 1
        self._refuse_broken(body, width, header)
        first = body if header is None else header
        self._say_passed(first)
        names = None
        if header is not None and not counts:
            names = self._named(self.rows[header].fields, width)
        line = self.rows[body - 1].line if body else 0
        return self._in_order(line, width, names, header, channels, count)

    def _naming(self, channels: Sequence[str]) -> int | None:
        """The first row that has a column for every channel."""
        for i, row in enumerate(self.rows):
            if len(_matched(row.fields, channels)) == len(channels):
                return i
        return None

    def _by_name(self, header: int, channels: Sequence[str]) -> _Layout:
        """The columns of the channels, wherever they stand."""
        fields = self.rows[header].fields
        matches = _matched(fields, channels)
        for channel, columns in matches.items():
            if len(columns) > 1:
                raise InputError(
                    f"{self.name} has {len(columns)} columns {channel!a} in line"
                    f" {self.rows[header].line}, wanted one",
                    hint="rename or remove the others",
                )
        columns = [matches[channel][0] for channel in channels]
        body, width, units = self._units(header + 1), len(fields), None
        if body < len(self.rows) and len(self.rows[body].fields) == width + 1:
            width += 1
            if not self._trailing(width):  # rows have names, and their column has none
                columns, fields = [column + 1 for column in columns], ["", *fields]
        if body > header + 1:
            units = self.rows[body - 1].fields
        self._say_passed(header)
        time, unit = _time(fields, units, columns)
        line = self.rows[body - 1].line
        own = tuple(self.rows[header].fields)
        return _Layout(
            self.separator, line, width, tuple(columns), tuple(channels), time, unit, header=own
        )

    def _units(self, at: int) -> int:
        """The row where readings begin: the one below the names may have their units."""
        return at + 1 if at < len(self.rows) and _are_units(self.rows[at].fields) else at

    def _width(self) -> int:
        """How many fields most rows of numbers have, or most rows where there are none."""
        numbers = [r for r in self.rows if any(_is_number(f, self.separator) for f in r.fields)]
        counted = Counter(len(row.fields) for row in numbers or self.rows)
        return max(counted, key=lambda width: (counted[width], width), default=0)

    def _full(self, row: _Row, width: int) -> bool:
        """Whether each field is a number or a date; one more separator may end every line."""
        fields = row.fields[:-1] if self._trailing(width) else row.fields
        values = [_is_number(field, self.separator) for field in fields]
        dates = sum(bool(DATE.fullmatch(field)) for field in fields)
        return len(row.fields) == width and any(values) and sum(values) + dates == len(fields)

    def _trailing(self, width: int) -> bool:
        return width > 1 and all(not r.fields[-1] for r in self.rows if len(r.fields) == width)

    def _header(self, body: int, width: int) -> int | None:
        """The row of names above the numbers, if there is one."""
        at = body - 1
        if at < 0:
            return None
        if self._is_index(self.rows[at]):
            return at
        if not self._words(at, width):
            return None
        above = at - 1
        adjacent = above >= 0 and self._words(above, width)
        return above if adjacent and _are_units(self.rows[at].fields) else at

    def _words(self, at: int, width: int) -> bool:
        """Whether a row of the table's width, or one less, has names alone."""
        fields = self.rows[at].fields
        named = [field for field in fields if field.casefold() not in MISSING]
        no_number = not any(_is_number(field, self.separator) for field in fields)
        return bool(named) and no_number and len(fields) in (width, width - 1) and width > 0

    def _is_index(self, row: _Row) -> bool:
        """Whether a row is a data frame's header of numbers beside the column of its index."""
        first, *others = row.fields
        return (
            bool(others)
            and first.casefold() in UNNAMED
            and others == [str(i) for i in range(len(others))]
        )

    def _counts(self, body: int, width: int) -> bool:
        """Whether the first row of numbers is the names that data frames give: 0, 1, 2, …

        It is said. A single column that begins with 0 is a reading, unless others have fractions.
        """
        fields = self.rows[body].fields
        fields = fields[:-1] if self._trailing(width) else fields
        below = [row.fields for row in self.rows[body + 1 :] if len(row.fields) == width]
        fractions = any("." in field or "," in field for row in below for field in row)
        if fields != [str(i) for i in range(len(fields))] or not below:
            return False
        line = self.rows[body].line
        if len(fields) == 1 and not fractions:
            self.note("begins with 0", f" begins with 0 in line {line}, taken as a reading")
            return False
        names = ", ".join(fields[:3]) + (", …" if len(fields) > 3 else "")
        self.note(
            "names of numbers",
            f" has {names} in line {line}, taken as names of its columns, as data frames have them",
        )
        return True

    def _refuse_broken(self, body: int, width: int, header: int | None) -> None:
        """A row above the first whole one is refused where it is a reading like the others."""
        for i in range(0 if header is None else header + 1, body):
            row = self.rows[i]
            fields = row.fields[:-1] if self._trailing(width) else row.fields
            numbers = [_is_number(field, self.separator) for field in fields]
            missing = all(field.casefold() in MISSING for field in fields)
            if len(row.fields) == width and (any(numbers) or missing):
                raise _broken(self.name, row.line, fields[numbers.index(False)])
            if numbers[:1] == [True]:
                raise _other_width(self.name, row.line, len(row.fields), width)

    def _no_table(self, width: int) -> InputError:
        for row in self.rows:
            numbers = [_is_number(field, self.separator) for field in row.fields]
            missing = all(field.casefold() in MISSING for field in row.fields)
            if (any(numbers) or missing) and not all(numbers):
                return _broken(self.name, row.line, row.fields[numbers.index(False)])
        return InputError(f"{self.name} has no line of numbers", hint=READ)

    def _say_passed(self, first: int) -> None:
        """The rows before the table, which may be anything."""
        if first and not (first == 1 and DIRECTIVE.fullmatch(self.separator.join(self._row(0)))):
            start, end = self.rows[0].line, self.rows[first - 1].line
            lines = f"line {start}" if start == end else f"lines {start} to {end}"
            self.note("before the table", f": {lines}, before the table, passed over")

    def _row(self, at: int) -> list[str]:
        return self.rows[at].fields

    def _in_order(
        self,
        line: int,
        width: int,
        names: list[str] | None,
        header: int | None,
        channels: Sequence[str] | None,
        count: int | None,
    ) -> _Layout:
        """The columns in their order, without times, an index and an empty last one."""
        fields = names or [""] * width
        time, unit = (None, None)
        index = 0 if header is not None and self._index(header, width) else None
        if names is not None and header is not None:
            below = self.rows[header + 1] if header + 1 < len(self.rows) else None
            units = below.fields if below is not None and below.line <= line else None
            time, unit = _time(names, units, ())
        others = [i for i, field in enumerate(fields) if _is_time(field)[0]] if names else []
        last = width - 1 if self._trailing(width) else width
        columns = tuple(i for i in range(last) if i not in (*others, index))
        wanted = len(channels) if channels is not None else count
        if names is None and index is None and len(columns) - 1 == wanted and self._numbered(width):
            self.note("an index", " has a first column that counts its readings, passed over")
            columns, index = columns[1:], 0
        own = [fields[i] for i in columns]
        shown = _listed([fields[i] or str(i + 1) for i in range(last)])
        if channels is not None and names is not None:
            there = _matched(names, channels)
            lacking = [channel for channel in channels if channel not in there]
            if there or len(columns) != wanted:
                raise InputError(
                    f"{self.name} has no column {_listed(lacking)}: it has {shown}, wanted"
                    f" {_listed(channels)}",
                    hint="name the columns as the package does, in any order",
                )
            self.note(
                "other names",
                f" has the columns {_listed(own)}, taken in this order as {_listed(channels)}",
            )
        if wanted is not None and len(columns) != wanted:
            of = f" ({shown})" if names else ""
            listed = f": {_listed(channels)}" if channels is not None else ""
            raise InputError(
                f"{self.name} has {last} {'column' if last == 1 else 'columns'}{of}, wanted"
                f" {wanted}{listed}",
                hint="a line is a reading, and has a number for each channel"
                + ("; a first line of names says which is which" if names is None else ""),
            )
        usable = names is not None and all(map(is_channel, own)) and len({*own}) == len(own)
        called = tuple(own) if usable else None
        above = () if header is None else tuple(self.rows[header].fields)
        return _Layout(self.separator, line, width, columns, called, time, unit, index, above)

    def _index(self, header: int, width: int) -> bool:
        """Whether the first column is a data frame's index, by its name or by having none."""
        fields = self.rows[header].fields
        if len(fields) < width:
            return not self._trailing(width)
        return width > 1 and fields[0].casefold() in UNNAMED

    def _numbered(self, width: int) -> bool:
        """Whether the first fields of the rows count 0, 1, 2, … or 1, 2, 3, …, one column more."""
        first = [row.fields[0] for row in self.rows if len(row.fields) == width]
        begin = first[0] if first else ""
        return begin in ("0", "1") and all(
            field == str(int(begin) + i) for i, field in enumerate(first)
        )

    def _named(self, fields: list[str], width: int) -> list[str]:
        """The names of all columns: of a row that has one less the first column has none."""
        if len(fields) == width:
            return fields
        return [*fields, ""] if self._trailing(width) else ["", *fields]


def _other_width(name: str, line: int, found: int, wanted: int) -> InputError:
    fields = "1 field" if found == 1 else f"{found} fields"
    return InputError(
        f"{name} has {fields} in line {line}, wanted {wanted} as in most lines", hint=READ
    )


def _broken(name: str, line: int, field: str) -> InputError:
    return InputError(
        f"{name} has {field[:SHOWN]!a} in line {line}, wanted a number",
        hint="fill it in, or leave the line out",
    )


def _listed(names: Sequence[str]) -> str:
    shown = [ascii(name)[1:-1][:SHOWN] for name in names[:LISTED]]
    return ", ".join(shown + (["…"] if len(names) > LISTED else []))


def _matched(fields: Sequence[str], channels: Sequence[str]) -> dict[str, list[int]]:
    """The columns of each channel that has any: by the whole name, or without a unit behind it."""
    whole = [channel_key(field) for field in fields]
    bare = [channel_key(_bare(field)[0]) for field in fields]
    found = {}
    for channel in channels:
        key = channel_key(channel)
        columns = [i for i, field in enumerate(whole) if field == key]
        columns = columns or [i for i, field in enumerate(bare) if field == key]
        if columns:
            found[channel] = columns
    return found


def _bare(field: str) -> tuple[str, str]:
    """`x (px)` as `x` and `px`."""
    match = BRACKETED.fullmatch(field.strip())
    return (match[1], match[2].strip()) if match and match[1] else (field.strip(), "")


def _is_time(field: str) -> tuple[bool, float | None]:
    """Whether a column of this name has times, and how many seconds its unit is, if it says so."""
    bare, unit = _bare(field)
    words = re.split(r"[\s_.-]+", unicodedata.normalize("NFKC", bare).casefold())
    known = {**dict.fromkeys(TIMES), **UNITS}
    alone = len(words) == 1 and words[0] in UNITS and (len(words[0]) > 2 or words[0] == "ms")
    if not all(word in known for word in words) or not (alone or {*words} & {*TIMES}):
        return False, None
    units = [UNITS[word] for word in words if word in UNITS]
    return True, units[0] if units else UNITS.get(unit.casefold().replace("μ", "µ"))


def _time(
    fields: Sequence[str], units: Sequence[str] | None, taken: Sequence[int]
) -> tuple[int | None, float | None]:
    """The column of times: the first one whose unit is known, else the first."""
    found = []
    for i, field in enumerate(fields):
        is_time, unit = _is_time(field)
        if is_time and i not in taken:
            below = units[i].strip("()[] ").casefold() if units and i < len(units) else ""
            found.append((i, unit or UNITS.get(below.replace("μ", "µ"))))
    return next((pair for pair in found if pair[1]), found[0] if found else (None, None))


def _are_units(fields: Sequence[str]) -> bool:
    """Whether a row of words below another is one of units."""

    def is_unit(field: str) -> bool:
        plain = field.casefold().replace("μ", "µ")
        return plain in UNITS or bool(UNIT.fullmatch(plain)) or bool(IN_BRACKETS.fullmatch(field))

    named = [field for field in fields if field]
    return bool(named) and all(map(is_unit, named))


def _numbers(
    data: bytes, encoding: str, name: str, layout: _Layout, timed: bool, note: Note
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


def _separates(layout: _Layout, data: bytes) -> bool:
    """Whether each separator in the bytes ends a field: none is quoted, none is a mere blank."""
    return layout.separator != " " and b'"' not in data and b"\n\n" not in data


class _Body:
    """The readings of a table, as they come."""

    def __init__(self, name: str, layout: _Layout, clock: "_Clock | None", note: Note) -> None:
        self.name, self.layout, self.clock, self.note = name, layout, clock, note
        self.convert: Callable[[str], float] = partial(_value, separator=layout.separator)
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
            raise _broken(self.name, self.empty, "")
        if len(fields) != self.layout.width:
            raise _other_width(self.name, line, len(fields), self.layout.width)
        separator, chosen = self.layout.separator, [fields[i] for i in self.columns]
        try:
            values = array("d", [_value(field, separator) for field in chosen])
        except ValueError:
            bad = next(field for field in chosen if not _is_number(field, separator))
            raise _broken(self.name, line, bad.strip()) from None
        if separator != ",":
            joined = " ".join(_ungrouped(field) if "," in field else field for field in chosen)
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
    """A column of times: numbers, or dates in ISO 8601."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._times = array("d")
        self.first: datetime | None = None  # of dates

    def add(self, text: str, separator: str, line: int) -> None:
        """The time of one more reading; InputError where it is none, or before the last one."""
        text = text.strip()
        try:
            time = self._date(text) if self.first is not None else _value(text, separator)
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
                hint="a number, or a date as 2026-01-31T12:00:00.5",
            ) from None
        return 0.0

    def since_first(self) -> Array:
        """[n] float64."""
        times = np.frombuffer(self._times)
        since: Array = times - times[0]
        return since


def _instant(text: str) -> datetime:
    """A date in ISO 8601; one without a zone counts as UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def counts_readings(values: Array) -> bool:
    """Whether a first column counts 0, 1, 2, … or 1, 2, 3, …: an index that has no name."""
    if values.ndim != 2 or len(values) < INDEX or values.shape[1] < 2:
        return False
    column = values[:, 0]
    return bool(column[0] in (0, 1) and (np.diff(column) == 1).all())
