"""Windows of convolutions and pools: whether each stands on its map, and what it leaves of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handful.runtime.errors import PackageError

from .numbers import SOME, Number
from .operators import HINT, Value

WINDOWED = frozenset(("AveragePool", "Conv", "ConvTranspose", "MaxPool"))


@dataclass(frozen=True)
class Window:
    """A window along one axis of its map."""

    op: str
    reach: int  # from its first entry to its last
    stride: int
    padding: int  # at both ends together
    same: bool  # padded so that as much comes out as goes in, but for the stride
    ceil: bool  # a last window may begin within the map and end beyond it
    extra: int  # of a ConvTranspose: `output_padding`
    made: int | None  # of a ConvTranspose: `output_shape`

    def stands(self, size: Number) -> bool:
        """Whether something comes of an axis of this size; SOME is taken as 1, its least."""
        lowest = size if isinstance(size, int) else 1
        if self.same or self.made:
            return True
        if self.op == "ConvTranspose":
            return self.stride * (lowest - 1) + self.extra + self.reach - self.padding >= 1
        over = self.reach - lowest - self.padding  # how far the window reaches beyond
        return over <= 0 if self.op == "Conv" else over < self.stride

    def leaves(self, size: Number) -> Number:
        """The size of the output's axis."""
        if self.made:
            return self.made
        if not isinstance(size, int):
            return SOME
        if self.op == "ConvTranspose":
            wide = self.reach - self.padding if not self.same else self.stride
            return self.stride * (size - 1) + self.extra + wide
        if self.same:
            return -(-size // self.stride)
        room = max(size + self.padding - self.reach, 0)
        return SOME if self.ceil and room % self.stride else room // self.stride + 1


def windows_of(
    op: str, attributes: Mapping[str, Value], filters: Sequence[Number], axes: int
) -> list[Window]:
    """The window along each axis of the map; `filters` are the sizes of a convolution's weight."""
    kernel: Sequence[Number] = integers(attributes, "kernel_shape")
    if not kernel and op.startswith("Conv"):
        kernel = filters[2:]
    strides = integers(attributes, "strides") or [1] * axes
    dilations = integers(attributes, "dilations") or [1] * axes
    pads = integers(attributes, "pads") or [0] * 2 * axes
    extra = integers(attributes, "output_padding") or [0] * axes
    made = integers(attributes, "output_shape")
    lists = (kernel, strides, dilations, extra, made or kernel)
    if any(len(each) != axes for each in lists) or len(pads) != 2 * axes:
        raise PackageError(f"{op} whose attributes are not of {axes} axes", hint=HINT)
    auto = attributes.get("auto_pad", "NOTSET")
    same = auto in ("SAME_UPPER", "SAME_LOWER")
    if same and "pads" in attributes:
        raise PackageError(f"{op} with `pads` and `auto_pad` {auto}", hint=HINT)
    ceil = bool(attributes.get("ceil_mode", 0))
    windows = []
    for i, width in enumerate(kernel):
        if not isinstance(width, int) or width < 1:
            raise PackageError(f"{op} whose window is not known", hint=HINT)
        padding = 0 if auto == "VALID" else pads[i] + pads[i + axes]
        reach = dilations[i] * (width - 1) + 1
        size = made[i] if made else None
        windows.append(Window(op, reach, strides[i], padding, same, ceil, extra[i], size))
    return windows


def integers(attributes: Mapping[str, Value], name: str) -> list[int]:
    """An attribute that is a list of integers; empty where it is not given."""
    value = attributes.get(name)
    return [v for v in value if isinstance(v, int)] if isinstance(value, list) else []
