"""Vetting ONNX bytes before onnxruntime sees them: only what the format allows, nothing outside."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from handful.runtime.errors import PackageError

from . import kernels, operators
from . import protobuf as pb
from .kernels import Known, Node
from .operators import (
    AXES,
    CONTROL_FLOW,
    ELEMENT_TYPES,
    FLOAT16,
    FLOAT32,
    HINT,
    INT64,
    IR_VERSION,
    OPERATORS,
    OPSET,
    RANDOM,
    Constant,
    Value,
    name_known,
    of_outputs,
)  # fmt: skip
from .sizes import Follower

MAX_NODES = 20_000
MAX_FIELDS = 2**19  # of protobuf in one model: 26 for each of the most nodes
MAX_ATTRIBUTES = 64  # of a node
PARAMETERS = (FLOAT32, FLOAT16, kernels.INT8)  # as weights are stored

Shape = tuple[int | str, ...]

# Field numbers of onnx.proto; a field that is not named here is refused.
MODEL = {1: "ir", 2: "", 3: "", 4: "", 5: "", 6: "", 7: "graph", 8: "opset", 14: ""}
MODEL_REPEATED = frozenset((8, 14))
MODEL_REFUSED = {20: "training info", 25: "functions", 26: "device configurations"}
GRAPH = {1: "node", 2: "", 5: "initializer", 10: "", 11: "input", 12: "output", 13: "", 16: ""}
GRAPH_REPEATED = frozenset((1, 5, 11, 12, 13, 16))
GRAPH_REFUSED = {14: "quantisation annotations", 15: "sparse initialisers"}
NODE = {
    1: "input", 2: "output", 3: "", 4: "op", 5: "attribute", 6: "", 7: "domain", 9: "",
}  # fmt: skip
NODE_REPEATED = frozenset((1, 2, 5, 9))
NODE_REFUSED = {8: "an overload", 10: "device configurations"}

PORT_REPEATED = frozenset((4,))  # metadata
SHAPE_REPEATED = frozenset((1,))


@dataclass
class Vetted:
    """What the walk found in a model that passed."""

    operators: Counter[str] = field(default_factory=Counter)
    inputs: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    outputs: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    parameters: int = 0


def vet(data: bytes, name: str) -> Vetted:
    """Raise a PackageError that begins with `name` unless the model is one the format allows."""
    vetter = _Vetter()
    try:
        vetter.model(memoryview(data))
    except PackageError as error:
        raise PackageError(f"{name}: {error}", hint=error.hint) from error
    return vetter.vetted


class _Vetter:
    """One walk over one model, and what it has learnt so far."""

    def __init__(self) -> None:
        self.walk = pb.Walker(MAX_FIELDS)
        self.vetted = Vetted()
        self.known = Known()
        self.sizes = Follower()

    def model(self, data: memoryview) -> None:
        """The whole file, a ModelProto."""
        counts: Counter[str] = Counter()
        graph = memoryview(b"")
        for number, wire, value in self.walk(data, MODEL_REPEATED):
            kind = name_known(number, MODEL, MODEL_REFUSED, "the model")
            counts[kind] += 1
            if kind == "ir" and (version := pb.number(wire, value)) != IR_VERSION:
                raise PackageError(f"IR version {version}, wanted {IR_VERSION}")
            if kind == "graph":
                graph = pb.message(wire, value)
            elif kind == "opset":
                self._opset(pb.message(wire, value))
        if counts["opset"] > 1:
            raise PackageError(f"{counts['opset']} operator sets, wanted one", hint=HINT)
        if not (counts["graph"] == counts["opset"] == counts["ir"] == 1):
            raise pb.malformed()
        self._graph(graph)

    def _opset(self, data: memoryview) -> None:
        version = 0
        for number, wire, value in self.walk(data):
            if number == 1 and (domain := pb.text(wire, value)) not in ("", "ai.onnx"):
                raise PackageError(
                    f"operators of domain {domain[:60]!r}, wanted the standard domain"
                )
            if number == 2:
                version = pb.number(wire, value)
        if version != OPSET:
            raise PackageError(f"opset {version}, wanted {OPSET}")

    def _graph(self, data: memoryview) -> None:
        """Inputs and constants first, then the nodes, which a file writes before them."""
        nodes: list[memoryview] = []
        for number, wire, value in self.walk(data, GRAPH_REPEATED):
            kind = name_known(number, GRAPH, GRAPH_REFUSED, "the graph")
            if kind == "node":
                nodes.append(pb.message(wire, value))
                if len(nodes) > MAX_NODES:
                    raise PackageError(f"more than {MAX_NODES} nodes")
            elif kind == "initializer":
                constant = operators.read_constant(self.walk, pb.message(wire, value))
                self._define(constant.name, constant.element)
                self._keep(constant.name, constant)
            elif kind == "input":
                name, element = self._port(pb.message(wire, value), self.vetted.inputs)
                self._define(name, element)
                self.sizes.note_input(name, self.vetted.inputs[name][1])
            elif kind == "output":
                self._port(pb.message(wire, value), self.vetted.outputs)
        for node in nodes:
            self._node(node)

    def _node(self, data: memoryview) -> None:
        node = self._read(data)
        self.vetted.operators[node.op] += 1
        for name in node.inputs:
            if name not in self.known.types:
                raise PackageError(
                    f"a {node.op} reads {name[:60]!r}, which nothing before it gives"
                )
        if node.op == "Constant" and len(node.attributes) != 1:
            raise PackageError(
                f"a Constant with {len(node.attributes)} attributes, wanted one", hint=HINT
            )
        kernels.check_memory(node, self.known)
        kernels.check_quantised(node, self.known)
        kinds = [self.known.types[name] for name in node.inputs]
        elements = of_outputs(node.op, node.attributes, kinds, len(node.outputs))
        for name, element in zip(node.outputs, elements, strict=True):
            if name:
                self._define(name, element)
        self.sizes.note_node(node.op, node.inputs, node.outputs, node.attributes)
        if node.op == "Constant" and node.outputs:
            for value in node.attributes.values():
                self._keep(node.outputs[0], value)
        kernels.note_sequence(node, self.known)
        kernels.note_dequantised(node, self.known)

    def _read(self, data: memoryview) -> Node:
        node = Node("", [], [], {})
        raw: list[memoryview] = []
        for number, wire, value in self.walk(data, NODE_REPEATED):
            kind = NODE.get(number) or name_known(number, NODE, NODE_REFUSED, "a node")
            if kind == "input":
                node.inputs.append(pb.text(wire, value))
            elif kind == "output":
                node.outputs.append(pb.text(wire, value))
            elif kind == "op":
                node.op = pb.text(wire, value)
            elif kind == "domain" and (domain := pb.text(wire, value)) not in ("", "ai.onnx"):
                raise PackageError(
                    f"an operator of domain {domain[:60]!r}, wanted the standard domain"
                )
            elif kind == "attribute":
                raw.append(pb.message(wire, value))
        _operator(node.op)
        if len(raw) > MAX_ATTRIBUTES:
            raise PackageError(f"a {node.op} with {len(raw)} attributes, at most {MAX_ATTRIBUTES}")
        for attribute in raw:
            name, content = operators.read_attribute(self.walk, attribute, node.op)
            if name in node.attributes:
                raise PackageError(f"a {node.op} with two attributes {name!r}", hint=HINT)
            node.attributes[name] = content
        return node

    def _define(self, name: str, element: int | None) -> None:
        if name in self.known.types:
            raise PackageError(f"two tensors are called {name[:60]!r}", hint=HINT)
        self.known.types[name] = element

    def _keep(self, name: str, value: Value) -> None:
        """Note the shape of a constant, and the values of a short one of type int64."""
        if isinstance(value, Constant):
            self.vetted.parameters += value.size if value.element in PARAMETERS else 0
            self.known.shapes[name] = value.shape
            self.sizes.note_constant(name, value.shape, value.values)
            if value.values is not None:
                self.known.constants[name] = value.values
        elif self.known.types.get(name) == INT64:
            self.known.constants[name] = [
                int(v) for v in (value if isinstance(value, list) else [value])
            ]
        if not isinstance(value, Constant):
            shape = (len(value),) if isinstance(value, list) else ()
            self.sizes.note_constant(name, shape, self.known.constants.get(name))

    def _port(
        self, data: memoryview, ports: dict[str, tuple[str, Shape]]
    ) -> tuple[str, int | None]:
        """An input or output of the graph, noted in `ports`: its name and element type."""
        name, element = "", 0
        shape: Shape = ()
        for number, wire, value in self.walk(data, PORT_REPEATED):
            if number == 1:
                name = pb.text(wire, value)
            elif number == 2:
                for inner, wire_, value_ in self.walk(pb.message(wire, value)):
                    if inner == 1:
                        element, shape = self._tensor_type(pb.message(wire_, value_))
                    elif inner != 6:  # a denotation
                        raise PackageError("an input or output is not a tensor")
        if name in ports:
            raise PackageError(f"two tensors are called {name[:60]!r}", hint=HINT)
        ports[name] = ELEMENT_TYPES.get(element, f"type {element}"), shape
        return name, element

    def _tensor_type(self, data: memoryview) -> tuple[int, Shape]:
        element = 0
        shape: Shape | None = None
        for number, wire, value in self.walk(data):
            if number == 1:
                element = pb.number(wire, value)
            elif number == 2:
                shape = tuple(self._dimensions(pb.message(wire, value)))
        if shape is None or len(shape) > AXES:
            raise PackageError(
                f"an input or output has no shape, or one of more than {AXES} axes", hint=HINT
            )
        return element, shape

    def _dimensions(self, data: memoryview) -> Iterator[int | str]:
        for number, wire, value in self.walk(data, SHAPE_REPEATED):
            if number == 1:
                size: int | str = "?"
                for inner, wire_, value_ in self.walk(pb.message(wire, value)):
                    if inner == 1:
                        size = pb.number(wire_, value_)
                    elif inner == 2:
                        size = pb.text(wire_, value_)
                yield size


def _operator(op: str) -> None:
    if op in OPERATORS:
        return
    why = "not one that the format allows"
    if op in CONTROL_FLOW:
        why = "control flow"
    elif op in RANDOM:
        why = "random; noise is an input"
    raise PackageError(f"operator {op[:60]!r} is {why}", hint=HINT)
