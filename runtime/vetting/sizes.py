"""What is known of a graph's tensors before it runs: their element types, and how large they are.

Sizes decide whether a window (Conv, MaxPool …) stands on a map at all. What is not followed here
is not known, and a window over it is refused: this need not be complete, only right. It also has
to know what onnxruntime infers while a session is built, where negative sizes end the process.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

from handful.runtime.errors import PackageError

from .operators import HINT, INT64, Constant, Value

FLOAT32, BOOL, FLOAT16 = 1, 9, 10
FLOATING = (FLOAT32, 11)
LOGICAL = frozenset("And Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Not Or Xor".split())
COUNTS = frozenset(("ArgMax", "ArgMin", "Shape", "Size"))
INDICES = ("MaxPool", "TopK")  # whose second output are indices
# the input whose type the output has; the first elsewhere
LIKE = {"DequantizeLinear": 1, "QuantizeLinear": 2, "Where": 1}


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


# The size of an axis: a number, or SOME, which is not known but 1 or more (as S, N, Q and B are:
# no graph is run on an empty input), or None, of which nothing is known.
SOME = "some"
Size = int | str | None
Sizes = tuple[Size, ...] | None  # None: not even the number of axes
Numbers = list[Size] | None  # the values of a short int64 tensor, as far as they are known
MOST = 64  # numbers of an int64 tensor that are followed

SAME = frozenset(
    "Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization Cast Ceil Celu Clip Cos Cosh CumSum "
    "DequantizeLinear Elu Erf Exp EyeLike Floor HardSigmoid HardSwish Identity IsNaN "
    "LayerNormalization LeakyRelu Log LogSoftmax Neg Not QuantizeLinear Reciprocal Relu Round "
    "ScatterElements ScatterND Selu Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Tan "
    "Tanh".split()
)
BROADCAST = frozenset(
    "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or PRelu Pow Sub "
    "Sum Where Xor".split()
)
WINDOWS = frozenset(("AveragePool", "Conv", "ConvTranspose", "MaxPool"))
MAPS = WINDOWS | {"GlobalAveragePool", "GlobalMaxPool"}  # what runs over [B, C, ...]
# what makes of numbers that are 0 or more only such numbers
KEEP_NATURAL = frozenset(
    "Add Concat Gather Identity Max Min Mul Reshape Slice Squeeze Unsqueeze".split()
)


def is_positive(size: Size) -> bool:
    """Whether an axis is known not to be empty."""
    return size == SOME or (isinstance(size, int) and size > 0)


class Follower:
    """The sizes of every tensor of one graph, and the numbers in those that shapes are made of."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.sizes: dict[str, Sizes] = {"": None}
        self.numbers: dict[str, Numbers] = {}
        self.folded: set[str] = {""}  # computed from constants and shapes alone
        self.natural: set[str] = set()  # of integers that are 0 or more, as every size is

    def note_constant(self, name: str, shape: Sequence[int], values: Sequence[int] | None) -> None:
        """An initialiser, or what a Constant gives."""
        self.sizes[name] = tuple(shape)
        self.folded.add(name)
        if values is not None:
            self.numbers[name] = list(values)
            if min(values, default=0) >= 0:
                self.natural.add(name)

    def note_input(self, name: str, shape: Sequence[int | str]) -> None:
        """An input of the graph: where its size is a symbol, it is 1 or more."""
        self.sizes[name] = tuple(SOME if isinstance(size, str) else size for size in shape)

    def note_node(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Value],
    ) -> None:
        """What comes of a node; a PackageError where it could leave its map, or a size be < 0."""
        node = _Node(self, op, inputs, outputs, attributes)
        node.check()
        if op in ("Shape", "Size") or (inputs and self.folded.issuperset(inputs)):
            self.folded.update(outputs)
        if op in ("Shape", "Size") or (op in KEEP_NATURAL and self._made_of_natural(op, inputs)):
            self.natural.update(outputs)
        if op == "Constant":
            return  # noted with its value
        found = node.infer()
        for name, sizes in zip_longest(outputs, found[: len(outputs)]):
            if name:
                self.sizes[name] = sizes
        numbers = node.compute()
        if outputs and numbers is not None and len(numbers) <= MOST:
            self.numbers[outputs[0]] = numbers

    def _made_of_natural(self, op: str, inputs: Sequence[str]) -> bool:
        """Whether the numbers that the node hands on are 0 or more; others say where they are."""
        numbers = inputs if op in ("Add", "Concat", "Max", "Min", "Mul") else inputs[:1]
        return bool(numbers) and self.natural.issuperset(numbers)


class _Node:
    """One node, with what is known of its inputs."""

    def __init__(
        self,
        known: Follower,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Value],
    ) -> None:
        self.known, self.op, self.attributes = known, op, attributes
        self.inputs, self.outputs = inputs, outputs
        self.ins = [known.sizes.get(name) for name in inputs]

    def number(self, name: str, default: int) -> int:
        """An attribute that is one integer."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, int) else default

    def entries(self, name: str) -> list[int]:
        """An attribute that is a list of integers; empty where it is not given."""
        value = self.attributes.get(name)
        return [v for v in value if isinstance(v, int)] if isinstance(value, list) else []

    def at(self, i: int) -> Numbers:
        """The numbers in the input `i`."""
        return self.known.numbers.get(self.inputs[i]) if i < len(self.inputs) else None

    def has(self, i: int) -> bool:
        """Whether there is an input `i`."""
        return i < len(self.inputs) and bool(self.inputs[i])

    def constants(self, i: int) -> list[int] | None:
        """The numbers in the input `i`, where every one of them is known."""
        numbers = self.at(i)
        if numbers is None:
            return None
        whole = [n for n in numbers if isinstance(n, int)]
        return whole if len(whole) == len(numbers) else None

    def part(self, sizes: tuple[Size, ...]) -> tuple[Size, ...]:
        """The axes that a Shape is asked for."""
        return sizes[self.number("start", 0) : self.number("end", len(sizes))]

    def check(self) -> None:
        """Raise a PackageError where a session of the node could end the process."""
        if self.op in ("Expand", "Pad") and len(self.inputs) > 1:
            self._check_made()
        if self.op in MAPS:
            self._check_map()

    def _check_made(self) -> None:
        """A size below 0 that is known while a session is built ends the process."""
        name = self.inputs[1]
        if name not in self.known.folded:
            return  # known when the graph runs, and refused there by onnxruntime
        numbers = self.at(1)
        if name in self.known.natural:
            return
        if numbers is None or any(n is None or (isinstance(n, int) and n < 0) for n in numbers):
            what = "pads" if self.op == "Pad" else "sizes"
            raise PackageError(
                f"{self.op} with {what} {name[:60]!r}, wanted constants of 0 or more", hint=HINT
            )

    def _check_map(self) -> None:
        name = (self.inputs[0] if self.inputs else "")[:60]
        sizes = self.ins[0] if self.ins else None
        most = 4 if self.op == "ConvTranspose" else 5
        if sizes is None or not 3 <= len(sizes) <= most or not all(map(is_positive, sizes)):
            raise PackageError(
                f"{self.op} over {name!r}, of which is known {_show(sizes)}, wanted 3 to {most} "
                "axes that are known not to be empty",
                hint=HINT,
            )
        windows = self._windows(len(sizes) - 2) if self.op in WINDOWS else []
        for size, window in zip(sizes[2:], windows, strict=False):
            if not window.stands(size):
                raise PackageError(
                    f"{self.op} over {name!r} {_show(sizes)} has a window of {window.reach} with "
                    f"stride {window.stride} and padding {window.padding}, beyond its map",
                    hint=HINT,
                )

    def _windows(self, axes: int) -> "list[_Window]":
        """The window along each axis of the map."""
        kernel: Sequence[Size] = self.entries("kernel_shape")
        if not kernel and self.op.startswith("Conv") and len(self.ins) > 1:
            kernel = (self.ins[1] or ())[2:]
        strides = self.entries("strides") or [1] * axes
        dilations = self.entries("dilations") or [1] * axes
        pads = self.entries("pads") or [0] * 2 * axes
        extra = self.entries("output_padding") or [0] * axes
        made = self.entries("output_shape")
        lists = (kernel, strides, dilations, extra, made or kernel)
        if any(len(each) != axes for each in lists) or len(pads) != 2 * axes:
            raise PackageError(f"{self.op} whose attributes are not of {axes} axes", hint=HINT)
        auto = self.attributes.get("auto_pad", "NOTSET")
        same = auto in ("SAME_UPPER", "SAME_LOWER")
        if same and "pads" in self.attributes:
            raise PackageError(f"{self.op} with `pads` and `auto_pad` {auto}", hint=HINT)
        windows = []
        for i, width in enumerate(kernel):
            if not isinstance(width, int) or width < 1:
                raise PackageError(f"{self.op} whose window is not known", hint=HINT)
            padding = 0 if auto == "VALID" else pads[i] + pads[i + axes]
            reach = dilations[i] * (width - 1) + 1
            ceil = bool(self.number("ceil_mode", 0))
            size = made[i] if made else None
            windows.append(_Window(self.op, reach, strides[i], padding, same, ceil, extra[i], size))
        return windows

    def infer(self) -> list[Sizes]:
        """The sizes of the outputs, as far as they are known."""
        first = self.ins[0] if self.ins else None
        if self.op in SAME:
            return [first]
        if self.op in BROADCAST:
            return [_broadcast(self.ins)]
        if self.op in WINDOWS and first:
            return self._of_windows(first)
        if self.op.startswith("Reduce") or self.op.startswith("Arg"):
            return [self._reduce(first)]
        rule = RULES.get(self.op)
        try:
            return rule(self, first) if rule and first is not None else [None]
        except (IndexError, ValueError, TypeError):  # onnxruntime refuses what does not fit
            return [None]

    def _of_windows(self, first: tuple[Size, ...]) -> list[Sizes]:
        windows = self._windows(len(first) - 2)
        channels = first[1]
        if self.op == "Conv":
            channels = (self.ins[1] or (None,))[0]
        if self.op == "ConvTranspose":
            filters = (*(self.ins[1] or ()), None, None)[1]
            group = self.number("group", 1)
            channels = filters * group if isinstance(filters, int) else filters
        sizes = (window.leaves(size) for size, window in zip(first[2:], windows, strict=True))
        return [(first[0], channels, *sizes)] * 2

    def _reduce(self, first: Sizes) -> Sizes:
        if first is None:
            return None
        rank = len(first)
        if self.op.startswith("Arg"):
            axes: list[int] | None = [self.number("axis", 0)]
        elif self.has(1):
            axes = self.constants(1)
        elif self.number("noop_with_empty_axes", 0):
            return first
        else:
            axes = list(range(rank))
        keep = self.number("keepdims", 1)
        if axes is None:
            return (None,) * rank if keep else None
        if not axes:
            axes = [] if self.number("noop_with_empty_axes", 0) else list(range(rank))
        gone = {axis % rank for axis in axes} if rank else set()
        if keep:
            return tuple(1 if i in gone else size for i, size in enumerate(first))
        return tuple(size for i, size in enumerate(first) if i not in gone)

    def compute(self) -> Numbers:
        """The numbers in the first output, where it is a short int64 tensor."""
        first = self.ins[0] if self.ins else None
        if self.op == "Shape" and first is not None:
            return list(self.part(first))
        if self.op == "Size" and first is not None:
            return [_product(first)]
        numbers = self.at(0)
        if self.op in ("Squeeze", "Unsqueeze", "Identity", "Reshape", "Cast"):
            return numbers if self.op != "Cast" or self.number("to", 0) == INT64 else None
        if self.op == "Concat":
            parts = [self.at(i) for i in range(len(self.inputs))]
            if any(part is None for part in parts):
                return None
            return [number for part in parts for number in part or []]
        if numbers is None:
            return None
        if self.op == "Gather" and (chosen := self.constants(1)) is not None:
            inside = all(-len(numbers) <= i < len(numbers) for i in chosen)
            return [numbers[i] for i in chosen] if inside else None
        if self.op == "Slice":
            return self._slice_numbers(numbers)
        if self.op == "Abs":
            return [abs(n) if isinstance(n, int) else n for n in numbers]
        other = self.at(1)
        if self.op in ARITHMETIC and other is not None and {len(numbers), len(other)} & {1}:
            pairs = zip(
                numbers * (len(other) if len(numbers) == 1 else 1),
                other * (len(numbers) if len(other) == 1 else 1),
                strict=True,
            )
            return [ARITHMETIC[self.op](a, b) for a, b in pairs]
        if self.op in ARITHMETIC and other is not None and len(numbers) == len(other):
            return [ARITHMETIC[self.op](a, b) for a, b in zip(numbers, other, strict=True)]
        return None

    def _slice_numbers(self, numbers: list[Size]) -> Numbers:
        start, end = self.constants(1), self.constants(2)
        step = self.constants(4) if self.has(4) else [1]
        if not (start and end and step and step[0]) or len(start) != 1:
            return None
        return numbers[slice(start[0], end[0], step[0])] if step[0] > 0 else None


class _Window:
    """A window along one axis of its map."""

    def __init__(
        self,
        op: str,
        reach: int,
        stride: int,
        padding: int,
        same: bool,
        ceil: bool,
        extra: int,
        made: int | None,
    ) -> None:
        self.op, self.reach, self.stride, self.padding = op, reach, stride, padding
        self.same, self.ceil, self.extra, self.made = same, ceil, extra, made

    def stands(self, size: Size) -> bool:
        """Whether something comes of an axis of this size; SOME is taken as 1, its least."""
        least = size if isinstance(size, int) else 1
        if self.same or self.made:
            return True
        if self.op == "ConvTranspose":
            return self.stride * (least - 1) + self.extra + self.reach - self.padding >= 1
        over = self.reach - least - self.padding  # how far the window reaches beyond
        return over <= 0 if self.op == "Conv" else over < self.stride

    def leaves(self, size: Size) -> Size:
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


def _show(sizes: Sizes) -> str:
    if sizes is None:
        return "nothing"
    return "[" + ", ".join("?" if size is None else str(size) for size in sizes) + "]"


def _product(sizes: Sequence[Size]) -> Size:
    numbers = [size for size in sizes if isinstance(size, int)]
    if len(numbers) == len(sizes):
        return math.prod(numbers)
    return SOME if all(map(is_positive, sizes)) else None


def _broadcast(shapes: Sequence[Sizes]) -> Sizes:
    known = [sizes for sizes in shapes if sizes is not None]
    if len(known) != len(shapes) or not known:
        return None
    rank = max(map(len, known))
    axes = zip(*[(1,) * (rank - len(sizes)) + sizes for sizes in known], strict=True)
    return tuple(_widest(axis) for axis in axes)


def _widest(axis: Sequence[Size]) -> Size:
    """The size of a broadcast axis: the one above 1, or 0, or what is left open."""
    numbers = {size for size in axis if isinstance(size, int)} - {1}
    if len(numbers) == 1:
        return numbers.pop()
    if numbers or None in axis:
        return None
    return SOME if SOME in axis else 1


def _matmul(node: _Node, a: tuple[Size, ...]) -> list[Sizes]:
    b = node.ins[1]
    if b is None or not a or not b:
        return [None]
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    batch = _broadcast([a[:-2], b[:-2]])
    return [(*(batch or ()), *rows, *columns)]


def _gemm(node: _Node, a: tuple[Size, ...]) -> list[Sizes]:
    b = node.ins[1]
    if b is None:
        return [None]
    return [(a[1 if node.number("transA", 0) else 0], b[0 if node.number("transB", 0) else 1])]


def _reshape(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    wanted = node.at(1)
    if wanted is None:
        shape = node.ins[1]
        return [(None,) * shape[0] if shape and isinstance(shape[0], int) else None]
    copied = [
        first[i] if size == 0 and not node.number("allowzero", 0) else size
        for i, size in enumerate(wanted)
    ]
    if -1 in copied:
        at, total = copied.index(-1), _product(first)
        rest = _product([*copied[:at], *copied[at + 1 :]])
        if isinstance(total, int) and isinstance(rest, int) and rest:
            copied[at] = total // rest
        else:  # a part of something is something
            copied[at] = SOME if is_positive(total) else None
    return [tuple(copied)]


def _flatten(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    axis = node.number("axis", 1)
    axis += len(first) if axis < 0 else 0
    return [(_product(first[:axis]), _product(first[axis:]))]


def _squeeze(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    if not node.has(1):  # all axes of 1, which have to be known
        known = all(isinstance(size, int) for size in first)
        return [tuple(size for size in first if size != 1) if known else None]
    axes = node.constants(1)
    if axes is None:
        return [None]
    gone = {axis % len(first) for axis in axes}
    return [tuple(size for i, size in enumerate(first) if i not in gone)]


def _unsqueeze(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    axes = node.constants(1)
    if axes is None:
        return [None]
    rank = len(first) + len(axes)
    new = {axis % rank for axis in axes}
    rest = iter(first)
    return [tuple(1 if i in new else next(rest) for i in range(rank))]


def _concat(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    known = [sizes for sizes in node.ins if sizes is not None]
    if len(known) != len(node.ins) or len(set(map(len, known))) != 1:
        return [None]
    axis = node.number("axis", 0) % len(first)
    along = [sizes[axis] for sizes in known]
    numbers = [size for size in along if isinstance(size, int)]
    total: Size = sum(numbers)
    if len(numbers) != len(along):  # one that is not empty is enough
        total = SOME if any(map(is_positive, along)) else None
    others = [_agree([sizes[i] for sizes in known]) for i in range(len(first))]
    return [(*others[:axis], total, *others[axis + 1 :])]


def _agree(axis: Sequence[Size]) -> Size:
    """The size that all have, by the one that knows most."""
    for size in axis:
        if isinstance(size, int):
            return size
    return SOME if SOME in axis else None


def _slice(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    starts, ends = node.constants(1), node.constants(2)
    axes = node.constants(3) if node.has(3) else list(range(len(starts or ())))
    if axes is None:
        return [(None,) * len(first)]
    steps = node.constants(4) if node.has(4) else [1] * len(axes)
    sizes = list(first)
    for i, axis in enumerate(axes):
        sizes[axis] = (
            _part(first[axis], starts[i], ends[i], steps[i]) if starts and ends and steps else None
        )
    return [tuple(sizes)]


def _part(size: Size, start: int, end: int, step: int) -> Size:
    if isinstance(size, int) and step:
        least = 0 if step > 0 else -1
        begin, stop = (
            min(max(at + size if at < 0 else at, least), size + least) for at in (start, end)
        )
        return len(range(begin, stop, step))
    whole = start == 0 and end >= 2**31 - 1 and step == 1
    starts_inside = step > 0 and ((start == 0 and end > 0) or (start < 0 and end >= 2**31 - 1))
    return size if whole else SOME if size == SOME and starts_inside else None


def _split(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    axis = node.number("axis", 0) % len(first)
    count, size = len(node.outputs), first[axis]
    parts: Sequence[Size] = [None] * count
    if node.has(1):
        parts = node.at(1) or parts
    elif isinstance(size, int):
        each = -(-size // count)
        parts = [*[each] * (count - 1), size - each * (count - 1)]
    return [(*first[:axis], part, *first[axis + 1 :]) for part in parts]


def _pad(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    pads, axes = node.constants(1), node.constants(3) if node.has(3) else [*range(len(first))]
    if pads is None or axes is None:
        return [(None,) * len(first)]
    sizes = list(first)
    for i, axis in enumerate(axes):
        size, more = first[axis], pads[i] + pads[i + len(axes)]
        sizes[axis] = size + more if isinstance(size, int) else SOME if more > 0 else size
    return [tuple(sizes)]


def _expand(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    numbers = node.at(1)
    return [_broadcast([first, tuple(numbers)]) if numbers is not None else None]


def _tile(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    repeats = node.at(1)
    if repeats is None:
        return [(None,) * len(first)]
    return [tuple(_product(pair) for pair in zip(first, repeats, strict=True))]


def _gather(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    indices, axis = node.ins[1], node.number("axis", 0) % len(first)
    return [None if indices is None else (*first[:axis], *indices, *first[axis + 1 :])]


def _gather_nd(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    indices = node.ins[1]
    if not indices or not isinstance(indices[-1], int):
        return [None]
    return [(*indices[:-1], *first[indices[-1] :])]


def _transpose(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    order = node.entries("perm") or range(len(first))[::-1]
    return [tuple(first[i] for i in order)]


def _top(node: _Node, first: tuple[Size, ...]) -> list[Sizes]:
    axis, count = node.number("axis", -1) % len(first), node.at(1)
    return [(*first[:axis], count[0] if count else None, *first[axis + 1 :])] * 2


def _range(node: _Node, _: tuple[Size, ...]) -> list[Sizes]:
    start, limit, step = (node.at(i) for i in range(3))
    counts = start == [0] and step == [1] and limit is not None and len(limit) == 1
    return [(limit[0] if counts and limit and is_positive(limit[0]) else None,)]


def _filled(node: _Node, _: tuple[Size, ...]) -> list[Sizes]:
    numbers = node.at(0)
    return [tuple(numbers) if numbers is not None else None]


Rule = Callable[[_Node, tuple[Size, ...]], list[Sizes]]
RULES: dict[str, Rule] = {
    "Concat": _concat,
    "ConstantOfShape": _filled,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "GatherElements": lambda node, _: [node.ins[1]],
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _, first: [(*first[:2], *[1] * (len(first) - 2))],
    "GlobalMaxPool": lambda _, first: [(*first[:2], *[1] * (len(first) - 2))],
    "MatMul": _matmul,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": lambda node, first: [(len(node.part(first)),)],
    "Size": lambda *_: [()],
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "TopK": _top,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}


def _calculate(exact: Callable[[int, int], int], grows: bool) -> Callable[[Size, Size], Size]:
    """Arithmetic with sizes of which some are only known to be 1 or more."""

    def result(a: Size, b: Size) -> Size:
        if isinstance(a, int) and isinstance(b, int):
            return exact(a, b)
        return SOME if grows and is_positive(a) and is_positive(b) else None

    return result


ARITHMETIC = {
    "Add": _calculate(lambda a, b: a + b, grows=True),
    "Mul": _calculate(lambda a, b: a * b, grows=True),
    "Sub": _calculate(lambda a, b: a - b, grows=False),
    "Div": _calculate(lambda a, b: a // b if b > 0 and a >= 0 else -1, grows=False),
    "Max": _calculate(max, grows=True),
    "Min": _calculate(min, grows=True),
}
