"""`handful photos --precision`: accuracy, time and size of each, beside float32 on the same tasks.

`python benchmarks/precision.py FOLDER`, FOLDER holding caltech101_84.zip and caltech101_index.json.
`--split val` measures the validation classes, on which choices were made. `--dry` writes no
file. Needs the extra `photos`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
from photos import BACKBONE, QUERIES, SHOTS, WAYS, pictures
from tables import write_table

import handful
from handful.runtime.package.manifest import Precision
from handful.runtime.tools.evaluate import compare
from handful.runtime.tools.text import difference
from handful.trainer.commands.evaluate import evaluate_command
from handful.trainer.commands.photos import Request, photos_command
from handful.trainer.commands.subjects import Plan
from handful.trainer.evaluation import Result

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
BATCH = 5  # pictures of a support set, embedded together


def accuracies(package: Path, data: Path, episodes: int) -> list[Result]:
    """One result for each size of task."""
    plan = Plan(ways=WAYS, shots=SHOTS, queries=QUERIES, episodes=episodes, yardsticks=False)
    return evaluate_command(
        str(package),
        plan,
        transductive=False,
        device="cpu",
        workers=1,
        count=lambda name, total: lambda: None,
        data=str(data),
    )


def seconds(packages: Mapping[Precision, Path], rounds: int) -> dict[Precision, list[list[float]]]:
    """Of each: the rounds of loading until the first answer, one picture and five; in turns."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (BATCH, 3, 224, 224)).astype(np.float32)
    taken: dict[Precision, list[list[float]]] = {name: [[], [], []] for name in packages}
    for _ in range(rounds):
        for name, package in packages.items():
            began = time.perf_counter()
            engine = handful.load(package)._engine
            engine.embed(x[:1])
            taken[name][0].append(time.perf_counter() - began)
            for column, count in ((1, 1), (2, BATCH)):
                began = time.perf_counter()
                engine.embed(x[:count])
                taken[name][column].append(time.perf_counter() - began)
    return taken


def row(
    name: Precision, package: Path, taken: dict[Precision, list[list[float]]], cells: list[str]
) -> str:
    """A line of the table; the ratios are medians over rounds of the same time."""
    size = (package / "embed.onnx").stat().st_size / 1e6
    for whole, own in zip(taken["float32"], taken[name], strict=True):
        ratio = statistics.median(a / b for a, b in zip(whole, own, strict=True))
        cells.append(f"{1e3 * statistics.median(own):.1f} ({ratio:.2f} ×)")
    return f"| {name} | {size:.1f} | {' | '.join(cells)} |"


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = pictures(options.folder, options.split, Path(temporary) / "caltech101")
        packages: dict[Precision, Path] = {name: Path(temporary) / name for name in PRECISIONS}
        for name, package in packages.items():
            photos_command(package, Request(backbone=BACKBONE, precision=name), print)
        load, taken = os.getloadavg()[0], seconds(packages, options.rounds)
        results = {name: accuracies(p, data, options.episodes) for name, p in packages.items()}
        sizes = " | ".join(f"{r.way}-way {r.shot}-shot %" for r in results["float32"])
        lines = [
            f"Caltech-101 at 84 pixels, {options.split} classes, {options.episodes} tasks; in"
            " brackets the difference to float32 on the same tasks, or how many times as fast it"
            f" is: medians of {options.rounds} rounds in turns, one thread, load of the machine"
            f" before them {load:.1f}.",
            "",
            f"| precision | `embed`, MB | {sizes} | load and first picture, ms | a picture, ms |"
            f" {BATCH} pictures, ms |",
            "| --- " * (5 + len(results["float32"])) + "|",
        ]
        for name, package in packages.items():
            cells = []
            for own, whole in zip(results[name], results["float32"], strict=True):
                beside = compare("float32", own.values, whole.values)
                cells.append(f"{100 * own.value:.2f} ({difference(beside)})")
            lines.append(row(name, package, taken, cells))
    print("\n".join(lines))
    if not options.dry and options.split == "test":
        title = "EfficientNet-Lite0's `embed` in lower precision"
        command = "python benchmarks/precision.py FOLDER"
        write_table("precision", title, command, "\n".join(lines))


if __name__ == "__main__":
    main()
