"""The operators of opset 18 that a graph may use, with the attributes that each may have.

They are what exporting can produce: torch's core operators and their gradients as the exporter
translates them (a recurrent cell is products and sigmoids then), an LSTM over the support set, the
frozen backbones that are composed in front, and an `embed` of 8 bits. What it cannot produce is
left out: fewer kernels of onnxruntime are within reach of a file from anybody. kernels.py and
quantised.py say what else some of them need; tests/hostile/fuzz.py found GRU's to end the process.

`python -m handful.runtime.vetting.operators > exported/operators.json` brings the table for other
languages up to date.
"""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any, Literal

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


if __name__ == "__main__":
    sys.stdout.write(text())
