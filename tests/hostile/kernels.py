"""Random small graphs of allowed operators: do the kernels within reach of a file hold?

Every node gets inputs of the kinds that its operator wants, of shapes that may not fit, empty axes
among them, and attributes at the ends of what is allowed.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from handful.runtime.vetting.operators import OPERATORS, Attribute

from . import eight_bits

# f floats, i indices (int64), j the same in int32, s a short list of sizes, b booleans, c a count
KINDS = {
    **dict.fromkeys("Add Atan2 Div Equal Greater GreaterOrEqual Less LessOrEqual MatMul Max Min "
                    "Mul PRelu Pow Sub Sum".split(), "ff"),
    **dict.fromkeys("And Or Xor".split(), "bb"),
    **dict.fromkeys("Clip Gemm LayerNormalization Conv ConvTranspose".split(), "fff"),
    **dict.fromkeys("Gather GatherElements GatherND".split(), "fi"),
    **dict.fromkeys("ScatterElements ScatterND".split(), "fif"),
    **dict.fromkeys("Expand Reshape Tile Squeeze Unsqueeze Split".split(), "fs"),
    "BatchNormalization": "fffff", "Constant": "", "ConstantOfShape": "s", "CumSum": "fc",
    "Mod": "ii", "Not": "b", "Pad": "fs", "Range": "ccc", "Slice": "fssss",
    "TopK": "fc", "Where": "bff",
}  # fmt: skip
REDUCTIONS = [op for op in OPERATORS if op.startswith("Reduce")]
SIZES = (0, 1, 1, 2, 2, 3, 4, 5)
CHANNELS = (*SIZES, 8, 12, 16, 32, 64)  # some kernels take them in blocks of 8 or 16


def spoil(model: Any, rng: random.Random, *, groups: bool = False) -> None:
    """Put one to three random nodes into a graph that reads `support_x` and gives `c`.

    With `groups` the first is a group of 8-bit tensors.
    """
    graph = model.graph
    (last,) = [node for node in graph.node if "c" in node.output]
    last.output[:] = ["honest"]
    maker = _Maker(graph, rng)
    if groups:
        output = eight_bits.group(graph, rng, "later", "q")
    else:
        output = maker.node(rng.choice(list(OPERATORS)))
    for _ in range(rng.choice((0, 0, 1, 2))):
        output = maker.node(rng.choice(list(OPERATORS)), output)
    graph.node.extend(
        [
            helper.make_node("Cast", [output], ["as_float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["as_float"], ["total"], keepdims=0),
            helper.make_node("Mul", ["total", "nothing"], ["weighed"]),
            helper.make_node("Add", ["honest", "weighed"], ["c"]),
        ]
    )


class _Maker:
    """Nodes and constants, added to a graph under new names."""

    def __init__(self, graph: Any, rng: random.Random) -> None:
        self.graph, self.rng, self.count = graph, rng, 0
        self.constant("nothing", np.float32(0))
        graph.node.extend(  # nothing, but not before the graph runs
            [
                helper.make_node("ReduceSum", ["support_x"], ["sum_x"], keepdims=0),
                helper.make_node("Mul", ["sum_x", "nothing"], ["later"]),
                helper.make_node("Cast", ["later"], ["later_i"], to=TensorProto.INT64),
                helper.make_node("Cast", ["later"], ["later_j"], to=TensorProto.INT32),
                helper.make_node("Cast", ["later"], ["later_b"], to=TensorProto.BOOL),
            ]
        )

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def constant(self, name: str, value: Any) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def tensor(self, kind: str, shape: tuple[int, ...] | None = None) -> str:
        """A constant, or the same value as the graph only knows it when it runs."""
        rng = self.rng
        if shape is None:
            shape = tuple(rng.choice(SIZES) for _ in range(rng.choice((0, 1, 2, 2, 3, 4, 4, 5))))
        if kind == "s":
            shape = (rng.choice((0, 1, 1, 2, 3, 4)),)
        if kind == "c":
            shape = rng.choice(((), (1,)))
        size = int(np.prod(shape))
        if kind == "f":
            values: Any = np.array(
                [rng.choice((0, 1, -1, 0.5, 1e30)) for _ in range(size)], np.float32
            )
        elif kind == "b":
            values = np.array([rng.random() < 0.5 for _ in range(size)], bool)
        else:
            few = (0, 0, 1, 1, 2, 3, -1, -2, 5)
            wild = (*few, -(2**63), 2**63 - 1, 2**31, -(2**31), 1000)
            pool = few if rng.random() < 0.8 else wild
            values = np.array([rng.choice(pool) for _ in range(size)], np.int64)
            values = values.astype(np.int32) if kind == "j" else values
        name = self.constant(self.name(), values.reshape(shape))
        if rng.random() < 0.5:
            return name
        later = {"f": "later", "b": "later_b", "j": "later_j"}.get(kind, "later_i")
        output = self.name()
        self.graph.node.append(
            helper.make_node("Or" if kind == "b" else "Add", [name, later], [output])
        )
        return output

    def lstm(self, first: str) -> str:
        """An LSTM over a Reshape of `first`, whose sizes fit each other but for an odd one."""
        rng = self.rng

        def size(right: int) -> int:
            return right if rng.random() < 0.97 else rng.choice((0, 1, right + 1, 8 * right))

        x = first or self.tensor("f")
        width, hidden, two = rng.choice((1, 2, 3, 4)), rng.choice((1, 2, 5)), rng.random() < 0.5
        axes = [size(1), size(width)]
        rows = self.constant(self.name(), np.array([-1 if rng.random() < 0.97 else 0, *axes]))
        sequence, output = self.name(), self.name()
        self.graph.node.append(helper.make_node("Reshape", [x, rows], [sequence]))
        sides = 2 if two else 1
        weights = [
            self.tensor("f", tuple(map(size, shape)))
            if rng.random() < 0.05
            else self.constant(self.name(), np.full(tuple(map(size, shape)), 0.5, np.float32))
            for shape in (
                (sides, 4 * hidden, width),
                (sides, 4 * hidden, hidden),
                (sides, 8 * hidden),
            )
        ]
        direction = {"direction": "bidirectional"} if two else {}
        self.graph.node.append(
            helper.make_node(
                "LSTM", [sequence, *weights], [output], hidden_size=size(hidden), **direction
            )
        )
        return output

    def node(self, op: str, first: str = "") -> str:
        """A node whose first input is `first`; its first output."""
        rng = self.rng
        if op == "LSTM" and rng.random() < 0.9:
            return self.lstm(first)
        kinds = KINDS.get(op, "fs" if op in REDUCTIONS else "f")
        kinds = kinds[: max(1, len(kinds) - rng.choice((0,) * 8 + (1, 2)))] if kinds else ""
        if rng.random() < 0.25:  # many kernels serve integers as well
            kinds = kinds.replace("f", rng.choice("ijb"))
        if rng.random() < 0.05:
            kinds = "".join(rng.choice("fijsb") for _ in range(rng.randrange(6)))
        shapes = self.fitting(op, len(kinds))
        inputs = [self.tensor(kind, shape) for kind, shape in zip(kinds, shapes, strict=True)]
        if first and inputs and rng.random() < 0.8:
            inputs[0] = first
        attributes: dict[str, Any] = {
            name: self.attribute(rule)
            for name, rule in OPERATORS[op].items()
            if rng.random() < 0.6 or name in ("to", "axis", "value")
        }
        if op == "Constant":
            attributes = {"value": numpy_helper.from_array(np.zeros((2, 0), np.float32))}
        outputs = [self.name() for _ in range(rng.choice((1, 1, 1, 2, 3)) if op in (
            "MaxPool", "TopK", "Split", "LayerNormalization") else 1)]  # fmt: skip
        if op == "Split" and rng.random() < 0.8:  # which the vetting wants
            attributes["num_outputs"] = len(outputs)
            inputs = inputs[:1]
        self.graph.node.append(helper.make_node(op, inputs, outputs, **attributes))
        return outputs[0]

    def fitting(self, op: str, count: int) -> list[tuple[int, ...] | None]:
        """Shapes that nearly fit each other, where random ones never would."""
        rng = self.rng
        n, k = rng.choice(SIZES), rng.choice(SIZES)
        c, m = rng.choice(CHANNELS), rng.choice(CHANNELS)
        picture = (n, c, rng.choice(SIZES), rng.choice(SIZES))
        several: dict[str, list[tuple[int, ...]]] = {
            "Conv": [picture, (m, c, k, k), (m,)],
            "ConvTranspose": [picture, (c, m, k, k), (m,)],
            "Gemm": [(n, c), (c, m), (m,)],
            "MatMul": [(n, c), (c, m)],
            "BatchNormalization": [picture, *[(c,)] * 4],
            "LayerNormalization": [(n, c), (c,), (c,)],
            "MaxPool": [picture], "AveragePool": [picture],
            "GlobalAveragePool": [picture], "GlobalMaxPool": [picture],
        }  # fmt: skip
        shapes = several.get(op, [])[:count] if rng.random() < 0.8 else []
        return [*shapes, *[None] * (count - len(shapes))]

    def attribute(self, rule: Attribute) -> Any:
        """A value that the rule allows, often at an end of it."""
        rng = self.rng
        least = -5 if rule.min is None else rule.min
        most = 5 if rule.max is None else rule.max
        ends = (least, most, *(value for value in range(4) if least <= value <= most))
        if rule.type == "int":
            return rng.choice(ends)
        if rule.type == "ints":
            return [rng.choice(ends) for _ in range(rng.choice((1, 2, 2, 2, 4)))]
        if rule.type == "float":
            return rng.choice((0.0, 1.0, -1.0, 1e-5, 3e38, float("nan")))
        if rule.type == "floats":
            return [0.5]
        if rule.type == "string":
            return rng.choice(rule.values)
        return numpy_helper.from_array(np.array([rng.choice((0, 1))], rng.choice(("f4", "i8"))))
