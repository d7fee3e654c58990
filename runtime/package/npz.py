"""Reading .npz and .npy files without pickles, every size checked before memory is taken."""

import ast
import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import HandfulError, InputError

DTYPES = {np.dtype(name) for name in ("<f4", "<i8", "<i2", "u1")}
METHODS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}
MAX_MEMBERS = 20_000
MAX_AXES = 8
MAX_HEADER = 1000  # bytes of text in front of an array
LONGEST_HEADER = 10_000  # of a .npy file by itself
MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-/\[\]:]{0,299}\.npy")
ENCRYPTED = 1
ENTRY = b"PK\x01\x02"  # begins a member's entry in the archive's directory


def read_npz(
    data: bytes, *, limit: int, name: str, error: type[HandfulError], deflated: bool = False
) -> dict[str, Array]:
    """The arrays in `data`, at most `limit` bytes of them; `error` names the archive `name`.

    Members are stored, unless `deflated` lets them be either: what is stored cannot inflate.
    """
    if (entries := data.count(ENTRY)) > MAX_MEMBERS:  # before zipfile makes an object of each
        raise error(f"{name} has {entries} members, at most {MAX_MEMBERS} are read")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_directory(members, limit, name, error, deflated)
            arrays: dict[str, Array] = {}
            for member in members:
                key = member.filename.removesuffix(".npy")
                arrays[key] = _member(archive, member, name, error)
            return arrays
    except HandfulError:
        raise
    except Exception as cause:  # zipfile and numpy raise a dozen kinds on broken bytes
        raise error(f"{name} is not a whole npz archive: {str(cause)[:200]}") from cause


def _check_directory(
    members: list[zipfile.ZipInfo],
    limit: int,
    name: str,
    error: type[HandfulError],
    deflated: bool,
) -> None:
    """Refuse by the archive's directory alone, before a member is read."""
    if len({member.filename for member in members}) != len(members):
        raise error(f"{name} has two members of one name")
    methods = METHODS.values() if deflated else [METHODS["stored"]]
    for member in members:
        shown = member.filename[:60]
        if not MEMBER.fullmatch(member.filename):
            raise error(f"{name} has a member {shown!r}, wanted plain names that end in .npy")
        if member.flag_bits & ENCRYPTED or member.compress_type not in methods:
            wanted = "stored or deflated" if deflated else "stored"
            raise error(f"{name}: {shown!r} is encrypted, or not {wanted}")
    if sum(member.file_size for member in members) > limit:
        raise error(f"{name} is larger than the {limit} bytes that are read")


def _member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, error: type[HandfulError]
) -> Array:
    shown = member.filename[:60]
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)  # what inflates beyond is never taken
    stream = io.BytesIO(content)
    if len(content) != member.file_size or np.lib.format.read_magic(stream) != (1, 0):
        raise error(f"{name}: {shown!r} is not npy version 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=MAX_HEADER)
    if dtype not in DTYPES:
        raise error(f"{name}: {shown!r} has dtype {str(dtype)[:60]}, wanted float32 or int64")
    values = memoryview(content)[stream.tell() :]
    whole = len(shape) <= MAX_AXES and all(type(size) is int and size >= 0 for size in shape)
    if fortran or not whole or math.prod(shape) * dtype.itemsize != len(values):
        raise error(f"{name}: {shown!r} is not as large as its shape {list(shape)[:MAX_AXES]}")
    return np.frombuffer(values, dtype).reshape(shape)


def pack_npz(arrays: Mapping[str, Any]) -> bytes:
    """The bytes of an archive that `read_npz` and `numpy.load` read; equal arrays, equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, value in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: bytes do not depend on the clock
            with archive.open(member, "w", force_zip64=True) as file:
                array = np.asarray(value, order="C")
                np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def read_numbers(data: bytes, *, limit: int, name: str) -> dict[str, Array]:
    """The arrays of an archive that a person made, each as `read_npy` has it; InputError."""
    if (entries := data.count(ENTRY)) > MAX_MEMBERS:
        raise InputError(f"{name} has {entries} members, at most {MAX_MEMBERS} are read")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_directory(members, limit, name, InputError, deflated=True)
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    content = file.read(member.file_size + 1)  # what inflates beyond is never taken
                arrays[member.filename.removesuffix(".npy")] = read_npy(
                    content, f"{name}: {member.filename[:60]}"
                )
            return arrays
    except HandfulError:
        raise
    except Exception as cause:  # zipfile raises a dozen kinds on broken bytes
        raise InputError(
            f"{name} is not a whole npz archive: {str(cause)[:200]}", hint="numpy.savez"
        ) from cause


def read_npy(data: bytes, name: str) -> Array:
    """The numbers in the bytes of a .npy file, of their own type; InputError names `name`."""
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
    if size > LONGEST_HEADER:
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
