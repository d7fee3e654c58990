"""The operators of opset 18 that a graph may use, with the attributes that each may have.

They are what exporting can produce: torch's core operators and their gradients as the exporter
translates them (a recurrent cell is products and sigmoids then), an LSTM over the support set, the
frozen backbones that are composed in front, and an `embed` of 8 bits. What it cannot produce is
left out: fewer kernels of onnxruntime are within reach of a file from anybody. kernels.py and
sizes.py say what else some of them need; tests/hostile/fuzz.py found GRU's to end the process.

Attributes and constants of a file are read here and held to the table; `of_outputs` says of which
element types an operator's outputs are.

`python -m handful.runtime.vetting.operators > exported/operators.json` brings the table for other
languages up to date.
"""

import json
import math
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from handful.runtime.errors import PackageError

from . import protobuf as pb

OPSET, IR_VERSION = 18, 8
ELEMENT_TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 11: "float64",
}  # fmt: skip
STORED_TYPES = {**ELEMENT_TYPES, 10: "float16"}  # of constants; a Cast makes float32 of them
MAX_ENTRIES = 64  # of an attribute that is a list
AXES = 8


@dataclass(frozen=True)
class Attribute:
    """What an attribute's value may be; a list's bounds are those of each entry."""

    type: Literal["int", "ints", "float", "floats", "string", "strings", "tensor"]
    min: int | None = None
    max: int | None = None
    values: tuple[str, ...] = ()  # of a string; empty: any


FLAG = Attribute("int", 0, 1)
FLOAT = Attribute("float")
AXIS = Attribute("int", -AXES, AXES)
LARGE = 2**16

POOLED = {  # of a window that moves over a picture
    "auto_pad": Attribute("string", values=("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")),
    "kernel_shape": Attribute("ints", 1, 1024),
    "pads": Attribute("ints", 0, 1024),
    "strides": Attribute("ints", 1, 1024),
}
PICTURES = {**POOLED, "dilations": Attribute("ints", 1, 1024)}
CONVOLUTION = {**PICTURES, "group": Attribute("int", 1, LARGE)}
REDUCTION = {"keepdims": FLAG, "noop_with_empty_axes": FLAG}
EXTREME = {"axis": AXIS, "keepdims": FLAG, "select_last_index": FLAG}
SCATTER = {"reduction": Attribute("string", values=("none", "add", "mul", "min", "max"))}

PLAIN = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh Ceil Clip Cos Cosh Div Equal Erf Exp Expand Floor
    GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual HardSwish Identity IsNaN Less LessOrEqual
    Log MatMul Max Min Mul Neg Not Or PRelu Pow Range Reciprocal Relu Round Sigmoid Sign Sin
    Sinh Size Slice Softplus Softsign Sqrt Squeeze Sub Sum Tan Tanh Tile Unsqueeze Where Xor
"""  # no attributes
REDUCTIONS = "ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd"

OPERATORS: dict[str, dict[str, Attribute]] = {
    **{name: {} for name in PLAIN.split()},
    **{name: REDUCTION for name in (*REDUCTIONS.split(), "ReduceSum", "ReduceSumSquare")},
    "ArgMax": EXTREME,
    "ArgMin": EXTREME,
    "AveragePool": {**POOLED, "ceil_mode": FLAG, "count_include_pad": FLAG},
    "BatchNormalization": {
        "epsilon": FLOAT,
        "momentum": FLOAT,
        "training_mode": Attribute("int", 0, 0),
    },
    "Cast": {"to": Attribute("int", 1, max(ELEMENT_TYPES))},
    "Celu": {"alpha": FLOAT},
    "Concat": {"axis": AXIS},
    "Constant": {
        "value": Attribute("tensor"),
        "value_float": FLOAT,
        "value_floats": Attribute("floats"),
        "value_int": Attribute("int"),
        "value_ints": Attribute("ints"),
    },
    "ConstantOfShape": {"value": Attribute("tensor")},
    "Conv": CONVOLUTION,
    "ConvTranspose": {
        **CONVOLUTION,
        "output_padding": Attribute("ints", 0, 1024),
        "output_shape": Attribute("ints", 1, LARGE),
    },
    "CumSum": {"exclusive": FLAG, "reverse": FLAG},
    "DequantizeLinear": {"axis": AXIS},
    "Elu": {"alpha": FLOAT},
    "EyeLike": {
        "dtype": Attribute("int", 1, max(ELEMENT_TYPES)),
        "k": Attribute("int", -LARGE, LARGE),
    },
    "Flatten": {"axis": AXIS},
    "Gather": {"axis": AXIS},
    "GatherElements": {"axis": AXIS},
    "GatherND": {"batch_dims": Attribute("int", 0, 0)},
    "Gemm": {"alpha": FLOAT, "beta": FLOAT, "transA": FLAG, "transB": FLAG},
    "HardSigmoid": {"alpha": FLOAT, "beta": FLOAT},
    "LSTM": {
        "direction": Attribute("string", values=("forward", "bidirectional")),
        "hidden_size": Attribute("int", 1, 4096),
        "input_forget": Attribute("int", 0, 0),
        "layout": Attribute("int", 0, 0),
    },
    "LayerNormalization": {"axis": AXIS, "epsilon": FLOAT, "stash_type": Attribute("int", 1, 1)},
    "LeakyRelu": {"alpha": FLOAT},
    "LogSoftmax": {"axis": AXIS},
    "MaxPool": {**PICTURES, "ceil_mode": FLAG, "storage_order": Attribute("int", 0, 0)},
    "Mod": {"fmod": FLAG},
    "Pad": {"mode": Attribute("string", values=("constant",))},
    "QuantizeLinear": {"axis": AXIS},
    "Reshape": {"allowzero": FLAG},
    "ScatterElements": {"axis": AXIS, **SCATTER},
    "ScatterND": SCATTER,
    "Selu": {"alpha": FLOAT, "gamma": FLOAT},
    "Shape": {"end": Attribute("int", -AXES, AXES), "start": Attribute("int", -AXES, AXES)},
    "Softmax": {"axis": AXIS},
    "Split": {"axis": AXIS, "num_outputs": Attribute("int", 1, 1024)},
    "TopK": {"axis": AXIS, "largest": FLAG, "sorted": FLAG},
    "Transpose": {"perm": Attribute("ints", 0, AXES - 1)},
}

CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
RANDOM = (
    "Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
)  # fmt: skip


def table() -> dict[str, Any]:
    """The same for any language: what stands in exported/operators.json."""

    def entry(attribute: Attribute) -> dict[str, Any]:
        return {key: value for key, value in asdict(attribute).items() if value not in (None, ())}

    return {
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "element_types": {str(number): name for number, name in ELEMENT_TYPES.items()},
        "stored_types": {str(number): name for number, name in STORED_TYPES.items()},
        "operators": {
            op: {name: entry(attribute) for name, attribute in sorted(OPERATORS[op].items())}
            for op in sorted(OPERATORS)
        },
        "control_flow": sorted(CONTROL_FLOW),
        "random": sorted(RANDOM),
    }


def text() -> str:
    """The committed file's content."""
    return json.dumps(table(), indent=2) + "\n"


MAX_ELEMENTS = 2**27
SHORT = 64  # int64 values that are looked at: shapes, divisors
NONE = "the format allows none, see docs/package-format.md"
INT64 = 7
FLOAT32, BOOL, FLOAT16 = 1, 9, 10
FLOATING = (FLOAT32, 11)
LOGICAL = frozenset("And Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Not Or Xor".split())
COUNTS = frozenset(("ArgMax", "ArgMin", "Shape", "Size"))
INDICES = ("MaxPool", "TopK")  # whose second output are indices
# the input whose type the output has; the first elsewhere
LIKE = {"DequantizeLinear": 1, "QuantizeLinear": 2, "Where": 1}

# Field numbers of TensorProto in onnx.proto; a field that is not named here is refused.
TENSOR = {
    1: "dims", 2: "type", 4: "floats", 5: "ints", 7: "longs", 8: "name", 9: "raw", 10: "doubles",
    12: "", 14: "location", 16: "",
}  # fmt: skip
REPEATED_OF_TENSOR = frozenset((1, 4, 5, 7, 10, 16))
REFUSED_OF_TENSOR = {3: "segments", 6: "strings", 11: "unsigned 64-bit data", 13: "external data"}
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


def read_constant(walk: pb.Walker, data: memoryview) -> Constant:
    """The constant in `data`, a TensorProto."""
    dims: list[int] = []
    longs: list[int] = []
    listed: dict[str, int] = {}
    name, element, raw = "", 0, None
    for number, wire, value in walk(data, REPEATED_OF_TENSOR):
        kind = name_known(number, TENSOR, REFUSED_OF_TENSOR, "a constant")
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
    return _check_constant(name, element, dims, raw, listed, longs)


def _check_constant(
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


def name_known(number: int, fields: dict[int, str], refused: dict[int, str], where: str) -> str:
    """What the field `number` is; a PackageError where the format allows none."""
    if number in fields:
        return fields[number]
    what = refused.get(number, f"an unknown field {number}")
    raise PackageError(f"{where} has {what}", hint=NONE)


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


def read_attribute(walk: pb.Walker, data: memoryview, op: str) -> tuple[str, Value]:
    """The name and value of an attribute of `op`, as the table of operators allows it."""
    entry = _Read()
    for number, wire, value in walk(data, REPEATED):
        kind = name_known(number, FIELDS, REFUSED, f"an attribute of {op}")
        if kind == "name":
            entry.name = pb.text(wire, value)
        elif kind == "type":
            entry.type = TYPES.get(pb.number(wire, value), "")
        elif kind == "tensor":
            entry.one[kind] = read_constant(walk, pb.message(wire, value))
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
    _check_allowed(op, entry)
    return entry.name, entry.value


def _floats(wire: int, value: pb.Value) -> list[float]:
    count = pb.fixed_count(wire, value, 4)
    if isinstance(value, int) or not count:
        raise pb.malformed()
    if count > MAX_ENTRIES:
        raise PackageError(f"a list of more than {MAX_ENTRIES} numbers")
    return list(struct.unpack(f"<{count}f", value))


def _check_allowed(op: str, entry: _Read) -> None:
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


def of_outputs(
    op: str, attributes: Mapping[str, Value], inputs: Sequence[int | None], count: int
) -> list[int | None]:
    """The types of the `count` outputs of a node; None where that of its input is not known."""
    if op in LOGICAL:
        return [BOOL] * count
    if op in COUNTS:
        return [INT64] * count
    at = LIKE.get(op, 0)
    first = inputs[at] if at < len(inputs) else None
    if op in ("Constant", "ConstantOfShape"):
        first = _constant_type(attributes)
    for name in ("to", "dtype"):  # of Cast and EyeLike
        declared = attributes.get(name)
        if isinstance(declared, int):
            first = declared
    if op in INDICES:
        return [first, INT64, *[None] * count][:count]
    return [first] * count


def _constant_type(attributes: Mapping[str, Value]) -> int:
    """The type of what Constant and ConstantOfShape give."""
    for name, value in attributes.items():
        if isinstance(value, Constant):
            return value.element
        if name.startswith("value_int"):
            return INT64
    return FLOAT32


if __name__ == "__main__":
    sys.stdout.write(text())
