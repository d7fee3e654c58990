"""How fast a package runs here: cold start, adapting, predicting, memory; as data."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful.runtime.errors import AdaptError
from handful.runtime.learner import load
from handful.runtime.package.shipped import find

from .cold import examples

COLD = "from handful.runtime.tools.cold import first_answer; first_answer()"


@dataclass(frozen=True)
class Bench:
    """Medians; adapt_ms and predict_ms are after embedding, embed_ms is for one example."""

    package: str
    way: int
    shot: int
    threads: int
    runs: int
    cold_start_ms: float  # from starting the process to the first adapted prediction
    peak_rss_mib: float | None  # of that process; None where the system does not tell
    load_ms: float
    embed_ms: float
    adapt_ms: float
    predict_ms: float


def bench(
    path: str | Path,
    *,
    way: int = 5,
    shot: int = 1,
    threads: int = 1,
    runs: int = 50,
    cold_runs: int = 5,
) -> Bench:
    """Measure the package at `path` on made-up examples; a regression has 1 way."""
    folder = find(path)
    began = time.perf_counter()
    learner = load(folder, threads=threads)
    load_ms = (time.perf_counter() - began) * 1e3
    way = 1 if learner.manifest.task == "regression" else way
    cold = sorted(_cold(folder, way, shot, threads) for _ in range(cold_runs))
    cold_ms, rss = cold[len(cold) // 2]
    engine = learner._engine
    x, y = examples(learner.manifest, way, shot)
    support_x = engine.embed(x)
    state = engine.adapt(support_x, y)
    return Bench(
        package=learner.name,
        way=way,
        shot=shot,
        threads=threads,
        runs=runs,
        cold_start_ms=cold_ms,
        peak_rss_mib=rss,
        load_ms=load_ms,
        embed_ms=_median_ms(lambda: engine.embed(x[:1]), runs),
        adapt_ms=_median_ms(lambda: engine.adapt(support_x, y), runs),
        predict_ms=_median_ms(lambda: engine.predict(state, support_x[:1]), runs),
    )


def _cold(folder: Path, way: int, shot: int, threads: int) -> tuple[float, float | None]:
    command = [sys.executable, "-c", COLD, str(folder), str(way), str(shot), str(threads)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took = (time.perf_counter() - began) * 1e3
        _, words = process.communicate()
    if not line:
        last = (words.strip().splitlines() or ["it said nothing"])[-1]
        raise AdaptError(f"the process that measures the cold start failed: {last}")
    return took, int(line) / 2**20 if line.strip() else None


def _median_ms(run: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs + 3):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1e3)
    return float(np.median(times[3:]))
