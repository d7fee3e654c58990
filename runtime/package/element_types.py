"""Which element type each tensor of a graph has: enough to tell an integer division."""

from collections.abc import Mapping, Sequence

from .attributes import Value
from .constants import INT64, Constant

FLOAT32, BOOL, FLOAT16 = 1, 9, 10
FLOATING = (FLOAT32, 11)
LOGICAL = frozenset("And Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Not Or Xor".split())
COUNTS = frozenset(("ArgMax", "ArgMin", "Shape", "Size"))
INDICES = ("MaxPool", "TopK")  # whose second output are indices
LIKE = {
    "DequantizeLinear": 1,
    "QuantizeLinear": 2,
    "Where": 1,
}  # the input whose type the output has; the first elsewhere


def of_outputs(
    op: str, attributes: Mapping[str, Value], inputs: Sequence[int | None], count: int
) -> list[int | None]:
    """The types of the `count` outputs of a node; None where that of its input is not known."""
    if op in LOGICAL:
        return [BOOL] * count
    if op in COUNTS:
        return [INT64] * count
    at = LIKE.get(op, 0)
    first = inputs[at] if at < len(inputs) else None
    if op in ("Constant", "ConstantOfShape"):
        first = _constant(attributes)
    for name in ("to", "dtype"):  # of Cast and EyeLike
        declared = attributes.get(name)
        if isinstance(declared, int):
            first = declared
    if op in INDICES:
        return [first, INT64, *[None] * count][:count]
    return [first] * count


def _constant(attributes: Mapping[str, Value]) -> int:
    """The type of what Constant and ConstantOfShape give."""
    for name, value in attributes.items():
        if isinstance(value, Constant):
            return value.element
        if name.startswith("value_int"):
            return INT64
    return FLOAT32
