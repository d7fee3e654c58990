"""Walking over a protobuf message, in the standard library: views of the bytes, no copies."""

import struct
from collections.abc import Iterator

from handful.runtime.errors import PackageError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED = {4: FIXED32, 8: FIXED64}
CONTINUED = bytes(range(0x80, 0x100))  # the bytes of a varint but for its last
MAX_NUMBER = 2**29 - 1  # of a field: a larger one wraps round in other readers
MAX_TEXT = 1024  # bytes of a name
Value = int | memoryview


class Walker:
    """Walks over nested messages, over so many fields in all: each costs a microsecond."""

    def __init__(self, most: int) -> None:
        """`most` fields of all messages together."""
        self.most = self.left = most

    def __call__(
        self, data: memoryview, repeated: frozenset[int] = frozenset()
    ) -> Iterator[tuple[int, int, Value]]:
        """(field number, wire type, value) of each field of one message, in the bytes' order.

        A field that is not `repeated` stands once: of two, other readers take the last, or merge
        them into a message that nobody has seen.
        """
        at, end = 0, len(data)
        seen: set[int] = set()
        while at < end:
            if (key := data[at]) < 0x80:  # nearly always, and a call costs as much as all of this
                at += 1
            else:
                key, at = varint(data, at)
            number, wire = key >> 3, key & 7
            value: Value
            if wire == BYTES:
                if at < end and (size := data[at]) < 0x80:
                    at += 1
                else:
                    size, at = varint(data, at)
                value = data[at : at + size]
                at += size
            elif wire == VARINT:
                value, at = varint(data, at)
            elif wire == FIXED32:
                value, at = data[at : at + 4], at + 4
            elif wire == FIXED64:
                value, at = data[at : at + 8], at + 8
            else:
                raise malformed()
            self.left -= 1
            if self.left < 0:
                raise PackageError(f"more than {self.most} fields")
            if at > end or not 0 < number <= MAX_NUMBER:
                raise malformed()
            if number not in repeated:
                if number in seen:
                    raise PackageError(f"field {number} of a message is given twice")
                seen.add(number)
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


def integers(wire: int, value: Value, most: int) -> list[int]:
    """One entry, or a packed run of at most `most`, of a repeated int64."""
    if isinstance(value, int):
        return [signed(value)]
    if count(wire, value) > most:
        raise PackageError(f"a list of more than {most} numbers")
    numbers, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        numbers.append(signed(number))
    return numbers


def count(wire: int, value: Value) -> int:
    """How many entries one entry, or a packed run, of a repeated int64 has."""
    if isinstance(value, int):
        return 1
    if wire != BYTES or (len(value) and value[-1] >= 0x80):
        raise malformed()
    step = 2**20  # a copy of a part, never of the whole
    return sum(
        len(bytes(value[at : at + step]).translate(None, CONTINUED))
        for at in range(0, len(value), step)
    )


def fixed_count(wire: int, value: Value, width: int) -> int:
    """How many entries one entry, or a packed run, of floats of `width` bytes has."""
    if isinstance(value, int) or wire not in (BYTES, FIXED[width]) or len(value) % width:
        raise malformed()
    return len(value) // width


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
    """A string of at most MAX_TEXT bytes."""
    data = message(wire, value)
    if len(data) > MAX_TEXT:
        raise PackageError(f"a name of {len(data)} bytes, at most {MAX_TEXT} are read")
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as cause:
        raise malformed() from cause


def malformed() -> PackageError:
    """The bytes are not protobuf."""
    return PackageError("not a whole ONNX model", hint="copy the package again, as a whole")
