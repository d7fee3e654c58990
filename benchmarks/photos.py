"""The package of `handful photos` on Caltech-101 at 84 pixels: accuracy, certainty, speed, memory.

`python benchmarks/photos.py FOLDER`, FOLDER holding caltech101_84.zip and caltech101_index.json.
`--split val` measures the validation classes, on which the metric was chosen. `--dry` writes
no file. Needs the extra `photos`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tables import write_table

import handful
from handful.runtime.inputs.pictures import read_image
from handful.runtime.tools.text import difference, mean
from handful.trainer.commands.evaluate import evaluate_command
from handful.trainer.commands.photos import Request, photos_command
from handful.trainer.commands.subjects import Plan

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


def pictures(folder: Path, split: str, to: Path) -> Path:
    """The classes of one part, a sub-folder each."""
    index = json.loads((folder / "caltech101_index.json").read_text())
    part = {index["classes"][c] if isinstance(c, int) else c for c in index["class_split"][split]}
    with zipfile.ZipFile(folder / "caltech101_84.zip") as archive:
        for name in index["files"]:
            label, file = name.split("/")[-2:]
            if label in part:
                (to / label).mkdir(parents=True, exist_ok=True)
                (to / label / file).write_bytes(archive.read(name))
    return to


def accuracies(package: Path, data: Path, episodes: int) -> list[str]:
    """A line for each size of task, and one for each yardstick on the backbone's embeddings."""
    plan = Plan(ways=WAYS, shots=SHOTS, queries=QUERIES, episodes=episodes, inner_steps=False)
    found = evaluate_command(
        str(package),
        plan,
        transductive=False,
        device="cpu",
        workers=1,
        count=lambda name, total: lambda: None,
        data=str(data),
    )
    lines = [f"| {QUERIES} queries a class, {episodes} episodes | accuracy % |", "| --- | --- |"]
    for result in found:
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


def speed(package: Path, data: Path, runs: int) -> list[str]:
    """Medians of the first answer in a fresh process, its memory, and one prediction."""
    files = [str(next(iter(sorted(c.iterdir())))) for c in sorted(data.iterdir())[:6]]
    command = [sys.executable, "-c", FIRST, str(package), *files]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    seconds, peaks = [], []
    for _ in range(runs):
        began = time.perf_counter()
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout
        seconds.append(time.perf_counter() - began)
        peaks.append(int(done) / 1e6)
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
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = pictures(options.folder, options.split, Path(temporary) / "caltech101")
        package = Path(temporary) / "photos"
        photos_command(package, Request(backbone=BACKBONE), print)
        timed = speed(package, data, options.runs)
        measured = accuracies(package, data, options.episodes)
        lines = [*measured, "", *certainty(package, data), *timed]
    text = "\n".join([f"Caltech-101 at 84 pixels, {options.split} classes.", "", *lines])
    print(text)
    if not options.dry and options.split == "test":
        title = "The package of `handful photos` on Caltech-101"
        write_table("photos", title, "python benchmarks/photos.py FOLDER", text)


if __name__ == "__main__":
    main()
