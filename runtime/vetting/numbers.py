"""What is known of numbers and sizes before a graph runs, and arithmetic with that."""

import math
from collections.abc import Callable, Sequence

# What is known of one number: the number itself, or that it is at least 1 (as S, N, Q and B are: no
# graph is run on an empty input), or at least 0 (as every size is), or nothing.
SOME, NATURAL = "some", "natural"
Number = int | str | None
Sizes = tuple[Number, ...] | None  # of the axes, each at least NATURAL; None: not even how many
Numbers = list[Number] | str | None  # of a short int64 list or scalar; NATURAL: of any count
MOST = 64  # numbers of an int64 tensor that are followed


def least(number: Number) -> float:
    """What the number is not below."""
    if isinstance(number, int):
        return number
    return {SOME: 1, NATURAL: 0, None: -math.inf}[number]


def at_least(bound: float) -> Number:
    """What is known of a number that is not below the bound."""
    return SOME if bound >= 1 else NATURAL if bound >= 0 else None


def _calculate(
    exact: Callable[[int, int], int], bound: Callable[[float, float], float] | None = None
) -> Callable[[Number, Number], Number]:
    """Arithmetic with numbers of which some are known by their least alone."""

    def result(a: Number, b: Number) -> Number:
        if isinstance(a, int) and isinstance(b, int):
            return exact(a, b)
        return at_least(bound(least(a), least(b))) if bound else None

    return result


ARITHMETIC = {
    "Add": _calculate(lambda a, b: a + b, lambda a, b: a + b),
    "Mul": _calculate(lambda a, b: a * b, lambda a, b: a * b if min(a, b) >= 0 else -math.inf),
    "Sub": _calculate(lambda a, b: a - b),
    "Div": _calculate(lambda a, b: a // b if b > 0 and a >= 0 else -1),
    "Max": _calculate(max, max),
    "Min": _calculate(min, min),
}


def least_of(numbers: Numbers) -> float:
    """What none of the numbers is below."""
    return min(map(least, numbers), default=0) if isinstance(numbers, list) else least(numbers)


def keep_short(numbers: Numbers, sizes: Sizes) -> Numbers:
    """The numbers of a short list or scalar; of all others whether they are 0 or more.

    Numbers in two axes are not followed: what takes some of them takes whole rows.
    """
    if isinstance(numbers, list) and (len(numbers) > MOST or sizes is None or len(sizes) > 1):
        return NATURAL if least_of(numbers) >= 0 else None
    return numbers


def product(sizes: Sequence[Number]) -> Number:
    """How many elements a tensor of these sizes has."""
    total: Number = 1
    for size in sizes:
        total = ARITHMETIC["Mul"](total, size)
    return total


def broadcast_size(axis: Sequence[Number]) -> Number:
    """The size of a broadcast axis: the one above 1, or 0, or what is left open."""
    numbers = {size for size in axis if isinstance(size, int)} - {1}
    if len(numbers) == 1:
        return numbers.pop()
    if numbers or min(map(least, axis)) < 1:
        return None
    return SOME if SOME in axis else 1


def common_size(axis: Sequence[Number]) -> Number:
    """The size that all have, by the one that knows most."""
    for size in axis:
        if isinstance(size, int):
            return size
    return SOME if SOME in axis else None
