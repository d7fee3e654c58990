"""One file of readings, .npy or .csv, read with care: every size is checked before memory is."""

import ast
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError
from handful.runtime.package.files import read_regular
from handful.runtime.pictures.folders import shown

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
