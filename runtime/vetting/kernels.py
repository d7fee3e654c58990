"""What keeps onnxruntime's kernels within their memory, beyond an operator's own attributes.

Each rule is about a kernel that ended the process, or read beyond its memory, in a release from
1.24.1 to 1.32.0; tests/hostile holds the files that did it. A graph holds 8-bit arithmetic as
QuantizeLinear and DequantizeLinear around operators of floats, and onnxruntime puts kernels of its
own in the place of such groups. Their scales and zero points are therefore constants whose shapes
fit, and the groups are those that exporting makes.
"""

import math
from dataclasses import dataclass, field

from handful.runtime.errors import PackageError

from .operators import FLOAT16, FLOAT32, FLOATING, HINT, Value

MAX_MADE = 2**24  # elements of what a constant shape asks for

# The input that says how large the output is, where a short constant could ask for gigabytes.
MAKERS = {"ConstantOfShape": 0, "Expand": 1, "Pad": 1, "Range": 1, "Tile": 1}

GATES = 4
DIRECTIONS = {"forward": 1, "bidirectional": 2}


@dataclass
class Node:
    """The fields of one NodeProto that are looked at."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Value]


@dataclass
class Known:
    """What is known of the tensors that stand by now, by name."""

    types: dict[str, int | None] = field(default_factory=lambda: {"": None})
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of constants
    constants: dict[str, list[int]] = field(default_factory=dict)  # short int64 ones
    sequences: dict[str, int] = field(default_factory=dict)  # [S, 1, D] by construction: D
    # what DequantizeLinear gave: of a constant its shape
    dequantised: dict[str, tuple[int, ...] | None] = field(default_factory=dict)
    floats: set[str] = field(default_factory=set)  # what is computed from these in float32


def check_memory(node: Node, known: Known) -> None:
    """Raise a PackageError where the node's kernel could leave its memory."""
    if node.op in ("Div", "Mod"):
        _division(node, known)
    if node.op == "Split":
        _split(node, known)
    if node.op == "LSTM":
        _lstm(node, known)
    _size(node, known)


def note_sequence(node: Node, known: Known) -> None:
    """Remember a Reshape to [-1, 1, D]: whatever went in, what comes out is [S, 1, D]."""
    if node.op != "Reshape" or len(node.inputs) != 2 or node.attributes.get("allowzero"):
        return
    shape = known.constants.get(node.inputs[1], [])
    if len(shape) == 3 and shape[:2] == [-1, 1] and shape[2] > 0:
        known.sequences[node.outputs[0]] = shape[2]


def _division(node: Node, known: Known) -> None:
    """Integers are divided by constants alone: 0, and the least number by −1, end a process."""
    divisor = node.inputs[1] if len(node.inputs) > 1 else ""
    if known.types[divisor] in FLOATING:
        return
    if not known.constants.get(divisor) or not {0, -1}.isdisjoint(known.constants[divisor]):
        raise PackageError(
            f"an integer {node.op} by {divisor[:60]!r}, wanted floats, or a constant divisor "
            "of type int64 without 0 and -1",
            hint=HINT,
        )


def _split(node: Node, known: Known) -> None:
    """As many parts as outputs: onnxruntime writes beyond its list of outputs otherwise."""
    parts = node.attributes.get("num_outputs")
    if len(node.inputs) > 1 and node.inputs[1]:
        sizes = known.constants.get(node.inputs[1], [-1])
        parts = len(sizes) if min(sizes, default=-1) >= 0 and parts is None else None
    if parts != len(node.outputs):
        raise PackageError(
            f"a Split into {len(node.outputs)} outputs, wanted `num_outputs`, or a constant of "
            "sizes, for as many",
            hint=HINT,
        )


def _lstm(node: Node, known: Known) -> None:
    """One sequence against constant weights that fit it and each other.

    An empty batch ends the process in every release; 1.28 reads beyond its memory where a sequence
    is of another width than W, and aborts on weights of another number of axes. Other inputs and
    outputs are left out because no exported graph needs them.
    """
    if len(node.inputs) != 4 or len(node.outputs) != 1:
        raise PackageError(
            f"an LSTM of {len(node.inputs)} inputs and {len(node.outputs)} outputs, wanted X, W, R "
            "and B, and Y alone",
            hint=HINT,
        )
    x, *weights = node.inputs
    width = known.sequences.get(x)
    if width is None or known.types[x] != FLOAT32:
        raise PackageError(
            f"an LSTM over {x[:60]!r}, wanted float32 from a Reshape to the constant [-1, 1, D]",
            hint=HINT,
        )
    hidden, direction = node.attributes.get("hidden_size"), node.attributes.get("direction")
    if not isinstance(hidden, int):
        raise PackageError("an LSTM without `hidden_size`", hint=HINT)
    directions = DIRECTIONS[direction] if isinstance(direction, str) else 1
    rows = GATES * hidden
    wanted = ((directions, rows, width), (directions, rows, hidden), (directions, 2 * rows))
    for name, weight, shape in zip("WRB", weights, wanted, strict=True):
        if known.types[weight] != FLOAT32 or known.shapes.get(weight) != shape:
            raise PackageError(
                f"an LSTM whose {name} is {weight[:60]!r}, wanted a float32 constant of shape "
                f"{list(shape)}",
                hint=HINT,
            )


def _size(node: Node, known: Known) -> None:
    """A short file must not make a huge tensor while constants are folded."""
    at = MAKERS.get(node.op)
    if at is None or len(node.inputs) <= at:
        return
    shape = known.constants.get(node.inputs[at], [])
    if math.prod(max(abs(size), 1) for size in shape) > MAX_MADE:
        raise PackageError(f"{node.op} makes a tensor of shape {shape}, at most {MAX_MADE} values")


UINT8, INT8, INT32 = 2, 3, 6
# what may stand between a DequantizeLinear and a QuantizeLinear
BETWEEN = frozenset(
    "Add Clip Concat Conv Flatten GlobalAveragePool MaxPool Mul Relu Reshape Slice Squeeze "
    "Transpose Unsqueeze".split()
)


def check_quantised(node: Node, known: Known) -> None:
    """Raise a PackageError where the node is no quantisation that exporting makes."""
    if node.op != "Cast" and any(known.types[name] == FLOAT16 for name in node.inputs):
        raise PackageError(f"a {node.op} of float16, which only a Cast may read", hint=HINT)
    if node.op == "QuantizeLinear":
        _quantize(node, known)
    if node.op == "DequantizeLinear":
        _dequantize(node, known)
    if node.op == "Conv":
        _convolution(node, known)


def note_dequantised(node: Node, known: Known) -> None:
    """Remember what was dequantised, with its shape where it is a constant, and what reads it."""
    if node.op == "DequantizeLinear":
        known.dequantised[node.outputs[0]] = known.shapes.get(node.inputs[0])
    elif node.op not in BETWEEN and any(name in known.dequantised for name in node.inputs):
        known.floats.update(node.outputs)


def _quantize(node: Node, known: Known) -> None:
    _three(node)
    x, scale, zero = node.inputs
    kinds = known.types[x], known.types[scale]
    if kinds != (FLOAT32, FLOAT32) or known.types[zero] not in (UINT8, INT8):
        raise _wrong(node, "float32 to uint8 or int8")
    if known.shapes.get(scale) != () or known.shapes.get(zero) != ():
        raise _wrong(node, "a constant scale and zero point, scalars")
    if x in known.floats:
        raise _wrong(node, f"what one of {', '.join(sorted(BETWEEN))} makes of 8-bit tensors")


def _dequantize(node: Node, known: Known) -> None:
    _three(node)
    x, scale, zero = node.inputs
    kind = known.types[x]
    if kind not in (UINT8, INT8, INT32) or known.types[zero] != kind:
        raise _wrong(node, "uint8, int8 or int32, and a zero point of that type")
    if known.types[scale] != FLOAT32:
        raise _wrong(node, "a scale of type float32")
    shapes = known.shapes.get(scale), known.shapes.get(zero)
    wanted: list[tuple[int, ...]] = [()]
    constant = known.shapes.get(x)
    axis = node.attributes.get("axis", 1)
    if constant and isinstance(axis, int) and -len(constant) <= axis < len(constant):
        wanted.append((constant[axis],))
    if shapes[0] != shapes[1] or shapes[0] not in wanted:
        raise _wrong(node, "a constant scale and zero point, scalars or, of a constant, one a row")


def _convolution(node: Node, known: Known) -> None:
    """Kernels of 8 bits read a bias for each filter, whatever the bias's own length, and end the
    process where there is no filter at all.
    """
    if not any(name in known.dequantised for name in node.inputs):
        return
    weight = known.dequantised.get(node.inputs[1]) or ()
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    fits = not bias or known.dequantised.get(bias) == weight[:1]
    if len(weight) < 3 or not all(weight) or not fits:
        raise _wrong(node, "constant filters of 8 bits, and a constant bias of 32 bits for each")


def _three(node: Node) -> None:
    if len(node.inputs) != 3 or len(node.outputs) != 1:
        raise _wrong(node, "a tensor, its scale and its zero point")


def _wrong(node: Node, wanted: str) -> PackageError:
    name = node.inputs[0] if node.inputs else ""
    return PackageError(f"a {node.op} of {name[:60]!r}, wanted {wanted}", hint=HINT)
