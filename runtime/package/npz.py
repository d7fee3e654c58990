"""Reading and writing .npz archives without pickles, every size checked before memory is taken."""

import io
import math
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import HandfulError

DTYPES = {np.dtype(name) for name in ("float32", "int64", "uint8")}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MAX_MEMBERS = 10_000


def read_npz(data: bytes, *, limit: int, name: str, error: type[HandfulError]) -> dict[str, Array]:
    """The arrays in `data`, at most `limit` bytes of them; `error` names the archive `name`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if len(members) > MAX_MEMBERS or len(set(names)) != len(names):
                raise error(f"{name} has too many members, or two of one name")
            found: dict[str, Array] = {}
            for member in members:
                key = member.filename.removesuffix(".npy")
                found[key] = _member(archive, member, limit, name, error)
                limit -= found[key].nbytes
            return found
    except HandfulError:
        raise
    except Exception as cause:  # zipfile and numpy raise a dozen kinds on broken bytes
        raise error(f"{name} is not a whole npz archive: {cause}") from cause


def _member(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    limit: int,
    name: str,
    error: type[HandfulError],
) -> Array:
    if member.flag_bits & 1 or member.compress_type not in METHODS:
        raise error(f"{name}: {member.filename!r} is encrypted, or packed in an unusual way")
    with archive.open(member) as file:
        content = file.read(max(limit, 0) + 1024)  # what inflates beyond is never taken
    if len(content) >= limit + 1024:
        raise error(f"{name} is larger than the {limit} bytes that are read")
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise error(f"{name}: {member.filename!r} is not npy version 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=1000)
    if dtype not in DTYPES:
        raise error(f"{name}: {member.filename!r} has dtype {dtype}, wanted float32 or int64")
    rest = memoryview(content)[stream.tell() :]
    if fortran or any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(rest):
        raise error(f"{name}: {member.filename!r} is not as large as its shape {list(shape)}")
    return np.frombuffer(rest, dtype).reshape(shape)


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
