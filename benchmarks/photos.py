"""The package of `handful photos` on Caltech-101 at 84 pixels: accuracy, certainty, speed, memory.

`python benchmarks/photos.py DATA`, DATA the folder of the downloaded collections (see shifts.py).
`--split val` measures the validation classes, on which the metric was chosen. `--dry` writes
no file. Needs the extra `photos`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from photo_heads import AT_HOME
from shifts import pictures
from tables import write_table

import handful
from handful.runtime.inputs.pictures import read_image
from handful.runtime.tools.text import difference, mean
from handful.trainer.commands.evaluate import evaluate_command
from handful.trainer.commands.photos import Request, photos_command
from handful.trainer.commands.subjects import Plan
from handful.trainer.evaluation import Result

WAYS, SHOTS, QUERIES = (5,), (1, 5), 15
CERTAINTY_WAYS = (2, 5, 15)
BACKBONE = "efficientnet-lite0"
# a process that imports handful, adapts to a file of each of five classes, and answers for another
FIRST = """
import sys
import handful
from handful.runtime.tools.bench import peak_rss
package, query, *files = sys.argv[1:]
task = handful.load(package).adapt(files, [str(i) for i in range(len(files))])
task.predict(query)
print(peak_rss(), flush=True)
"""


def evaluate(package: Path, data: Path, episodes: int, *, yardsticks: bool) -> list[Result]:
    """A result for each size of task."""
    plan = Plan(
        ways=WAYS, shots=SHOTS, queries=QUERIES, episodes=episodes, inner_steps=False,
        yardsticks=yardsticks,
    )  # fmt: skip
    return evaluate_command(
        str(package),
        plan,
        transductive=False,
        device="cpu",
        workers=1,
        count=lambda name, total: lambda: None,
        data=str(data),
    )


def accuracies(package: Path, data: Path, episodes: int) -> list[str]:
    """A line for each size of task, and one for each yardstick on the backbone's embeddings."""
    lines = [f"| {QUERIES} queries a class, {episodes} episodes | accuracy % |", "| --- | --- |"]
    for result in evaluate(package, data, episodes, yardsticks=True):
        lines.append(f"| **{result.size}** | **{mean(result)}** |")
        lines += [
            f"| above {other.name} | {difference(other)} |" for other in result.compared or ()
        ]
    return lines


def certainty(package: Path, data: Path, episodes: int = 200) -> list[str]:
    """How far the mean probability of the answers is above their accuracy, in points."""
    learner = handful.load(package)
    rng = np.random.default_rng(1)
    classes = {c.name: sorted(c.iterdir()) for c in sorted(data.iterdir())}
    h = {
        name: learner._engine.embed(np.stack([read_image(f, learner.input) for f in files]))
        for name, files in classes.items()
    }
    lines = []
    for way in CERTAINTY_WAYS:
        for shot in SHOTS:
            above = []
            for _ in range(episodes):
                chosen = [rng.permutation(h[n]) for n in rng.permutation(list(h))[:way]]
                y = np.repeat(np.eye(way, dtype=np.float32), shot, axis=0)
                state = learner._engine.adapt(np.concatenate([x[:shot] for x in chosen]), y)
                queries = np.concatenate([x[shot : shot + 5] for x in chosen])
                logits = learner._engine.predict(state, queries)
                p = np.exp(logits - logits.max(axis=1, keepdims=True))
                p /= p.sum(axis=1, keepdims=True)
                right = p.argmax(axis=1) == np.repeat(np.arange(way), 5)
                above.append(float(p.max(axis=1).mean() - right.mean()))
            lines.append(f"{way}-way {shot}-shot {100 * float(np.mean(above)):+.1f}")
    return [f"Mean probability of the answer less accuracy, points: {', '.join(lines)}."]


def first_answer(package: Path, files: Sequence[str]) -> tuple[float, float, float]:
    """Of a fresh process that adapts to all files but one: seconds, those of the CPU, and MB."""
    *support, query = files
    command = [sys.executable, "-c", FIRST, str(package), query, *support]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    spent, began = os.times(), time.perf_counter()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout
    seconds, after = time.perf_counter() - began, os.times()
    processor = sum(after[2:4]) - sum(spent[2:4])
    return seconds, processor, int(done) / 1e6


def files_of(data: Path, each: int = 1, classes: int = 5) -> list[list[str]]:
    """The first files of the first classes."""
    folders = sorted(data.iterdir())[:classes]
    return [[str(file) for file in sorted(folder.iterdir())[:each]] for folder in folders]


def speed(package: Path, data: Path, runs: int) -> list[str]:
    """Medians of the first answer in a fresh process, its memory, and one prediction."""
    files = [file for (file,) in files_of(data, classes=6)]
    seconds, _, peaks = zip(*(first_answer(package, files) for _ in range(runs)), strict=True)
    task = handful.load(package).adapt(files[:5], list("abcde"))
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    return [
        f"First answer in a fresh process (5 files to adapt to, a sixth to answer):"
        f" {statistics.median(seconds):.2f} s, {statistics.median(peaks):.0f} MB resident at most."
        f" One prediction, one thread: {_median_ms(lambda: task.predict(files[5]), runs):.1f} ms of"
        f" a file of 84 × 84, {_median_ms(lambda: task.predict(frame), runs):.1f} ms of a frame of"
        f" 640 × 480. Medians of {runs}; load of the machine before it: {os.getloadavg()[0]:.1f}."
    ]


def _median_ms(call: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs + 3):
        began = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times[3:])


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = pictures(options.data, AT_HOME, Path(temporary), split=options.split)
        package = Path(temporary) / "photos"
        photos_command(package, Request(backbone=BACKBONE), print)
        timed = speed(package, data, options.runs)
        measured = accuracies(package, data, options.episodes)
        lines = [*measured, "", *certainty(package, data), *timed]
    text = "\n".join([f"Caltech-101 at 84 pixels, {options.split} classes.", "", *lines])
    print(text)
    if not options.dry and options.split == "test":
        title = "The package of `handful photos` on Caltech-101"
        write_table("photos", title, "python benchmarks/photos.py DATA", text)


if __name__ == "__main__":
    main()
