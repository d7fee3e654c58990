"""The table of operators: true to opset 18, and enough to tell every tensor's type."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from handful.runtime.errors import PackageError
from handful.runtime.vetting.operators import CONTROL_FLOW, OPERATORS, OPSET, RANDOM
from handful.runtime.vetting.vet import _Vetter, vet

from ..each import each

GRAPHS = sorted((Path(__file__).parents[2] / "exported").glob("*/*.onnx"))
TYPES = {
    "float": onnx.defs.OpSchema.AttrType.FLOAT,
    "floats": onnx.defs.OpSchema.AttrType.FLOATS,
    "int": onnx.defs.OpSchema.AttrType.INT,
    "ints": onnx.defs.OpSchema.AttrType.INTS,
    "string": onnx.defs.OpSchema.AttrType.STRING,
    "tensor": onnx.defs.OpSchema.AttrType.TENSOR,
}


def model(*nodes: Any, **constants: Any) -> bytes:
    """A model of these nodes on `x` [2, 2], which gives `z`."""
    values = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    x, z = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 2]) for n in "xz")
    graph = helper.make_graph(list(nodes), "g", [x], [z], values)
    opset = helper.make_opsetid("", OPSET)
    content: bytes = helper.make_model(
        graph, ir_version=8, opset_imports=[opset]
    ).SerializeToString()
    return content


@each("op", OPERATORS)
def test_an_operator_has_the_attributes_of_its_definition(op: str) -> None:
    defined = onnx.defs.get_schema(op, OPSET).attributes
    listed = {name: TYPES[rule.type] for name, rule in OPERATORS[op].items()}
    assert listed == {name: defined[name].type for name in listed}
    required = {name for name, attribute in defined.items() if attribute.required}
    assert required <= listed.keys()


def test_what_is_refused_by_name_is_not_in_the_table() -> None:
    assert not {*CONTROL_FLOW, *RANDOM} & OPERATORS.keys()
    for op in (*CONTROL_FLOW, *RANDOM):
        onnx.defs.get_schema(op, OPSET)  # there is such an operator


@each("file", GRAPHS)
def test_the_types_are_those_that_onnx_infers(file: Path) -> None:
    vetter = _Vetter()
    data = file.read_bytes()
    vetter.model(memoryview(data))
    inferred = shape_inference.infer_shapes(onnx.load_from_string(data)).graph.value_info
    wanted = {value.name: value.type.tensor_type.elem_type for value in inferred}
    assert {name: vetter.known.types[name] for name in wanted} == wanted


@each(
    ("maker", "divided"),
    [
        (helper.make_node("ArgMax", ["x"], ["a"]), True),
        (helper.make_node("Shape", ["x"], ["a"]), True),
        (helper.make_node("Size", ["x"], ["a"]), True),
        (helper.make_node("Cast", ["x"], ["a"], to=TensorProto.INT32), True),
        (helper.make_node("TopK", ["x", "k"], ["other", "a"]), True),
        (helper.make_node("ConstantOfShape", ["k"], ["a"]), False),
        (helper.make_node("Where", ["mask", "x", "x"], ["a"]), False),
        (helper.make_node("EyeLike", ["x"], ["a"], dtype=TensorProto.INT64), True),
    ],
)
def test_an_integer_division_is_told_whatever_made_the_integers(maker: Any, divided: bool) -> None:
    data = model(
        helper.make_node("IsNaN", ["x"], ["mask"]),
        helper.make_node("Constant", [], ["k"], value_ints=[1]),
        maker,
        helper.make_node("Div", ["a", "a"], ["y"]),
        helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT),
    )
    if not divided:
        vet(data, "g")
        return
    with pytest.raises(PackageError, match="g: an integer Div by 'a', wanted floats, or a const"):
        vet(data, "g")


def test_sizes_are_halved_as_the_exporter_writes_it() -> None:
    data = model(
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["two"], value_int=2),
        helper.make_node("Div", ["s", "two"], ["half"]),
        helper.make_node("Expand", ["x", "half"], ["z"]),
    )
    assert vet(data, "g").operators["Div"] == 1
