"""Files of readings to examples of a package that takes arrays: one file, or a list with some.

One file of readings, .npy or .csv, read with care: every size is checked before memory is.

Windows of T readings, cut from a recording or from a stream by one rule.

Windows begin at the readings 0, hop, 2 hop, … for as long as a whole window is there; what comes
after the last one is left out. A recording that is shorter than a window is one window, filled up
with copies of its last reading. Where nothing else is said, the hop is half a window.
"""

import ast
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError
from handful.runtime.package.files import read_regular
from handful.runtime.package.manifest import InputSpec

from .folders import shown

MAX_BYTES = 2**26  # of a file
MAX_CSV = 2**22  # values of a .csv file
MAX_AXES, MAX_HEADER = 8, 10_000  # of a .npy file; bytes of its header
TEXT = (".csv", ".tsv", ".txt")
READ = "a .npy file of numbers, or a .csv file with a line for each reading"
SHOWN = 40  # characters of a field in an error


def read_array(path: str | Path) -> Array:
    """The numbers in a file, floats or integers, as they are: of a .csv file float64 [n, C].

    InputError where the file is none of these, is broken or too large, or holds no finite numbers.
    """
    path = Path(path)
    name, kind = shown(path), path.suffix.lower()
    if not os.path.exists(path):
        raise InputError(f"no file {name}")
    if kind not in (".npy", *TEXT):
        raise InputError(f"{name} is not named as a file of readings", hint=READ)
    real = Path(os.path.realpath(path))  # links are followed, as those to pictures are
    data = read_regular(real, limit=MAX_BYTES, error=InputError, absent="look at its name")
    array = _npy(data, name) if kind == ".npy" else _csv(data, name)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array.reshape(len(array), -1)).all(axis=1)))
        raise InputError(f"{name} has a value that is not finite in row {row + 1}")
    return array


def _npy(data: bytes, name: str) -> Array:
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = _header(file, version)
    except Exception as cause:  # numpy raises several kinds on broken bytes
        why = (str(cause).splitlines() or [type(cause).__name__])[0][:200]
        raise InputError(f"{name} is not a whole .npy file: {why}", hint="numpy.save") from cause
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(
            f"{name} holds {dtype}, wanted integers or floats of at most 64 bits",
            hint="save numbers: array.astype(numpy.float32)",
        )
    rest = len(data) - file.tell()
    if len(shape) > MAX_AXES or math.prod(shape) * dtype.itemsize != rest:
        raise InputError(
            f"{name} has {rest} bytes of numbers, {list(shape)[:MAX_AXES]} of {dtype} would have"
            f" {math.prod(shape) * dtype.itemsize}"
        )
    if not rest or not shape:
        raise InputError(f"{name} has the shape {list(shape)}, wanted one reading at least")
    flat = np.frombuffer(data, dtype, offset=file.tell())
    array = flat.reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))


def _header(file: io.BytesIO, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type; ValueError where they are not to be read."""
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version[0]}.{version[1]}")
    size = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
    if size > MAX_HEADER:
        raise ValueError(f"a header of {size} bytes")
    text = file.read(size)
    if len(text) < size:
        raise ValueError("it ends within its header")
    fields = ast.literal_eval(text.decode("latin1").strip())
    if not isinstance(fields, dict) or fields.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header has other fields")
    shape, fortran, descr = fields["shape"], fields["fortran_order"], fields["descr"]
    sizes = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 2**40 for n in shape)
    if not sizes or type(fortran) is not bool or not isinstance(descr, str):
        raise ValueError("its header says no shape and type of numbers")
    return shape, fortran, np.dtype(descr)


def _csv(data: bytes, name: str) -> Array:
    """[n, C]; a line of names at the top is passed over, and so are empty lines."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise InputError(f"{name} is not text in UTF-8", hint=READ) from cause
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise InputError(f"{name} is empty", hint=READ)
    separator = next((sign for sign in (";", "\t", ",") if sign in lines[0][1]), None)
    if _bad(_fields(lines[0][1], separator)) is not None:  # names of the columns
        lines = lines[1:]
    if not lines:
        raise InputError(f"{name} has no line of numbers", hint=READ)
    width = len(_fields(lines[0][1], separator))
    if width * len(lines) > MAX_CSV:
        raise InputError(
            f"{name} has {len(lines)} lines of {width} numbers, at most {MAX_CSV} are read",
            hint="save larger recordings as .npy",
        )
    values = np.empty((len(lines), width))
    for row, (number, line) in enumerate(lines):
        fields = _fields(line, separator)
        if len(fields) != width:
            raise InputError(
                f"{name} has {len(fields)} numbers in line {number}, {width} in line {lines[0][0]}"
            )
        try:
            values[row] = [float(field) for field in fields]
        except ValueError as cause:
            bad = (_bad(fields) or "")[:SHOWN]
            raise InputError(
                f"{name} has {bad!a} in line {number}, wanted a number", hint=READ
            ) from cause
    return values


def _fields(line: str, separator: str | None) -> list[str]:
    """The fields of a line; where semicolons part them, a comma may be the decimal one."""
    fields = [field.strip() for field in line.split(separator)]
    return [field.replace(",", ".") for field in fields] if separator == ";" else fields


def _bad(fields: Sequence[str]) -> str | None:
    """The first that is no number."""
    for field in fields:
        try:
            float(field)
        except ValueError:
            return field
    return None


MAX_VALUES = 2**26  # of all windows of a recording: 256 MiB as float32


def windows(recording: Any, length: int, hop: int | None = None) -> Array:
    """Windows [W, T, …] of a recording [n, …], of its own type; T is `length`.

    InputError where there is no reading, where `length` or `hop` is not 1 or more, and where the
    windows would take more than 2²⁶ values.
    """
    array = np.asarray(recording)
    step = _checked(length, hop)
    if not array.ndim or not len(array):
        raise InputError(f"a recording has the shape {list(array.shape)}, wanted readings [n, …]")
    if len(array) < length:
        return np.concatenate([array, np.repeat(array[-1:], length - len(array), axis=0)])[None]
    count = 1 + (len(array) - length) // step
    values = count * length * (array.size // len(array))
    if values > MAX_VALUES:
        raise InputError(
            f"{count} windows have {values} values, at most {MAX_VALUES} are cut",
            hint="cut the recording into parts, or use a larger hop",
        )
    views = np.lib.stride_tricks.sliding_window_view(array, length, axis=0)[::step]
    return np.ascontiguousarray(np.moveaxis(views, -1, 1))


class Windows:
    """A stream of readings, in as it comes, and out the windows that are full.

    However the readings are divided into blocks, the windows are those of `windows`. Not to be
    shared between threads.
    """

    def __init__(self, length: int, hop: int | None = None) -> None:
        """Windows of `length` readings, each beginning `hop` after the one before."""
        self.length, self.hop = length, _checked(length, hop)
        self._kept: Array | None = None  # from the next window's beginning on
        self._ahead = 0  # readings to pass over before it begins
        self._any = False  # whether a window was full already

    def feed(self, readings: Any) -> list[Array]:
        """The windows [T, …] that a block of readings [n, …] has filled, in their order.

        InputError where the block's readings are of another shape than those before.
        """
        block = np.asarray(readings)
        if not block.ndim:
            raise InputError(
                "a block has no axis, wanted readings [n, …]", hint="one reading is a block of one"
            )
        if self._kept is not None and block.shape[1:] != self._kept.shape[1:]:
            raise InputError(
                f"a block has readings of shape {list(block.shape[1:])},"
                f" those before had {list(self._kept.shape[1:])}"
            )
        if self._kept is None:
            self._kept = block[:0]
        passed = min(self._ahead, len(block))
        self._ahead -= passed
        kept = np.concatenate([self._kept, block[passed:]])
        full = []
        while len(kept) >= self.length:
            full.append(kept[: self.length].copy())
            self._ahead = max(0, self.hop - len(kept))
            kept = kept[self.hop :]
        self._kept = kept.copy()  # not a view, which would keep all that ever came
        self._any = self._any or bool(full)
        return full

    def rest(self) -> Array | None:
        """At the end: the one window of a stream that was too short for any, else None."""
        if self._any or self._kept is None or not len(self._kept):
            return None
        window: Array = windows(self._kept, self.length)[0]
        return window


def _checked(length: int, hop: int | None) -> int:
    """The hop; InputError where it or the length is no number from 1 on."""
    step = max(1, length // 2) if hop is None and type(length) is int else hop
    for name, value in (("length", length), ("hop", step)):
        if type(value) is not int or value < 1:
            raise InputError(f"the {name} of a window is {value!r}, wanted 1 reading or more")
    assert step is not None
    return step


def read_examples(path: str | Path, spec: InputSpec, *, hop: int | None = None) -> Array:
    """The examples [n, …shape] in a .npy or .csv file, of the numbers' own type.

    A file holds one example, or many of them. Where examples are series [T, C] it may be a
    recording [n, C] as well: it is cut into windows, each `hop` readings after the one before, by
    default half a window; a shorter one is filled up with copies of its last reading. InputError
    where the file cannot be read, or has another shape.
    """
    array = read_array(path)
    shape = tuple(spec.shape)
    if array.shape == shape:
        return array[None]
    if array.shape[1:] == shape:
        return array
    if len(shape) == 2 and shape[1] == 1 and array.ndim == 1:
        array = array[:, None]
    if len(shape) == 2 and array.shape[1:] == shape[1:]:
        return windows(array, shape[0], hop)
    if shape == (1,) and array.ndim == 1:
        return array[:, None]
    recordings = f", readings [n, {shape[1]}]" if len(shape) == 2 else ""
    raise InputError(
        f"{shown(path)} holds the shape {list(array.shape)}, wanted {list(shape)}{recordings}"
        " or a batch of them",
        hint="a line of a .csv file is a reading, and has a number for each channel",
    )


def opened(examples: Any, spec: InputSpec) -> Any:
    """`examples`, with what is in a file in place of its path, alone or in a list.

    A file of one example is one; what a longer one holds follows each other.
    """
    if _is_path(examples):
        found = read_examples(examples, spec)
        return found[0] if len(found) == 1 else found
    if isinstance(examples, list | tuple) and any(map(_is_path, examples)):
        items: list[Any] = []
        for item in examples:
            items += list(read_examples(item, spec)) if _is_path(item) else [item]
        return items
    return examples


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def shape_hint(spec: InputSpec, array: Array) -> str:
    """What to do where an array has another shape."""
    if len(spec.shape) == 2 and array.shape[1:] == spec.shape[1:]:
        return f"a recording is cut by handful.windows(x, {spec.shape[0]})"
    return "one example a call, or a list or a batch of them, all of this shape"


MOST_DRAWN = 16  # channels


def drawn(example: Array, spec: InputSpec) -> list[Array]:
    """Lines [n, 2] of a series [T, C]: of a pen its strokes, of other channels a line each.

    Places are from 0 to 1, to the right and downwards. A pen has three channels, of which the third
    has two values: the larger one where it was down on the way to the reading. Its x goes to the
    right, its y upwards. Two channels are a path as well. Nothing is drawn of a single reading.
    """
    if example.ndim != 2 or len(example) < 2 or example.shape[1] > MOST_DRAWN:
        return []
    x = example.astype(np.float64)
    states = np.unique(x[:, 2]) if x.shape[1] == 3 else np.array([])
    if x.shape[1] != 2 and not 0 < len(states) <= 2:
        low, high = x.min(), x.max()
        heights = (high - x) / ((high - low) or 1.0)
        across = np.linspace(0, 1, len(x))
        return [np.stack([across, channel], axis=1) for channel in heights.T]
    place = np.stack([x[:, 0], -x[:, 1]], axis=1)
    low, high = place.min(axis=0), place.max(axis=0)
    place = 0.5 + (place - (low + high) / 2) / ((high - low).max() or 1.0)
    lifted = np.flatnonzero(x[:, 2] < x[:, 2].max()) if len(states) == 2 else []
    return [stroke for stroke in np.split(place, lifted) if len(stroke) > 1]
