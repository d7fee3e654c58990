"""Hostile graphs of the package `head`: kernels that crash, sizes that lie, files that swell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from ..runtime import edit
from .manifests import Case
from .mutate import split

LEAST = np.iinfo(np.int64).min
make = helper.make_node


def nodes(*added: Any, **constants: Any) -> Callable[[Path], object]:
    """The graph `step` with nodes in front, and constants by their names."""

    def change(model: Any) -> None:
        graph = model.graph
        before = list(graph.node)
        del graph.node[:]
        graph.node.extend([*added, *before])
        for name, value in constants.items():
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))

    return lambda folder: edit.model(folder, "step", change)


def changed(change: Callable[[Any], object]) -> Callable[[Path], object]:
    return lambda folder: edit.model(folder, "step", change)


def data(how: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """The graph `step` with other bytes, and a manifest that agrees."""
    return lambda folder: edit.put(folder, "step", how((folder / "step.onnx").read_bytes()))


def one(op: str, *inputs: str, **attributes: Any) -> Any:
    """A node on the graph's input `w`, unless it says otherwise."""
    return make(op, list(inputs) or ["w"], ["z"], **attributes)


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf that holds bytes."""
    size, length = len(content), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def tensor(**fields: bytes) -> bytes:
    """A constant of type int64, of bytes of our choice."""
    numbers = {"dims": 1, "longs": 7, "raw": 9}
    return (
        b"\x10\x07"
        + field(8, b"c")
        + b"".join(field(numbers[name], value) for name, value in fields.items())
    )


def swollen(content: bytes) -> Callable[[Path], object]:
    """One more constant in the graph: a ModelProto's graph may come in two parts, so by hand."""

    def change(model: Any) -> None:
        model.graph.initializer.add().ParseFromString(content)

    return changed(change)


def two_opsets(model: Any) -> None:
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))


def default_for_input(model: Any) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((2, 5), np.float32), "w"))


def shapeless(model: Any) -> None:
    model.graph.output[1].type.tensor_type.ClearField("shape")


def in_parts(folder: Path) -> None:
    """The divisor 2, to a reader that looks at the last part; 0, to one that merges both."""
    attribute = (
        field(1, b"value")
        + b"\xa0\x01\x04"  # of type TENSOR
        + field(5, tensor(raw=bytes(8)))
        + field(5, tensor(longs=b"\x02"))
    )
    constant = field(2, b"b") + field(4, b"Constant") + field(5, attribute)

    def change(model: Any) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([7]), "a"))
        model.graph.node.add().ParseFromString(field(2, b"b") + field(4, b"Constant"))
        model.graph.node.append(one("Div", "a", "b"))

    edit.model(folder, "step", change)
    content = (folder / "step.onnx").read_bytes()
    plain = field(2, b"b") + field(4, b"Constant")
    graph = next(payload for number, _, payload in split(content) if number == 7)
    larger = graph.replace(field(1, plain), field(1, constant))
    edit.put(folder, "step", content.replace(field(7, graph), field(7, larger)))


def int_division(op: str, divisor: Any) -> Callable[[Path], object]:
    return nodes(one(op, "a", "b"), a=np.array([LEAST]), b=np.array(divisor))


GRAPH = "PackageError: step.onnx: "
INTEGERS = ", wanted floats, or a constant divisor of type int64 without 0 and -1"
UNKNOWN = "PackageError: step.onnx: operator "
# of a scalar, which has no axis: nothing is known of what comes out, and onnxruntime refuses it
SCALAR: dict[str, Case] = {
    f"{op} of a scalar": (
        nodes(one(op, *inputs, **how), scalar=np.float32(1), axis=np.array([0])),
        "ok",
    )
    for op, inputs, how in (
        ("Gather", ("scalar", "axis"), {}),
        ("Concat", ("scalar", "scalar"), {"axis": 0}),
        ("Squeeze", ("scalar", "axis"), {}),
        ("TopK", ("scalar", "axis"), {}),
        ("ReduceSum", ("scalar", "axis"), {}),
        ("Flatten", ("scalar",), {}),
    )
}
CASES: dict[str, Case] = {
    **SCALAR,
    # kernels that ended the process: SIGFPE and SIGSEGV in releases from 1.24.1 to 1.32.0
    "Div of the least by -1": (
        int_division("Div", [-1]), GRAPH + "an integer Div by 'b'" + INTEGERS,
    ),
    "Div by zero": (int_division("Div", [0]), GRAPH + "an integer Div by 'b'"),
    "Mod by -1": (int_division("Mod", [3, -1]), GRAPH + "an integer Mod by 'b'"),
    "Div of int32": (
        nodes(one("Div", "a", "b"), a=np.array([1], np.int32), b=np.array([2], np.int32)),
        GRAPH + "an integer Div by 'b'",
    ),
    "Div by what is computed": (
        nodes(make("Shape", ["w"], ["s"]), one("Div", "s", "s")), GRAPH + "an integer Div by 's'",
    ),
    "Div by a cast": (
        nodes(make("Cast", ["w"], ["s"], to=7), one("Div", "s", "s")), GRAPH + "an integer Div",
    ),
    "GatherND with batch_dims": (
        nodes(one("GatherND", "w", "i", batch_dims=-(2**62)), i=np.array([[0]])),
        GRAPH + "attribute 'batch_dims' of GatherND is -4611686018427387904, wanted 0",
    ),
    "InstanceNormalization": (
        nodes(one("InstanceNormalization", "w", "w", "w")), UNKNOWN + "'InstanceNormalization' is",
    ),
    "DepthToSpace": (nodes(one("DepthToSpace", blocksize=0)), UNKNOWN + "'DepthToSpace' is not"),
    "MaxUnpool": (
        nodes(one("MaxUnpool", "w", "w", kernel_shape=[1])), UNKNOWN + "'MaxUnpool' is not one",
    ),
    "Col2Im": (nodes(one("Col2Im", "w", "w", "w")), UNKNOWN + "'Col2Im' is not one that"),
    "GRU over an empty batch": (
        nodes(
            one("GRU", "a", "b", "c", hidden_size=1),
            a=np.zeros((1, 0, 4), np.float32),
            b=np.zeros((1, 3, 4), np.float32),
            c=np.zeros((1, 3, 1), np.float32),
        ),
        UNKNOWN + "'GRU' is not one that the format allows",
    ),
    "Trilu": (nodes(one("Trilu")), UNKNOWN + "'Trilu' is not one that the format allows"),
    "Pad reflect": (
        nodes(one("Pad", "w", "p", mode="reflect"), p=np.zeros(4, np.int64)),
        GRAPH + "attribute 'mode' of Pad is reflect, wanted one of constant",
    ),
    "strides of zero": (
        nodes(one("MaxPool", kernel_shape=[1, 1], strides=[0, 0])),
        GRAPH + "attribute 'strides' of MaxPool is [0, 0], wanted 1 to 1024 each",
    ),
    "a group of zero": (
        nodes(one("Conv", "w", "w", group=0)), GRAPH + "attribute 'group' of Conv is 0, wanted 1",
    ),
    "negative pads": (
        nodes(one("AveragePool", kernel_shape=[1, 1], pads=[-9, 0, 0, 0])),
        GRAPH + "attribute 'pads' of AveragePool is [-9, 0, 0, 0], wanted 0 to 1024 each",
    ),
    "an axis far out": (
        nodes(one("Concat", "w", "w", axis=2**40)), GRAPH + "attribute 'axis' of Concat is 1099",
    ),
    "Split into none": (
        nodes(one("Split", num_outputs=0)), GRAPH + "attribute 'num_outputs' of Split is 0, wanted",
    ),
    "Split into fewer than its outputs": (
        nodes(make("Split", ["w"], ["z", "y", "v"], num_outputs=1)),
        GRAPH + "a Split into 3 outputs, wanted `num_outputs`, or a constant of sizes, for as many",
    ),
    "Split by sizes for fewer": (
        nodes(make("Split", ["w", "s"], ["z", "y"]), s=np.array([1])), GRAPH + "a Split into 2 out",
    ),
    "Split by what is computed": (
        nodes(make("Shape", ["w"], ["s"]), make("Split", ["w", "s"], ["z", "y"])),
        GRAPH + "a Split into 2 outputs",
    ),
    "OneHot of no depth": (
        nodes(one("OneHot", "i", "d", "w"), i=np.array([0]), d=np.zeros((2, 0, 1), np.int64)),
        UNKNOWN + "'OneHot' is not one that the format allows",
    ),
    "Dropout in training": (
        nodes(one("Dropout")), UNKNOWN + "'Dropout' is random; noise is an input",
    ),
    "BatchNormalization in training": (
        nodes(one("BatchNormalization", *["w"] * 5, training_mode=1)),
        GRAPH + "attribute 'training_mode' of BatchNormalization is 1, wanted 0",
    ),
    "an unknown attribute": (
        nodes(one("Relu", consumed_inputs=[0])), GRAPH + "Relu has an attribute 'consumed_inputs'",
    ),
    "an attribute of another type": (
        nodes(one("Softmax", axis=1.5)), GRAPH + "attribute 'axis' of Softmax is of type float",
    ),
    "an attribute twice": (
        changed(lambda m: m.graph.node[1].attribute.append(m.graph.node[1].attribute[0])),
        GRAPH + "a LogSoftmax with two attributes 'axis'",
    ),
    # sizes
    "Expand to terabytes": (
        nodes(one("Expand", "w", "s"), s=np.array([2**20, 2**20])), GRAPH + "Expand makes a tensor",
    ),
    "Pad to terabytes": (
        nodes(one("Pad", "w", "p"), p=np.array([2**40, 0, 0, 0])), GRAPH + "Pad makes a tensor of",
    ),
    "a constant of 8 million packed numbers": (
        swollen(tensor(dims=b"\x80\x80\x80\x04", longs=b"\x01" * 2**23)), "ok",
    ),
    "a constant of 100 000 axes": (
        swollen(tensor(dims=b"\x01" * 10**5)), GRAPH + "constant 'c' has shape [1, 1, 1, 1, 1, 1,",
    ),
    "a million empty fields": (
        data(lambda good: good + b"\x72\x00" * 10**6), GRAPH + "more than 524288 fields",
    ),
    "a name of a megabyte": (
        nodes(one("Relu", "w" * 2**20)), GRAPH + "a name of 1048576 bytes, at most 1024 are read",
    ),
    "an attribute of a million numbers": (
        nodes(one("Transpose", perm=[0] * 10**6)), GRAPH,
    ),
    # structure
    "a constant of two values": (
        nodes(make("Constant", [], ["z"], value_ints=[0], value_int=2)),
        GRAPH + "a Constant with 2 attributes, wanted one",
    ),
    "a constant in two parts": (
        in_parts, GRAPH + "field 5 of a message is given twice",
    ),
    "a graph in two parts": (
        data(lambda good: good + field(7, b"")), GRAPH + "field 7 of a message is given twice",
    ),
    "a field whose number wraps round": (
        data(lambda good: good + b"\xba\x80\x80\x80\x10\x00"), GRAPH + "not a whole ONNX model",
    ),
    "two operator sets": (changed(two_opsets), GRAPH + "operators of domain 'ai.onnx.ml'"),
    "one operator set twice": (
        changed(lambda m: m.opset_import.append(m.opset_import[0])), GRAPH + "2 operator sets, wa",
    ),
    "a default for an input": (changed(default_for_input), GRAPH + "two tensors are called 'w'"),
    "one name for two tensors": (
        nodes(one("Relu"), one("Neg")), GRAPH + "two tensors are called 'z'",
    ),
    "an output without a shape": (changed(shapeless), GRAPH + "an input or output has no shape"),
    "a node that reads what comes later": (
        nodes(one("Relu", "slope")), GRAPH + "a Relu reads 'slope', which nothing before it gives",
    ),
}  # fmt: skip
