"""Walking over a protobuf message, in the standard library."""

import struct
from collections.abc import Iterator

from handful.runtime.errors import PackageError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | memoryview


def walk(data: memoryview) -> Iterator[tuple[int, int, Value]]:
    """(field number, wire type, value) of each field of one message, in the order of the bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        value: Value
        if wire == VARINT:
            value, at = varint(data, at)
        elif wire == BYTES:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        elif wire == FIXED32:
            value, at = data[at : at + 4], at + 4
        elif wire == FIXED64:
            value, at = data[at : at + 8], at + 8
        else:
            raise malformed()
        if at > end or number == 0:
            raise malformed()
        yield number, wire, value


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The unsigned number at `at`, and where the next byte is."""
    if at < len(data) and data[at] < 0x80:  # nearly always
        return data[at], at + 1
    result = 0
    for i, byte in enumerate(data[at : at + 10]):
        result |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, at + i + 1
    raise malformed()


def signed(value: int) -> int:
    """An int64 as protobuf writes it."""
    return value - 2**64 if value >= 2**63 else value


def integers(wire: int, value: Value) -> list[int]:
    """One entry, or a packed run, of a repeated int64."""
    if isinstance(value, int):
        return [signed(value)]
    if wire != BYTES:
        raise malformed()
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(signed(number))
    return found


def fixed_integers(value: memoryview) -> list[int]:
    """Little-endian int64s, as raw tensor data has them."""
    if len(value) % 8:
        raise malformed()
    return list(struct.unpack(f"<{len(value) // 8}q", value))


def message(wire: int, value: Value) -> memoryview:
    """The bytes of a nested message, a string or a packed run."""
    if wire != BYTES or isinstance(value, int):
        raise malformed()
    return value


def number(wire: int, value: Value) -> int:
    """A varint as an int64."""
    if wire != VARINT or not isinstance(value, int):
        raise malformed()
    return signed(value)


def text(wire: int, value: Value) -> str:
    """A string."""
    try:
        return bytes(message(wire, value)).decode()
    except UnicodeDecodeError as cause:
        raise malformed() from cause


def malformed() -> PackageError:
    """The bytes are not protobuf."""
    return PackageError("not a whole ONNX model", hint="copy the package again, as a whole")
