"""Meta-training beside the libraries that offer it: learn2learn, higher, TorchOpt.

`python benchmarks/rivals.py make ENV` makes an environment with torch and the three, which handful
does not depend on; `python benchmarks/rivals.py ENV` then measures tasks a second, all sides in
turns on as many threads, and writes results/rivals.md (not with `--dry`).
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

import torch
from rival_worker import LIBRARIES
from tables import write_table
from throughput import CASES, CHUNK, episodes, learner

from handful.trainer.training.gradient import shared_gradient
from handful.trainer.workers import Shape, Workers, workers
from handful.trainer.workers.host import keep_memory

PACKAGES = ("higher==0.2.1", "torchopt==0.7.3")
SOURCE = "learn2learn==0.2.0"  # unpacked alone: it does not build under Python 3.11
KEPT = ", memory kept"
# what trainer/workers/host.py tells glibc, in the words of its environment
KEEPING = {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_MAX_": "0"}
WORKER = Path(__file__).parent / "rival_worker.py"


def make(folder: Path) -> None:
    """The environment, with this environment's version of torch."""
    venv.create(folder, with_pip=True)
    pip = [str(python(folder)), "-m", "pip"]
    release = torch.__version__.partition("+")[0]
    subprocess.run([*pip, "install", f"torch=={release}", "setuptools<81"], check=True)
    subprocess.run([*pip, "install", *PACKAGES], check=True)
    subprocess.run([*pip, "download", "--no-deps", SOURCE, "-d", str(folder)], check=True)
    for archive in folder.glob("learn2learn-*.tar.gz"):
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")


def python(folder: Path) -> Path:
    """The environment's interpreter."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


class Rival:
    """A process that takes one library's meta-gradient whenever it is told to."""

    def __init__(self, folder: Path, library: str, *numbers: int, keeping: bool) -> None:
        """Start it, and wait until it is ready; `keeping` freed memory as `handful train` does."""
        self.command = [str(python(folder)), str(WORKER), library, *map(str, numbers)]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **(KEEPING if keeping else {})},
        )  # fmt: skip
        self.answer()

    def answer(self) -> str:
        """Its next line."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise SystemExit(f"{shlex.join(self.command)} ended with an error")
        return line

    def seconds(self) -> float:
        """What one meta-gradient takes now."""
        if self.process.stdin:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        return float(self.answer())

    def stop(self) -> None:
        """End it."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()


def measure(
    folder: Path, pool: Workers, queries: int, steps: int, *, tasks: int, threads: int, rounds: int
) -> dict[str, float]:
    """Tasks a second of each library, and of ours by workers, the faster of loop and vmap."""
    maml, params = learner("max", steps)
    batch, names = episodes(tasks, queries), tuple(params)

    def ours(chunk: int) -> float:
        start = time.perf_counter()
        shared_gradient(pool, maml, params, names, batch, {}, progress=1.0, chunk=chunk)
        return time.perf_counter() - start

    rivals = {
        name + ending: Rival(folder, name, queries, steps, tasks, threads, keeping=bool(ending))
        for name in LIBRARIES
        for ending in ("", KEPT)
    }
    sides = {name: rival.seconds for name, rival in rivals.items()}
    sides |= {"loop": lambda: ours(1), "vmap": lambda: ours(CHUNK)}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):  # the first one warms up
        for name, seconds in sides.items():
            found = seconds()
            if turn:
                taken[name].append(found)
    for rival in rivals.values():
        rival.stop()
    return {name: tasks / statistics.median(values) for name, values in taken.items()}


def table(rates: Sequence[dict[str, float]]) -> list[str]:
    """A row for each case."""
    kept = [name + KEPT for name in LIBRARIES]
    heads = ["queries a class", "inner steps", *LIBRARIES, "ours", "ours to the best of them"]
    heads += [*kept, "ours to the best of these"]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " --- |" * (len(heads) - 1)]
    for (queries, steps), rate in zip(CASES, rates, strict=True):
        ours = max(rate["loop"], rate["vmap"])
        cells = [str(queries), str(steps), *(f"{rate[name]:.1f}" for name in LIBRARIES)]
        cells += [f"{ours:.1f}", f"{ours / max(rate[name] for name in LIBRARIES):.2f}"]
        cells += [f"{rate[name]:.1f}" for name in kept]
        cells += [f"{ours / max(rate[name] for name in kept):.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Make the environment, or measure in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="+", metavar="[make] ENV")
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of each library; ours has workers")
    parser.add_argument("--dry", action="store_true", help="write no file")
    options = parser.parse_args()
    folder = Path(options.words[-1]).resolve()
    if options.words[0] == "make":
        make(folder)
        return
    keep_memory()
    with workers(Shape(options.threads, threads=1)) as pool:
        with pool.together():
            pass  # they have started up, before anything is measured
        rates = [
            measure(
                folder, pool, *case, tasks=options.tasks, threads=options.threads,
                rounds=options.rounds,
            )
            for case in CASES
        ]  # fmt: skip
    note = (
        f"Tasks a second, 5-way 1-shot, Conv4-64, max-pooled, second order, {options.tasks} tasks;"
        f" the libraries on {options.threads} threads, ours by {options.threads} workers of one;"
        f" medians of {options.rounds} rounds in turns. The libraries as their users run them, with"
        " the usual allocator, and once more with an allocator that keeps freed memory, as ours"
        " does. learn2learn's algorithms from its source, without its C extension."
    )
    text = "\n".join([note, "", *table(rates)])
    print(text)
    if not options.dry:
        title = "Meta-training of MAML beside learn2learn, higher and TorchOpt"
        write_table("rivals", title, "python benchmarks/rivals.py ENV", text)


if __name__ == "__main__":
    main()
