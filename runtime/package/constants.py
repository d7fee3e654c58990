"""A constant in an ONNX graph: its data inside the file, of the size that its shape says."""

import math
from dataclasses import dataclass

from handful.runtime.errors import PackageError

from . import protobuf as pb
from .operators import AXES, STORED_TYPES

MAX_ELEMENTS = 2**27
SHORT = 64  # int64 values that are looked at: shapes, divisors
NONE = "the format allows none, see docs/package-format.md"
INT64 = 7

# Field numbers of TensorProto in onnx.proto; a field that is not named here is refused.
TENSOR = {
    1: "dims", 2: "type", 4: "floats", 5: "ints", 7: "longs", 8: "name", 9: "raw", 10: "doubles",
    12: "", 14: "location", 16: "",
}  # fmt: skip
REPEATED = frozenset((1, 4, 5, 7, 10, 16))
REFUSED = {3: "segments", 6: "strings", 11: "unsigned 64-bit data", 13: "external data"}
WIDTH = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8}
LISTED = {
    1: "floats", 2: "ints", 3: "ints", 6: "ints", 7: "longs", 9: "ints", 10: "ints", 11: "doubles",
}  # fmt: skip


@dataclass(frozen=True)
class Constant:
    """What is known of a constant without a copy of its values."""

    name: str
    element: int  # its type's number
    shape: tuple[int, ...]
    values: list[int] | None = None  # of a short one of type int64

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)


def read(walk: pb.Walker, data: memoryview) -> Constant:
    """The constant in `data`, a TensorProto."""
    dims: list[int] = []
    longs: list[int] = []
    listed: dict[str, int] = {}
    name, element, raw = "", 0, None
    for number, wire, value in walk(data, REPEATED):
        kind = known(number, TENSOR, REFUSED, "a constant")
        if kind == "dims":
            dims += pb.integers(wire, value, AXES)
        elif kind == "type":
            element = pb.number(wire, value)
        elif kind == "name":
            name = pb.text(wire, value)
        elif kind == "raw":
            raw = pb.message(wire, value)
        elif kind == "location" and pb.number(wire, value) != 0:
            raise PackageError("a constant has external data", hint=NONE)
        elif kind in ("floats", "doubles"):
            many = pb.fixed_count(wire, value, 4 if kind == "floats" else 8)
            listed[kind] = listed.get(kind, 0) + many
        elif kind in ("ints", "longs"):
            many = pb.count(wire, value)
            listed[kind] = listed.get(kind, 0) + many
            if kind == "longs" and listed[kind] <= SHORT:
                longs += pb.integers(wire, value, SHORT)
    return _checked(name, element, dims, raw, listed, longs)


def _checked(
    name: str,
    element: int,
    dims: list[int],
    raw: memoryview | None,
    listed: dict[str, int],
    longs: list[int],
) -> Constant:
    if element not in STORED_TYPES:
        raise PackageError(f"constant {name[:60]!r} has element type {element}, wanted a number")
    if len(dims) > AXES or any(dim < 0 for dim in dims) or math.prod(dims) > MAX_ELEMENTS:
        raise PackageError(
            f"constant {name[:60]!r} has shape {dims[:AXES]}, at most {AXES} axes and "
            f"{MAX_ELEMENTS} values are read"
        )
    size = math.prod(dims)
    several = listed.keys() - {LISTED[element]} or (raw is not None and listed)
    present = len(raw) / WIDTH[element] if raw is not None else listed.get(LISTED[element], 0)
    if several or present != size:
        raise PackageError(f"constant {name[:60]!r} has {present:g} values, its shape {dims}")
    if element != INT64 or size > SHORT:
        return Constant(name, element, tuple(dims))
    return Constant(
        name, element, tuple(dims), pb.fixed_integers(raw) if raw is not None else longs
    )


def known(number: int, fields: dict[int, str], refused: dict[int, str], where: str) -> str:
    """What the field `number` is; a PackageError where the format allows none."""
    if number in fields:
        return fields[number]
    what = refused.get(number, f"an unknown field {number}")
    raise PackageError(f"{where} has {what}", hint=NONE)
