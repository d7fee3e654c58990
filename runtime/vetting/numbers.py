"""What is known of a number before a graph runs, and arithmetic with that."""

import math
from collections.abc import Callable

# What is known of one number: the number itself, or that it is at least 1 (as S, N, Q and B are: no
# graph is run on an empty input), or at least 0 (as every size is), or nothing.
SOME, NATURAL = "some", "natural"
Number = int | str | None


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
