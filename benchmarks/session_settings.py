"""The sessions' memory and optimisation settings, each in processes of its own, in turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from first_answer import SETTINGS

CHILD = Path(__file__).parent / "first_answer.py"
HEAD = [
    "| package | setting | cold start, s | peak RSS, MiB | adapting, 1 shot, ms | 5 shots, ms |",
    "| --- | --- | --- | --- | --- | --- |",
]


def settings_table(packages: dict[str, tuple[str, Path]], runs: int) -> list[str]:
    """The table's lines of {name: (package, file of its examples)}."""
    rows = list(HEAD)
    for name, (package, examples) in packages.items():
        found: dict[str, list[list[float]]] = {setting: [] for setting in SETTINGS}
        for turn in range(runs + 1):  # the first warms up and does not count
            for setting, numbers in found.items():
                one = first_answer(package, examples, setting)
                if turn:
                    numbers.append(one)
        for setting, numbers in found.items():
            cold, peak, one, five = map(statistics.median, zip(*numbers, strict=True))
            rows.append(
                f"| {name} | {setting} | {cold:.3f} | {peak:.1f} | {one:.2f} | {five:.2f} |"
            )
    return rows


def first_answer(package: str, examples: Path, setting: str) -> list[float]:
    """Seconds to the first answer, its peak in MiB, ms of adapting at 1 and at 5 shots."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, str(CHILD), package, str(examples), setting],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        peak = process.stdout.readline()
        cold = time.perf_counter() - began
        adapting = process.stdout.readline()
    return [cold, int(peak) / 2**20, *map(float, adapting.split())]
