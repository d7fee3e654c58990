"""Where a table's readings stand: what names the columns, and which one is the time.

It is found in the file's first lines. What is certain is silent, what is likely is said (`note`),
and all else is refused: columns are never taken in another order than their names have.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from handful.runtime.errors import InputError
from handful.runtime.package.rules import channel_key, is_channel

SHOWN, LISTED = 40, 12  # characters of a field, and columns, in an error
DIRECTIVE = re.compile(r'"?sep=(.)"?\s*')  # a first line for spreadsheets
IN_BRACKETS = re.compile(r"[(\[].*[)\]]")
BRACKETED = re.compile(r"(.*?)\s*[(\[]([^()\[\]]*)[)\]]")  # `x (px)`
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?|\d\d:\d\d:\d\d(\.\d+)?")  # ISO 8601
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
class Layout:
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


class Row(NamedTuple):
    """A line's number in the file, and its fields."""

    line: int
    fields: list[str]


@dataclass(frozen=True)
class Finder:
    """Looks for the table in a file's first rows."""

    name: str
    separator: str
    rows: list[Row]
    note: Note

    def layout(self, channels: Sequence[str] | None, count: int | None) -> Layout:
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
            names = self._name_columns(self.rows[header].fields, width)
        line = self.rows[body - 1].line if body else 0
        return self._in_order(line, width, names, header, channels, count)

    def _naming(self, channels: Sequence[str]) -> int | None:
        """The first row that has a column for every channel."""
        for i, row in enumerate(self.rows):
            if len(_match(row.fields, channels)) == len(channels):
                return i
        return None

    def _by_name(self, header: int, channels: Sequence[str]) -> Layout:
        """The columns of the channels, wherever they stand."""
        fields = self.rows[header].fields
        matches = _match(fields, channels)
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
        return Layout(
            self.separator, line, width, tuple(columns), tuple(channels), time, unit, header=own
        )

    def _units(self, at: int) -> int:
        """The row where readings begin: the one below the names may have their units."""
        return at + 1 if at < len(self.rows) and _are_units(self.rows[at].fields) else at

    def _width(self) -> int:
        """How many fields most rows of numbers have, or most rows where there are none."""
        numbers = [r for r in self.rows if any(is_number(f, self.separator) for f in r.fields)]
        counted = Counter(len(row.fields) for row in numbers or self.rows)
        return max(counted, key=lambda width: (counted[width], width), default=0)

    def _full(self, row: Row, width: int) -> bool:
        """Whether each field is a number or a date; one more separator may end every line."""
        fields = row.fields[:-1] if self._trailing(width) else row.fields
        values = [is_number(field, self.separator) for field in fields]
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
        no_number = not any(is_number(field, self.separator) for field in fields)
        return bool(named) and no_number and len(fields) in (width, width - 1) and width > 0

    def _is_index(self, row: Row) -> bool:
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
            numbers = [is_number(field, self.separator) for field in fields]
            missing = all(field.casefold() in MISSING for field in fields)
            if len(row.fields) == width and (any(numbers) or missing):
                raise broken_number(self.name, row.line, fields[numbers.index(False)])
            if numbers[:1] == [True]:
                raise other_width(self.name, row.line, len(row.fields), width)

    def _no_table(self, width: int) -> InputError:
        for row in self.rows:
            numbers = [is_number(field, self.separator) for field in row.fields]
            missing = all(field.casefold() in MISSING for field in row.fields)
            if (any(numbers) or missing) and not all(numbers):
                return broken_number(self.name, row.line, row.fields[numbers.index(False)])
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
    ) -> Layout:
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
        if names is None and index is None and len(columns) - 1 == wanted and self._number(width):
            self.note("an index", " has a first column that counts its readings, passed over")
            columns, index = columns[1:], 0
        own = [fields[i] for i in columns]
        shown = _join([fields[i] or str(i + 1) for i in range(last)])
        if channels is not None and names is not None:
            there = _match(names, channels)
            lacking = [channel for channel in channels if channel not in there]
            if there or len(columns) != wanted:
                raise InputError(
                    f"{self.name} has no column {_join(lacking)}: it has {shown}, wanted"
                    f" {_join(channels)}",
                    hint="name the columns as the package does, in any order; handful inspect"
                    " says what they hold",
                )
            self.note(
                "other names",
                f" has the columns {_join(own)}, taken in this order as {_join(channels)}",
            )
        if wanted is not None and len(columns) != wanted:
            of = f" ({shown})" if names else ""
            listed = f": {_join(channels)}" if channels is not None else ""
            raise InputError(
                f"{self.name} has {last} {'column' if last == 1 else 'columns'}{of}, wanted"
                f" {wanted}{listed}",
                hint="a line is a reading, and has a number for each channel"
                + ("; a first line of names says which is which" if names is None else ""),
            )
        usable = names is not None and all(map(is_channel, own)) and len({*own}) == len(own)
        called = tuple(own) if usable else None
        above = () if header is None else tuple(self.rows[header].fields)
        return Layout(self.separator, line, width, columns, called, time, unit, index, above)

    def _index(self, header: int, width: int) -> bool:
        """Whether the first column is a data frame's index, by its name or by having none."""
        fields = self.rows[header].fields
        if len(fields) < width:
            return not self._trailing(width)
        return width > 1 and fields[0].casefold() in UNNAMED

    def _number(self, width: int) -> bool:
        """Whether the first fields of the rows count 0, 1, 2, … or 1, 2, 3, …, one column more."""
        first = [row.fields[0] for row in self.rows if len(row.fields) == width]
        begin = first[0] if first else ""
        return begin in ("0", "1") and all(
            field == str(int(begin) + i) for i, field in enumerate(first)
        )

    def _name_columns(self, fields: list[str], width: int) -> list[str]:
        """The names of all columns: of a row that has one less the first column has none."""
        if len(fields) == width:
            return fields
        return [*fields, ""] if self._trailing(width) else ["", *fields]


def _match(fields: Sequence[str], channels: Sequence[str]) -> dict[str, list[int]]:
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
    missing = any(field.casefold() in MISSING and field != "nA" for field in named)
    reading = "1" in named and {*named} <= {"1", "-"}  # one with a value missing
    return bool(named) and all(map(is_unit, named)) and not missing and not reading


def is_number(text: str, separator: str) -> bool:
    """Whether a field is a number, as `read_number` reads it."""
    try:
        read_number(text, separator)
    except ValueError:
        return False
    return True


def read_number(text: str, separator: str) -> float:
    """The number that a field is; ValueError where it is none."""
    if "_" in text:  # which Python takes within numbers
        raise ValueError(text)
    try:
        return float(text)
    except ValueError:
        plain = ungroup(text).strip()
        if separator != "," and DECIMAL.fullmatch(plain):
            return float(plain.replace(",", "."))
        truth = BOOLEANS.get(plain.casefold())
        return float(plain) if truth is None else truth


def ungroup(text: str) -> str:
    """A number without what parts its thousands, and with a minus that Python knows."""
    text = text.replace("−", "-")
    if DECIMAL.fullmatch(text):
        return text
    for groups in GROUPS:
        if match := groups.fullmatch(text):
            sign, end = match[1][0], match.end(1)
            return text[:end].replace(sign, "") + text[end:]
    return text


def other_width(name: str, line: int, found: int, wanted: int) -> InputError:
    """The error of a line with more or fewer fields than most have."""
    fields = "1 field" if found == 1 else f"{found} fields"
    return InputError(
        f"{name} has {fields} in line {line}, wanted {wanted} as in most lines", hint=READ
    )


def broken_number(name: str, line: int, field: str) -> InputError:
    """The error of a field that is no number."""
    return InputError(
        f"{name} has {field[:SHOWN]!a} in line {line}, wanted a number",
        hint="fill it in, or leave the line out",
    )


def _join(names: Sequence[str]) -> str:
    shown = [ascii(name)[1:-1][:SHOWN] for name in names[:LISTED]]
    return ", ".join(shown + (["…"] if len(names) > LISTED else []))
