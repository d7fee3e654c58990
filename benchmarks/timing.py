"""Functions timed against each other, in turns, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def medians(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each; the first round warms up and does not count."""
    seconds: list[list[float]] = [[] for _ in functions]
    for turn in range(rounds + 1):
        for function, durations in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            if turn:
                durations.append(time.perf_counter() - start)
    return [statistics.median(durations) for durations in seconds]
