"""8-bit groups and weights of 16 bits: what exporting makes passes, all else is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from handful.runtime.errors import ManifestError, PackageError
from handful.runtime.vetting.operators import OPSET
from handful.runtime.vetting.vet import vet

from ..each import each
from . import edit
from .refusal import refused

BETWEEN = (
    "wanted what one of Add, Clip, Concat, Conv, Flatten, GlobalAveragePool, MaxPool, Mul, Relu,"
    " Reshape, Slice, Squeeze, Transpose, Unsqueeze makes of 8-bit tensors"
)


def model(operator: str = "Conv", **changed: Any) -> bytes:
    """x [2, 3, 4, 4] through a convolution of 8 bits, or through another operator."""
    constants: dict[str, Any] = {
        "scale": np.float32(0.1), "zero": np.uint8(3), "w": np.ones((5, 3, 1, 1), np.int8),
        "w_scale": np.ones(5, np.float32), "w_zero": np.zeros(5, np.int8),
        "b": np.zeros(5, np.int32), "b_scale": np.ones(5, np.float32),
        "b_zero": np.zeros(5, np.int32), **changed,
    }  # fmt: skip
    inputs = ["x8", "w8", "b8"] if operator == "Conv" else ["x8"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w8"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "b_scale", "b_zero"], ["b8"], axis=0),
        helper.make_node(operator, inputs, ["y"]),
        helper.make_node("QuantizeLinear", ["y", "scale", "zero"], ["y8"]),
        helper.make_node("DequantizeLinear", ["y8", "scale", "zero"], ["z"]),
    ]
    return written(nodes, constants)


def written(nodes: list[Any], constants: dict[str, Any]) -> bytes:
    values = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4, 4])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    z.type.tensor_type.shape.dim.add().dim_param = "B"
    graph = helper.make_graph(nodes, "g", [x], [z], values)
    opset = helper.make_opsetid("", OPSET)
    content: bytes = helper.make_model(
        graph, ir_version=8, opset_imports=[opset]
    ).SerializeToString()
    return content


def test_a_convolution_of_8_bits_passes() -> None:
    vetted = vet(model(), "embed.onnx")
    assert vetted.operators == {"QuantizeLinear": 2, "DequantizeLinear": 4, "Conv": 1}
    assert vetted.parameters == 15 + 5 + 1 + 5 + 5  # filters and zero points; scales


@each(
    ("changed", "words"),
    [
        ({"scale": np.ones(3, np.float32)},
         "a QuantizeLinear of 'x', wanted a constant scale and zero point, scalars"),
        ({"zero": np.int32(0)}, "a QuantizeLinear of 'x', wanted float32 to uint8 or int8"),
        ({"scale": np.float64(1)}, "a QuantizeLinear of 'x', wanted float32 to uint8 or int8"),
        ({"w_scale": np.ones(4, np.float32)}, "a DequantizeLinear of 'w', wanted a constant scale"
         " and zero point, scalars or, of a constant, one a row"),
        ({"w_zero": np.zeros(5, np.uint8)}, "a DequantizeLinear of 'w', wanted uint8, int8 or"
         " int32, and a zero point of that type"),
        ({"w_scale": np.ones(5, np.float64)},
         "a DequantizeLinear of 'w', wanted a scale of type float32"),
        *(({name: value, **more}, "a Conv of 'x8', wanted constant filters of 8 bits, and a"
           " constant bias of 32 bits for each")
          for name, value, more in (
              ("b", np.zeros(4, np.int32), {"b_scale": np.float32(1), "b_zero": np.int32(0)}),
              ("w", np.ones((0, 3, 1, 1), np.int8),
               {"w_scale": np.float32(1), "w_zero": np.int8(0)}),
              ("w", np.ones((5, 3), np.int8), {}))),
    ],
)  # fmt: skip
def test_what_could_leave_a_kernels_memory_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(PackageError) as caught:
        vet(model(**changed), "embed.onnx")
    assert str(caught.value) == f"embed.onnx: {words}"
    assert caught.value.hint == "see docs/package-format.md"


def test_an_operator_between_8_bit_tensors_is_one_that_exporting_puts_there() -> None:
    assert vet(model("Relu"), "embed.onnx").operators["Relu"] == 1
    with pytest.raises(PackageError) as caught:
        vet(model("Sigmoid"), "embed.onnx")
    assert str(caught.value) == f"embed.onnx: a QuantizeLinear of 'y', {BETWEEN}"


def test_weights_of_16_bits_are_read_by_a_cast_alone() -> None:
    half = {"w": np.ones((5, 3, 1, 1), np.float16)}
    cast = helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT)
    conv = helper.make_node("Conv", ["x", "wide"], ["z"])
    assert vet(written([cast, conv], half), "embed.onnx").parameters == 15
    conv = helper.make_node("Conv", ["x", "w"], ["z"])
    with pytest.raises(PackageError) as caught:
        vet(written([conv], half), "embed.onnx")
    assert str(caught.value) == "embed.onnx: a Conv of float16, which only a Cast may read"


def test_a_precision_is_one_of_three_and_needs_an_embedding(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("head", tmp_path)
    edit.manifest(folder, lambda c: c.update(precision="int4"))
    refused(
        folder,
        ManifestError,
        "`precision` is 'int4', wanted one of `float32`, `float16`, `int8`",
        "export the package again, or install the handful that made it",
    )
    folder = packages.copy("prototypes", tmp_path)
    edit.manifest(folder, lambda c: c.update(precision="int8"))
    words = "`precision` is int8, wanted float32: there is no `embed`"
    refused(folder, ManifestError, words)
