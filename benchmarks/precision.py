"""`handful photos --precision`: accuracy, time and size of each, beside float32 on the same tasks.

`python benchmarks/precision.py DATA BACKBONE …`, DATA the folder of the downloaded collections (see
shifts.py), BACKBONE as in photo_heads.py. The package is what `handful photos` ships, with places,
or with `--features mean` pooled features alone. Times are those of the processor, which other work
on the machine moves less. `--split val` measures the validation classes, on which choices were
made. `--dry` writes no file. What is measured again has its rows replaced, and others stay.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from photo_heads import AT_HOME, SCALES
from photos import SHOTS, WAYS, evaluate, files_of, first_answer
from shifts import pictures
from tables import FOLDER, write_table
from timing import durations

import handful
from handful.runtime.package.manifest import Precision
from handful.runtime.tools.evaluate import compare
from handful.runtime.tools.text import difference
from handful.trainer.commands.photos import Features, Request, photos_command
from handful.trainer.evaluation import Result

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
FEATURES: tuple[Features, ...] = get_args(Features)
BATCH = 5  # pictures of a support set, embedded together
EACH = 5  # photographs of each of five classes, adapted to
COLD = 5  # fresh processes
TIMED = ("load", "a picture", f"{BATCH} pictures", f"adapt to {5 * EACH} files", "first answer")
Taken = dict[Precision, list[list[float]]]  # processor seconds, the rounds of each of TIMED


def request(backbone: Path, features: Features, precision: Precision) -> Request:
    """A package from a backbone's file."""
    scale = SCALES[backbone.stem.split("_")[0]]
    changes = tuple(f"data.{name}={json.dumps(value)}" for name, value in scale.items())
    return Request(
        backbone=str(backbone), changes=changes, features=features, precision=precision,
        licence="Apache-2.0",
    )  # fmt: skip


def work(package: Path, files: Sequence[Sequence[str]]) -> list[Callable[[], object]]:
    """What is timed within this process, in the order of TIMED."""
    learner = handful.load(package)
    shape = learner.manifest.input.shape
    x = np.random.default_rng(0).uniform(-1, 1, (BATCH, *shape)).astype(np.float32)
    examples = {str(i): list(of) for i, of in enumerate(files)}
    return [
        lambda: handful.load(package),
        lambda: learner._engine.embed(x[:1]),
        lambda: learner._engine.embed(x),
        lambda: learner.adapt(examples),
    ]


def seconds(packages: Mapping[Precision, Path], data: Path, rounds: int) -> Taken:
    """Of each precision the rounds of everything, in turns."""
    files = files_of(data, EACH)
    todo: dict[Precision, list[Callable[[], object]]] = {
        name: work(package, files) for name, package in packages.items()
    }
    every = [function for functions in todo.values() for function in functions]
    found = durations(every, rounds, time.process_time)
    apart = iter(found)
    taken: Taken = {name: [next(apart) for _ in functions] for name, functions in todo.items()}
    few = [file for (file,) in files_of(data, classes=BATCH + 1)]
    for name in packages:
        taken[name].append([])
    for _ in range(COLD):
        for name, package in packages.items():
            taken[name][-1].append(first_answer(package, few)[1])
    return taken


def row(cells: list[str], package: Path, taken: Taken, name: Precision) -> str:
    """A line of the table; the ratios are medians over rounds of the same turn."""
    size = (package / "embed.onnx").stat().st_size / 1e6
    cells = [*cells[:3], f"{size:.1f}", *cells[3:]]
    for whole, own in zip(taken["float32"], taken[name], strict=True):
        ratio = statistics.median(a / b for a, b in zip(whole, own, strict=True))
        cells.append(f"{1e3 * statistics.median(own):.1f} ({ratio:.2f} ×)")
    return f"| {' | '.join(cells)} |"


def measure(
    backbone: Path, features: Features, data: Path, episodes: int, rounds: int
) -> list[str]:
    """A row for each precision."""
    with tempfile.TemporaryDirectory() as temporary:
        packages: dict[Precision, Path] = {name: Path(temporary) / name for name in PRECISIONS}
        for name, package in packages.items():
            photos_command(package, request(backbone, features, name), print)
        taken = seconds(packages, data, rounds)
        results: dict[Precision, list[Result]] = {
            name: evaluate(package, data, episodes, yardsticks=False)
            for name, package in packages.items()
        }
        lines = []
        for name, package in packages.items():
            cells = [backbone.stem, features, name]
            for own, whole in zip(results[name], results["float32"], strict=True):
                beside = compare("float32", own.values, whole.values)
                cells.append(f"{100 * own.value:.2f} ({difference(beside)})")
            lines.append(row(cells, package, taken, name))
            print(lines[-1], flush=True)
    return lines


def kept(file: Path, backbone: Path, features: Features) -> list[str]:
    """The rows that were measured before, of other packages."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    rows = [line for line in lines if line.startswith(tuple(f"| {kind}" for kind in SCALES))]
    return [line for line in rows if not line.startswith(f"| {backbone.stem} | {features} |")]


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("backbones", type=Path, nargs="+")
    parser.add_argument("--features", default="places", choices=FEATURES)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    sizes = " | ".join(f"{way}-way {shot}-shot %" for way in WAYS for shot in SHOTS)
    with tempfile.TemporaryDirectory() as temporary:
        data = pictures(options.data, AT_HOME, Path(temporary), split=options.split)
        for backbone in options.backbones:
            rows = measure(backbone, options.features, data, options.episodes, options.rounds)
            if options.dry or options.split != "test":
                continue
            before = kept(FOLDER / "precision.md", backbone, options.features)
            head = (
                f"Caltech-101 at 84 pixels, {options.split} classes, {options.episodes} tasks; in"
                " brackets the difference to float32 on the same tasks, or how many times as fast"
                f" it is: medians of {options.rounds} rounds in turns, of the first answer"
                f" {COLD} processes, which adapt to a file of each of five classes; milliseconds"
                " of the processor, one thread."
            )
            title = (
                f"| backbone | features | precision | `embed`, MB | {sizes} |"
                f" {' | '.join(f'{what}, ms' for what in TIMED)} |"
            )
            rule = "| --- " * (4 + len(WAYS) * len(SHOTS) + len(TIMED)) + "|"
            text = "\n".join([head, "", title, rule, *sorted([*before, *rows])])
            command = "python benchmarks/precision.py DATA BACKBONE …"
            write_table("precision", "`handful photos` in lower precision", command, text)


if __name__ == "__main__":
    main()
