"""Functions timed against each other, in turns, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def medians(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each; the first round warms up and does not count."""
    return [statistics.median(seconds) for seconds in durations(functions, rounds)]


def durations(
    functions: Sequence[Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Seconds of each function in each round; the first round warms up and does not count."""
    seconds: list[list[float]] = [[] for _ in functions]
    for turn in range(rounds + 1):
        for function, measured in zip(functions, seconds, strict=True):
            start = clock()
            function()
            if turn:
                measured.append(clock() - start)
    return seconds
