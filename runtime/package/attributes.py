"""An operator's attributes, held to the table of operators."""

import struct
from dataclasses import dataclass, field

from handful.runtime.errors import PackageError

from . import constants
from . import protobuf as pb
from .constants import NONE, Constant, known
from .operators import ELEMENT_TYPES, MAX_ENTRIES, OPERATORS, Attribute

# Field numbers of AttributeProto in onnx.proto; a field that is not named here is refused.
FIELDS = {
    1: "name", 2: "float", 3: "int", 4: "string", 5: "tensor", 7: "floats", 8: "ints",
    9: "strings", 13: "", 20: "type",
}  # fmt: skip
REPEATED = frozenset((7, 8, 9))
REFUSED = {
    6: "a subgraph", 10: "tensors", 11: "a subgraph", 14: "a type", 15: "a type",
    21: "a function's attribute", 22: "a sparse tensor", 23: "a sparse tensor",
}  # fmt: skip
TYPES = {
    1: "float", 2: "int", 3: "string", 4: "tensor", 6: "floats", 7: "ints", 8: "strings",
}  # fmt: skip
OF_TYPES = ("to", "dtype")  # attributes that name an element type
SHOWN = 120  # characters of a value in a message
HINT = "see docs/package-format.md"

Value = int | list[int] | float | list[float] | str | list[str] | Constant


@dataclass
class _Read:
    """The fields of one AttributeProto."""

    name: str = ""
    type: str = ""
    one: dict[str, Value] = field(default_factory=dict)
    floats: list[float] = field(default_factory=list)
    ints: list[int] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)

    @property
    def value(self) -> Value:
        """The value of the type that is named, which is the one that onnxruntime takes."""
        lists: dict[str, Value] = {
            "floats": self.floats,
            "ints": self.ints,
            "strings": self.strings,
        }
        zero: dict[str, Value] = {"float": 0.0, "int": 0, "string": ""}
        if self.type in lists:
            return lists[self.type]
        if self.type not in self.one and self.type not in zero:
            raise pb.malformed()
        return self.one.get(self.type, zero.get(self.type, 0))


def read(walk: pb.Walker, data: memoryview, op: str) -> tuple[str, Value]:
    """The name and value of an attribute of `op`, as the table of operators allows it."""
    entry = _Read()
    for number, wire, value in walk(data, REPEATED):
        kind = known(number, FIELDS, REFUSED, f"an attribute of {op}")
        if kind == "name":
            entry.name = pb.text(wire, value)
        elif kind == "type":
            entry.type = TYPES.get(pb.number(wire, value), "")
        elif kind == "tensor":
            entry.one[kind] = constants.read(walk, pb.message(wire, value))
        elif kind == "int":
            entry.one[kind] = pb.number(wire, value)
        elif kind == "string":
            entry.one[kind] = pb.text(wire, value)
        elif kind == "strings":
            entry.strings.append(pb.text(wire, value))
        elif kind == "float":
            entry.one[kind] = _floats(wire, value)[0]
        elif kind == "floats":
            entry.floats += _floats(wire, value)
        elif kind == "ints":
            entry.ints += pb.integers(wire, value, MAX_ENTRIES)
        if max(len(entry.ints), len(entry.floats), len(entry.strings)) > MAX_ENTRIES:
            raise PackageError(f"a list of more than {MAX_ENTRIES} entries in an attribute of {op}")
    _allowed(op, entry)
    return entry.name, entry.value


def _floats(wire: int, value: pb.Value) -> list[float]:
    count = pb.fixed_count(wire, value, 4)
    if isinstance(value, int) or not count:
        raise pb.malformed()
    if count > MAX_ENTRIES:
        raise PackageError(f"a list of more than {MAX_ENTRIES} numbers")
    return list(struct.unpack(f"<{count}f", value))


def _allowed(op: str, entry: _Read) -> None:
    rules = OPERATORS[op]
    if entry.name not in rules:
        raise PackageError(f"{op} has an attribute {entry.name[:60]!r}, {NONE}", hint=HINT)
    rule = rules[entry.name]
    if entry.type != rule.type:
        raise PackageError(
            f"attribute {entry.name!r} of {op} is of type {entry.type or 'unknown'}, "
            f"wanted {rule.type}",
            hint=HINT,
        )
    value = entry.value
    ok = _fits(value, rule)
    if entry.name in OF_TYPES:
        ok = ok and value in ELEMENT_TYPES
    if not ok:
        raise PackageError(
            f"attribute {entry.name!r} of {op} is {str(value)[:SHOWN]}, wanted {_words(rule)}",
            hint=HINT,
        )


def _fits(value: Value, rule: Attribute) -> bool:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if isinstance(entry, int) and not (
            (rule.min is None or entry >= rule.min) and (rule.max is None or entry <= rule.max)
        ):
            return False
        if isinstance(entry, str) and rule.values and entry not in rule.values:
            return False
    return True


def _words(rule: Attribute) -> str:
    if rule.values:
        return "one of " + ", ".join(rule.values)
    each = " each" if rule.type == "ints" else ""
    return f"{rule.min}{each}" if rule.min == rule.max else f"{rule.min} to {rule.max}{each}"
