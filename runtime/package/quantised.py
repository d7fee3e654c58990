"""Tensors of 8 bits and weights of 16: what keeps their kernels within their memory.

A graph holds 8-bit arithmetic as QuantizeLinear and DequantizeLinear around operators of floats,
and onnxruntime puts kernels of its own in the place of such groups. Their scales and zero points
are therefore constants whose shapes fit, and the groups are those that exporting makes.
"""

from handful.runtime.errors import PackageError

from .attributes import HINT
from .element_types import FLOAT16, FLOAT32
from .kernels import Known, Node

UINT8, INT8, INT32 = 2, 3, 6
# what may stand between a DequantizeLinear and a QuantizeLinear
BETWEEN = frozenset(
    "Add Clip Concat Conv Flatten GlobalAveragePool MaxPool Mul Relu Reshape Slice Squeeze "
    "Transpose Unsqueeze".split()
)


def check(node: Node, known: Known) -> None:
    """Raise a PackageError where the node is no quantisation that exporting makes."""
    if node.op != "Cast" and any(known.types[name] == FLOAT16 for name in node.inputs):
        raise PackageError(f"a {node.op} of float16, which only a Cast may read", hint=HINT)
    if node.op == "QuantizeLinear":
        _quantize(node, known)
    if node.op == "DequantizeLinear":
        _dequantize(node, known)
    if node.op == "Conv":
        _convolution(node, known)


def note(node: Node, known: Known) -> None:
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
