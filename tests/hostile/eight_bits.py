"""Random groups of 8-bit tensors, as onnxruntime puts kernels of its own in their place."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from handful.runtime.vetting.kernels import BETWEEN

PLAIN = sorted(BETWEEN)
OTHERS = "MatMul Sub AveragePool Sigmoid Softmax Gemm ReduceMean Split".split()
SIZES = (0, 1, 1, 2, 3, 4, 5, 8, 16, 17, 32, 64)
KINDS = (np.uint8, np.uint8, np.int8)


def group(graph: Any, rng: random.Random, x: str, prefix: str) -> str:
    """Two or three layers of Dequantize → operator → Quantize behind the float `x`; a float."""
    maker = _Group(graph, rng, prefix)
    c = rng.choice(SIZES)
    picture = (rng.choice(SIZES), c, rng.choice(SIZES), rng.choice(SIZES))
    count = int(np.prod(picture))
    base = maker.constant(np.linspace(-1, 1, count, dtype=np.float32).reshape(picture))
    x = maker.node("Add", [base, x])
    for _ in range(rng.choice((1, 1, 2, 3))):
        x = maker.layer(x, c)
    return x


class _Group:
    def __init__(self, graph: Any, rng: random.Random, prefix: str) -> None:
        self.graph, self.rng, self.prefix, self.count = graph, rng, prefix, 0

    def name(self) -> str:
        self.count += 1
        return f"{self.prefix}{self.count}"

    def constant(self, value: Any) -> str:
        name = self.name()
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        output = self.name()
        self.graph.node.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def pair(self, kind: Any, size: int | None = None) -> list[str]:
        """A scale and a zero point; now and then of shapes that do not fit, or strange values."""
        rng = self.rng
        shape: tuple[int, ...] = () if size is None else (size,)
        if rng.random() < 0.01:
            shape = rng.choice(((), (1,), (2,), (0,), (1, 1)))
        scale = rng.choice((0.01,) * 8 + (0.0, -1.0, 1e-38, 3e38, float("nan"), float("inf")))
        zero = 0 if kind is not np.uint8 else rng.choice((0, 128, 255))
        if kind is np.int32 and rng.random() < 0.05:
            zero = 7
        other = shape if rng.random() < 0.995 else (3,)
        return [
            self.constant(np.full(shape, scale, np.float32)),
            self.constant(np.full(other, zero, kind)),
        ]

    def quantised(self, x: str) -> str:
        pair = self.pair(self.rng.choice(KINDS))
        return self.node("QuantizeLinear", [x, *pair])

    def eight(self, x: str) -> str:
        """`x` through 8 bits, and float again."""
        pair = self.pair(self.rng.choice(KINDS))
        again = pair if self.rng.random() < 0.9 else self.pair(np.uint8)
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, *pair]), *again])

    def weight(self, shape: tuple[int, ...], kind: Any, axis: int = 0) -> str:
        """A constant of 8 or 32 bits as floats, with a scale for each row or for all."""
        rng = self.rng
        if rng.random() < 0.06:
            shape = tuple(size + rng.choice((-1, 0, 1, 7)) * (rng.random() < 0.5) for size in shape)
            shape = tuple(max(size, 0) for size in shape)
        if rng.random() < 0.02:
            shape = shape[:-1]
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        values = [rng.choice((low, high, 0, 1)) for _ in range(int(np.prod(shape)))]
        x = self.constant(np.array(values, kind).reshape(shape))
        if rng.random() < 0.06:
            axis = rng.choice((-1, 0, 1, 2, -8))
        fits = -len(shape) <= axis < len(shape) and rng.random() < 0.8
        pair = self.pair(kind, shape[axis] if fits else None)
        return self.node("DequantizeLinear", [x, *pair], axis=axis)

    def layer(self, x: str, c: int) -> str:
        """One operator between 8-bit tensors, or one whose result stays a float."""
        rng = self.rng
        x = self.eight(x)
        op = rng.choice((*["Conv"] * 8, *PLAIN, *OTHERS))
        attributes: dict[str, Any] = {}
        inputs = [x]
        if op == "Conv":
            inputs, attributes = self.convolution(x, c)
        elif op in ("Add", "Mul", "Sub", "Concat"):
            second = x if rng.random() < 0.4 else self.weight((1, c, 1, 1), np.int8)
            inputs = [x, second]
            attributes = {"axis": rng.choice((0, 1, -1, 3))} if op == "Concat" else {}
        elif op in ("MatMul", "Gemm"):
            inputs = [x, self.weight((rng.choice(SIZES), 3), np.int8, 1)]
            inputs += [self.weight((3,), np.int32)] if op == "Gemm" else []
        elif op == "Clip":
            inputs = [x, self.constant(np.float32(0)), self.constant(np.float32(6))]
        elif op in ("MaxPool", "AveragePool"):
            attributes = {"kernel_shape": [rng.choice((1, 2, 3)), 1], "strides": [2, 1]}
        elif op == "Reshape":
            inputs = [x, self.constant(np.array(rng.choice(((0, -1), (-1,), (1, -1, 1))), "i8"))]
        elif op == "Slice":
            ends = [self.constant(np.array([v], "i8")) for v in (rng.choice((0, 1)), 9, 1)]
            inputs = [x, *ends]
        elif op in ("Squeeze", "Unsqueeze"):
            inputs = [x, self.constant(np.array([rng.choice((0, 1, -1))], "i8"))]
        elif op == "Transpose":
            attributes = {"perm": rng.choice(([0, 2, 3, 1], [3, 2, 1, 0]))}
        elif op == "Split":
            attributes = {"num_outputs": 1, "axis": 1}
        y = self.node(op, inputs, **attributes)
        # most of the others stay floats, as the format wants it
        stays = 0.1 if op in PLAIN else 0.9
        return y if rng.random() < stays else self.eight(y)

    def convolution(self, x: str, c: int) -> tuple[list[str], dict[str, Any]]:
        rng = self.rng
        m, k = rng.choice(SIZES), rng.choice((1, 1, 2, 3))
        groups = rng.choice((1, 1, 1, c or 1, 2))
        m = groups * rng.choice((1, 1, 2)) if groups > 1 else m
        inputs = [x, self.weight((m, max(c // groups, 1), k, k), rng.choice(KINDS))]
        if rng.random() < 0.8:
            inputs.append(self.weight((m,), np.int32))
        attributes = {
            "group": groups,
            "kernel_shape": [k, k] if rng.random() < 0.95 else [k, k + 1],
            "pads": rng.choice(([0] * 4, [1] * 4, [0, 0, 1, 1])),
            "strides": rng.choice(([1, 1], [2, 2])),
        }
        return inputs, attributes
