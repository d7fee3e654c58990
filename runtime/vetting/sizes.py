"""What is known of the sizes of a graph's tensors before it runs.

Sizes decide whether a window (Conv, MaxPool …) stands on a map at all. What is not followed here
is not known, and a window over it is refused: this need not be complete, only right. It also has
to know what onnxruntime infers while a session is built, where negative sizes end the process.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import zip_longest

from handful.runtime.errors import PackageError

from .numbers import (
    ARITHMETIC,
    NATURAL,
    SOME,
    Number,
    Numbers,
    Sizes,
    broadcast_size,
    common_size,
    keep_short,
    least,
    least_of,
    product,
)
from .operators import HINT, INT64, Value
from .windows import WINDOWED, Window, integers, windows_of

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
MAPS = WINDOWED | {"GlobalAveragePool", "GlobalMaxPool"}  # what runs over [B, C, ...]
# what makes of numbers that are 0 or more only such numbers
KEEP_NATURAL = frozenset(
    "Add Concat Gather Identity Max Min Mul Reshape Slice Squeeze Unsqueeze".split()
)
OF_ALL = frozenset(("Add", "Concat", "Max", "Min", "Mul"))  # whose inputs all hold such numbers


class Follower:
    """The sizes of every tensor of one graph, and the numbers in those that shapes are made of."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.sizes: dict[str, Sizes] = {"": None}
        self.numbers: dict[str, Numbers] = {}
        self.folded: set[str] = {""}  # computed from constants and shapes alone

    def note_constant(self, name: str, shape: Sequence[int], values: Sequence[int] | None) -> None:
        """An initialiser, or what a Constant gives."""
        self.sizes[name] = tuple(shape)
        self.folded.add(name)
        if values is not None:
            self.numbers[name] = keep_short(list(values), self.sizes[name])

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
        if op == "Constant":
            return  # noted with its value
        found = node.infer()
        for name, sizes in zip_longest(outputs, found[: len(outputs)]):
            if name:
                self.sizes[name] = sizes and tuple(NATURAL if n is None else n for n in sizes)
        if outputs and outputs[0]:
            self.numbers[outputs[0]] = keep_short(node.compute(), self.sizes[outputs[0]])


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

    def at(self, i: int) -> list[Number] | None:
        """The numbers in the input `i`, where it is known how many they are."""
        numbers = self.known.numbers.get(self.inputs[i]) if i < len(self.inputs) else None
        return numbers if isinstance(numbers, list) else None

    def bound(self, i: int) -> float:
        """What none of the numbers in the input `i` is below."""
        return least_of(self.known.numbers.get(self.inputs[i]))

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

    def part(self, sizes: tuple[Number, ...]) -> tuple[Number, ...]:
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
        if self.bound(1) < 0:
            what = "pads" if self.op == "Pad" else "sizes"
            raise PackageError(
                f"{self.op} with {what} {name[:60]!r}, wanted constants of 0 or more", hint=HINT
            )

    def _check_map(self) -> None:
        name = (self.inputs[0] if self.inputs else "")[:60]
        sizes = self.ins[0] if self.ins else None
        most = 4 if self.op == "ConvTranspose" else 5
        if sizes is None or not 3 <= len(sizes) <= most or not all(least(n) >= 1 for n in sizes):
            raise PackageError(
                f"{self.op} over {name!r}, of which is known {_show(sizes)}, wanted 3 to {most} "
                "axes that are known not to be empty",
                hint=HINT,
            )
        windows = self._windows(len(sizes) - 2) if self.op in WINDOWED else []
        for size, window in zip(sizes[2:], windows, strict=False):
            if not window.stands(size):
                raise PackageError(
                    f"{self.op} over {name!r} {_show(sizes)} has a window of {window.reach} with "
                    f"stride {window.stride} and padding {window.padding}, beyond its map",
                    hint=HINT,
                )

    def _windows(self, axes: int) -> list[Window]:
        filters = self.ins[1] if len(self.ins) > 1 else None
        return windows_of(self.op, self.attributes, filters or (), axes)

    def infer(self) -> list[Sizes]:
        """The sizes of the outputs, as far as they are known."""
        first = self.ins[0] if self.ins else None
        if self.op in SAME:
            return [first]
        if self.op in BROADCAST:
            return [_broadcast(self.ins)]
        if self.op in WINDOWED and first:
            return self._of_windows(first)
        if self.op.startswith("Reduce") or self.op.startswith("Arg"):
            return [self._reduce(first)]
        rule = RULES.get(self.op)
        try:
            return rule(self, first) if rule and first is not None else [None]
        except (IndexError, ValueError, TypeError, ZeroDivisionError):
            return [None]  # onnxruntime refuses what does not fit

    def _of_windows(self, first: tuple[Number, ...]) -> list[Sizes]:
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
        found: Numbers = None
        try:
            found = self._compute()
        except IndexError:  # onnxruntime refuses what lies beyond a list
            pass
        if found is not None:
            return found
        if self.op in ("Shape", "Size"):
            return NATURAL
        count = len(self.inputs) if self.op in OF_ALL else 1
        natural = self.op in KEEP_NATURAL and self.inputs
        return NATURAL if natural and all(self.bound(i) >= 0 for i in range(count)) else None

    def _compute(self) -> list[Number] | None:
        first = self.ins[0] if self.ins else None
        if self.op == "Shape" and first is not None:
            return list(self.part(first))
        if self.op == "Size" and first is not None:
            return [product(first)]
        parts = [self.at(i) for i in range(len(self.inputs))]
        numbers = parts[0] if parts else None
        if numbers is None:
            return None
        if self.op in ("Squeeze", "Unsqueeze", "Identity", "Reshape"):
            return numbers
        if self.op == "Cast":
            return numbers if self.number("to", 0) == INT64 else None
        if self.op == "Gather":
            chosen = self.constants(1)
            return None if chosen is None else [numbers[i] for i in chosen]
        if self.op == "Slice":
            return self._slice_numbers(numbers)
        if self.op == "Abs":
            return [abs(n) if isinstance(n, int) else n for n in numbers]
        known = [part for part in parts if part is not None]
        if len(known) != len(parts):
            return None
        if self.op == "Concat":
            return [number for part in known for number in part]
        count = max(map(len, known))
        if self.op not in ARITHMETIC or any(len(part) not in (1, count) for part in known):
            return None
        columns = [part * (count if len(part) == 1 else 1) for part in known]
        return [reduce(ARITHMETIC[self.op], column) for column in zip(*columns, strict=True)]

    def _slice_numbers(self, numbers: list[Number]) -> list[Number] | None:
        start, end = self.constants(1), self.constants(2)
        step = self.constants(4) if self.has(4) else [1]
        if not (start and end and step and step[0]) or len(start) != 1:
            return None
        return numbers[slice(start[0], end[0], step[0])] if step[0] > 0 else None


def _show(sizes: Sizes) -> str:
    if sizes is None:
        return "nothing"
    return "[" + ", ".join("?" if size == NATURAL else str(size) for size in sizes) + "]"


def _broadcast(shapes: Sequence[Sizes]) -> Sizes:
    known = [sizes for sizes in shapes if sizes is not None]
    if len(known) != len(shapes) or not known:
        return None
    rank = max(map(len, known))
    axes = zip(*[(1,) * (rank - len(sizes)) + sizes for sizes in known], strict=True)
    return tuple(broadcast_size(axis) for axis in axes)


def _matmul(node: _Node, a: tuple[Number, ...]) -> list[Sizes]:
    b = node.ins[1]
    if b is None or not a or not b:
        return [None]
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    batch = _broadcast([a[:-2], b[:-2]])
    return [(*(batch or ()), *rows, *columns)]


def _gemm(node: _Node, a: tuple[Number, ...]) -> list[Sizes]:
    b = node.ins[1]
    if b is None:
        return [None]
    return [(a[1 if node.number("transA", 0) else 0], b[0 if node.number("transB", 0) else 1])]


def _reshape(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    wanted = node.at(1)
    if wanted is None:
        shape = node.ins[1]
        return [(None,) * shape[0] if shape and isinstance(shape[0], int) else None]
    copied = [
        first[i] if size == 0 and not node.number("allowzero", 0) else size
        for i, size in enumerate(wanted)
    ]
    if -1 in copied:
        at, total = copied.index(-1), product(first)
        rest = product([*copied[:at], *copied[at + 1 :]])
        if isinstance(total, int) and isinstance(rest, int) and rest:
            copied[at] = total // rest
        else:  # a part of something is something
            copied[at] = SOME if least(total) >= 1 else None
    return [tuple(copied)]


def _flatten(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    axis = node.number("axis", 1)
    axis += len(first) if axis < 0 else 0
    return [(product(first[:axis]), product(first[axis:]))]


def _squeeze(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    if not node.has(1):  # all axes of 1, which have to be known
        known = all(isinstance(size, int) for size in first)
        return [tuple(size for size in first if size != 1) if known else None]
    axes = node.constants(1)
    if axes is None:
        return [None]
    gone = {axis % len(first) for axis in axes}
    return [tuple(size for i, size in enumerate(first) if i not in gone)]


def _unsqueeze(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    axes = node.constants(1)
    if axes is None:
        return [None]
    rank = len(first) + len(axes)
    new = {axis % rank for axis in axes}
    rest = iter(first)
    return [tuple(1 if i in new else next(rest) for i in range(rank))]


def _concat(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    known = [sizes for sizes in node.ins if sizes is not None]
    if len(known) != len(node.ins) or len(set(map(len, known))) != 1:
        return [None]
    axis = node.number("axis", 0) % len(first)
    along = [sizes[axis] for sizes in known]
    numbers = [size for size in along if isinstance(size, int)]
    total: Number = sum(numbers)
    if len(numbers) != len(along):  # one that is not empty is enough
        total = SOME if max(map(least, along)) >= 1 else None
    others = [common_size([sizes[i] for sizes in known]) for i in range(len(first))]
    return [(*others[:axis], total, *others[axis + 1 :])]


def _slice(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
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


def _part(size: Number, start: int, end: int, step: int) -> Number:
    if isinstance(size, int) and step:
        least = 0 if step > 0 else -1
        begin, stop = (
            min(max(at + size if at < 0 else at, least), size + least) for at in (start, end)
        )
        return len(range(begin, stop, step))
    whole = start == 0 and end >= 2**31 - 1 and step == 1
    starts_inside = step > 0 and ((start == 0 and end > 0) or (start < 0 and end >= 2**31 - 1))
    return size if whole else SOME if size == SOME and starts_inside else None


def _split(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    axis = node.number("axis", 0) % len(first)
    count, size = len(node.outputs), first[axis]
    parts: Sequence[Number] = [None] * count
    if node.has(1):
        parts = node.at(1) or parts
    elif isinstance(size, int):
        each = -(-size // count)
        parts = [*[each] * (count - 1), size - each * (count - 1)]
    return [(*first[:axis], part, *first[axis + 1 :]) for part in parts]


def _pad(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    pads, axes = node.constants(1), node.constants(3) if node.has(3) else [*range(len(first))]
    if pads is None or axes is None:
        return [(None,) * len(first)]
    sizes = list(first)
    for i, axis in enumerate(axes):
        size, more = first[axis], pads[i] + pads[i + len(axes)]
        sizes[axis] = size + more if isinstance(size, int) else SOME if more > 0 else size
    return [tuple(sizes)]


def _expand(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    numbers = node.at(1)
    return [_broadcast([first, tuple(numbers)]) if numbers is not None else None]


def _tile(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    repeats = node.at(1)
    if repeats is None:
        return [(None,) * len(first)]
    return [tuple(product(pair) for pair in zip(first, repeats, strict=True))]


def _gather(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    indices, axis = node.ins[1], node.number("axis", 0) % len(first)
    return [None if indices is None else (*first[:axis], *indices, *first[axis + 1 :])]


def _gather_nd(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    indices = node.ins[1]
    if not indices or not isinstance(indices[-1], int):
        return [None]
    return [(*indices[:-1], *first[indices[-1] :])]


def _transpose(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    order = integers(node.attributes, "perm") or range(len(first))[::-1]
    return [tuple(first[i] for i in order)]


def _top(node: _Node, first: tuple[Number, ...]) -> list[Sizes]:
    axis, count = node.number("axis", -1) % len(first), node.at(1)
    return [(*first[:axis], count[0] if count else None, *first[axis + 1 :])] * 2


def _range(node: _Node, _: tuple[Number, ...]) -> list[Sizes]:
    start, limit, step = (node.at(i) for i in range(3))
    counts = start == [0] and step == [1] and limit is not None and len(limit) == 1
    return [(limit[0] if counts and limit and least(limit[0]) >= 1 else None,)]


def _fill(node: _Node, _: tuple[Number, ...]) -> list[Sizes]:
    numbers = node.at(0)
    return [tuple(numbers) if numbers is not None else None]


Rule = Callable[[_Node, tuple[Number, ...]], list[Sizes]]
RULES: dict[str, Rule] = {
    "Concat": _concat,
    "ConstantOfShape": _fill,
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
