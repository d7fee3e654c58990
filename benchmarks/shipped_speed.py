"""Milliseconds that the shipped packages take to adapt and to answer, on one thread.

To compare two checkouts, run it in turns with PYTHONPATH=CHECKOUT/.editable and `--dry`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from results import section

import handful
from handful.runtime.package.shipped import SHIPPED

WAY, SHOTS, NAMES = 5, (1, 5), ("omniglot-leo", "omniglot-maml")


def median_ms(run: Callable[[], object], rounds: int) -> float:
    """The median over rounds, after one that is not counted."""
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times[1:])


def measure(name: str, shot: int, rounds: int) -> str:
    """A row of the table: adapting after embedding, one prediction after embedding."""
    learner = handful.load(SHIPPED / name)
    engine = learner._engine
    x = np.random.default_rng(0).random((WAY * shot, *learner.input.shape), dtype=np.float32)
    y = np.repeat(np.eye(WAY, dtype=np.float32), shot, axis=0)
    support_x = engine.embed(x)
    state = engine.adapt(support_x, y)
    adapting = median_ms(lambda: engine.adapt(support_x, y), rounds)
    predicting = median_ms(lambda: engine.predict(state, support_x[:1]), rounds)
    return f"| {name} | {shot} | {adapting:.3g} | {predicting:.3g} |"


def main() -> None:
    """Measure each package at each shot; write the section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--dry", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    head = "| package | shots | adapting, ms | one prediction, ms |\n| --- | --- | --- | --- |"
    rows = [measure(name, shot, options.rounds) for name in NAMES for shot in SHOTS]
    table = "\n".join([head, *rows])
    print(table)
    if not options.dry:
        section("shipped speed", "python benchmarks/shipped_speed.py", table)


if __name__ == "__main__":
    main()
