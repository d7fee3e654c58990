"""Vetting ONNX bytes before onnxruntime sees them: only what format 1 allows, nothing outside."""

import math
from collections import Counter
from dataclasses import dataclass, field

from handful.runtime.errors import PackageError

from . import protobuf as pb
from .operators import ALLOWED, CONTROL_FLOW, RANDOM

IR_VERSION, OPSET = 8, 18
MAX_NODES = 20_000
MAX_ELEMENTS = 2**27  # of a constant
MAX_MADE = 2**24  # elements of what a constant shape asks for
MAX_ATTRIBUTES = 64  # of a node
TYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 2: "uint8", 3: "int8", 11: "float64"}
WIDTH = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 11: 8}

Shape = tuple[int | str, ...]
NONE = "format 1 allows none, see docs/package-format.md"

# Field numbers of onnx.proto; a field that is not named here is refused.
MODEL = {1: "ir", 2: "", 3: "", 4: "", 5: "", 6: "", 7: "graph", 8: "opset", 14: ""}
MODEL_REFUSED = {20: "training info", 25: "functions", 26: "device configurations"}
GRAPH = {1: "node", 2: "", 5: "initializer", 10: "", 11: "input", 12: "output", 13: "", 16: ""}
GRAPH_REFUSED = {14: "quantisation annotations", 15: "sparse initialisers"}
NODE = {1: "", 2: "output", 3: "", 4: "op", 5: "attribute", 6: "", 7: "domain", 9: ""}
NODE_REFUSED = {8: "an overload", 10: "device configurations"}
ATTRIBUTE = {
    **dict.fromkeys((2, 3, 4, 7, 9, 13, 20), ""), 1: "name", 5: "tensor", 8: "ints", 10: "tensor"
}  # fmt: skip
ATTRIBUTE_REFUSED = {
    6: "a subgraph", 11: "a subgraph", 14: "a type", 15: "a type",
    21: "a function's attribute", 22: "a sparse tensor", 23: "a sparse tensor",
}  # fmt: skip
TENSOR = {
    1: "dims", 2: "type", 4: "floats", 5: "ints", 7: "longs", 8: "name", 9: "raw", 10: "doubles",
    12: "", 14: "location", 16: "",
}  # fmt: skip
TENSOR_REFUSED = {3: "segments", 6: "strings", 11: "unsigned 64-bit data", 13: "external data"}


@dataclass
class Vetted:
    """What the walk found in a model that passed."""

    operators: Counter[str] = field(default_factory=Counter)
    inputs: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    outputs: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    parameters: int = 0
    constants: dict[str, list[int]] = field(default_factory=dict)  # short int64 ones, for shapes


def vet(data: bytes, name: str) -> Vetted:
    """Raise a PackageError that begins with `name` unless the model is one the format allows."""
    found = Vetted()
    try:
        _model(memoryview(data), found)
    except PackageError as error:
        raise PackageError(f"{name}: {error}", hint=error.hint) from error
    return found


def _known(number: int, known: dict[int, str], refused: dict[int, str], where: str) -> str:
    if number in known:
        return known[number]
    what = refused.get(number, f"an unknown field {number}")
    raise PackageError(f"{where} has {what}", hint=NONE)


def _model(data: memoryview, found: Vetted) -> None:
    graphs, opsets, versions = 0, 0, 0
    for number, wire, value in pb.walk(data):
        kind = _known(number, MODEL, MODEL_REFUSED, "the model")
        if kind == "ir":
            versions += 1
            if (ir := pb.number(wire, value)) != IR_VERSION:
                raise PackageError(f"IR version {ir}, wanted {IR_VERSION}")
        elif kind == "graph":
            graphs += 1
            _graph(pb.message(wire, value), found)
        elif kind == "opset":
            opsets += 1
            _opset(pb.message(wire, value))
    if not (graphs == opsets == versions == 1):
        raise pb.malformed()


def _opset(data: memoryview) -> None:
    version = 0
    for number, wire, value in pb.walk(data):
        if number == 1 and (domain := pb.text(wire, value)) not in ("", "ai.onnx"):
            raise PackageError(f"operators of domain {domain[:60]!r}, wanted the standard domain")
        if number == 2:
            version = pb.number(wire, value)
    if version != OPSET:
        raise PackageError(f"opset {version}, wanted {OPSET}")


def _graph(data: memoryview, found: Vetted) -> None:
    nodes: list[tuple[str, list[str]]] = []
    for number, wire, value in pb.walk(data):
        kind = _known(number, GRAPH, GRAPH_REFUSED, "the graph")
        if kind == "node":
            nodes.append(_node(pb.message(wire, value), found))
            if len(nodes) > MAX_NODES:
                raise PackageError(f"more than {MAX_NODES} nodes")
        elif kind == "initializer":
            _tensor(pb.message(wire, value), found, "")
        elif kind in ("input", "output"):
            name, spec = _value_info(pb.message(wire, value))
            (found.inputs if kind == "input" else found.outputs)[name] = spec
    for op, names in nodes:
        _constant_shape(op, names, found)


def _node(data: memoryview, found: Vetted) -> tuple[str, list[str]]:
    op, inputs, outputs, attributes = "", [], [], []
    for number, wire, value in pb.walk(data):
        kind = _known(number, NODE, NODE_REFUSED, "a node")
        if number == 1:
            inputs.append(pb.text(wire, value))
        elif kind == "output":
            outputs.append(pb.text(wire, value))
        elif kind == "op":
            op = pb.text(wire, value)
        elif kind == "domain" and (domain := pb.text(wire, value)) not in ("", "ai.onnx"):
            raise PackageError(f"an operator of domain {domain[:60]!r}, wanted the standard domain")
        elif kind == "attribute":
            attributes.append(pb.message(wire, value))
    _operator(op)
    if len(attributes) > MAX_ATTRIBUTES:
        raise PackageError(f"a {op} with {len(attributes)} attributes, at most {MAX_ATTRIBUTES}")
    for attribute in attributes:
        _attribute(attribute, found, op, outputs[0] if op == "Constant" and outputs else "")
    found.operators[op] += 1
    return op, inputs


def _operator(op: str) -> None:
    if op in ALLOWED:
        return
    why = "not one that format 1 allows"
    if op in CONTROL_FLOW:
        why = "control flow"
    elif op in RANDOM:
        why = "random; noise is an input"
    raise PackageError(f"operator {op[:60]!r} is {why}", hint="see docs/package-format.md")


def _attribute(data: memoryview, found: Vetted, op: str, output: str) -> None:
    name, ints = "", []
    for number, wire, value in pb.walk(data):
        kind = _known(number, ATTRIBUTE, ATTRIBUTE_REFUSED, f"an attribute of {op}")
        if kind == "name":
            name = pb.text(wire, value)
        elif kind == "tensor":
            _tensor(pb.message(wire, value), found, output)
        elif kind == "ints":
            ints += pb.integers(wire, value)
    if output and name == "value_ints":
        found.constants[output] = ints


def _tensor(data: memoryview, found: Vetted, output: str) -> None:
    """Check one constant: data inside the file, of the size its shape says."""
    dims: list[int] = []
    name, element, raw, listed = "", 0, None, 0
    longs: list[int] = []
    for number, wire, value in pb.walk(data):
        kind = _known(number, TENSOR, TENSOR_REFUSED, "a constant")
        if kind == "dims":
            dims += pb.integers(wire, value)
        elif kind == "type":
            element = pb.number(wire, value)
        elif kind == "name":
            name = pb.text(wire, value)
        elif kind == "raw":
            raw = pb.message(wire, value)
        elif kind == "location" and pb.number(wire, value) != 0:
            raise PackageError("a constant has external data", hint=NONE)
        elif kind == "longs":
            longs += pb.integers(wire, value)
        elif kind == "ints":
            listed += len(pb.integers(wire, value))
        elif kind in ("floats", "doubles"):
            width = 4 if kind == "floats" else 8
            listed += len(value) // width if isinstance(value, memoryview) else 1
    if element not in WIDTH:
        raise PackageError(f"constant {name[:60]!r} has element type {element}, wanted a number")
    size = _size(dims, name)
    present = len(raw) / WIDTH[element] if raw is not None else listed + len(longs)
    if present != size:
        raise PackageError(f"constant {name[:60]!r} has {present:g} values, its shape {dims}")
    found.parameters += size if element == 1 else 0
    if element == 7 and size <= 64:
        found.constants[output or name] = pb.fixed_integers(raw) if raw is not None else longs


def _size(dims: list[int], name: str) -> int:
    if any(dim < 0 for dim in dims) or math.prod(dims) > MAX_ELEMENTS:
        raise PackageError(
            f"constant {name[:60]!r} has shape {dims}, at most {MAX_ELEMENTS} values are read"
        )
    return math.prod(dims)


def _constant_shape(op: str, inputs: list[str], found: Vetted) -> None:
    """A short file must not make a huge tensor while constants are folded."""
    at = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}.get(op)
    if at is None or len(inputs) <= at:
        return
    shape = found.constants.get(inputs[at], [])
    if math.prod(max(size, 1) for size in shape) > MAX_MADE:
        raise PackageError(f"{op} makes a tensor of shape {shape}, at most {MAX_MADE} values")


def _value_info(data: memoryview) -> tuple[str, tuple[str, Shape]]:
    name = ""
    spec: tuple[str, Shape] = ("", ())
    for number, wire, value in pb.walk(data):
        if number == 1:
            name = pb.text(wire, value)
        elif number == 2:
            for inner, wire_, value_ in pb.walk(pb.message(wire, value)):
                if inner == 1:
                    spec = _tensor_type(pb.message(wire_, value_))
                elif inner != 6:  # a denotation
                    raise PackageError("an input or output is not a tensor")
    return name, spec


def _tensor_type(data: memoryview) -> tuple[str, Shape]:
    element, shape = 0, []
    for number, wire, value in pb.walk(data):
        if number == 1:
            element = pb.number(wire, value)
        elif number == 2:
            for inner, wire_, value_ in pb.walk(pb.message(wire, value)):
                if inner == 1:
                    shape.append(_dimension(pb.message(wire_, value_)))
    return TYPES.get(element, f"type {element}"), tuple(shape)


def _dimension(data: memoryview) -> int | str:
    size: int | str = "?"
    for number, wire, value in pb.walk(data):
        if number == 1:
            size = pb.number(wire, value)
        elif number == 2:
            size = pb.text(wire, value)
    return size
