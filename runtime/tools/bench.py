"""How fast a package runs here: cold start, adapting, predicting, memory; as data.

The cold start is that of a process of its own, which imports nothing but what it needs to answer.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful.runtime.arrays import Floats
from handful.runtime.errors import AdaptError
from handful.runtime.learner import load
from handful.runtime.package.manifest import Manifest
from handful.runtime.package.read import find
from handful.runtime.rollout import Rollout

COLD = "from handful.runtime.tools.bench import first_answer; first_answer()"


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
    """Measure the package at `path` on made-up examples; a regression and a policy have 1 way."""
    folder = find(path)
    began = time.perf_counter()
    learner = load(folder, threads=threads)
    load_ms = (time.perf_counter() - began) * 1e3
    way = _way(learner.manifest, way)
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


def _way(manifest: Manifest, way: int) -> int:
    """The classes of a task: those asked for, unless the package has its own, or none."""
    if manifest.task != "classification":
        return 1
    return way if manifest.classes is None else len(manifest.classes)


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


def examples(manifest: Manifest, way: int, shot: int) -> tuple[Floats, Floats]:
    """Made-up examples, all different, in the range of the input, and their one-hot classes.

    Without classes they are `shot` examples in all, and targets from -1 to 1.
    """
    spec = manifest.input
    low, high = spec.range or (-1.0, 1.0)
    if manifest.targets is not None:
        y = _spread(shot * int(manifest.targets), -1.0, 1.0).reshape(shot, -1)
    else:
        y = np.repeat(np.eye(way, dtype=np.float32), shot, axis=0)
    return _spread(len(y) * int(np.prod(spec.shape)), low, high).reshape(len(y), *spec.shape), y


def _spread(count: int, low: float, high: float) -> Floats:
    """So many values from low to high: the golden ratio spreads evenly."""
    ramp = np.arange(count, dtype=np.float64)
    return (low + (high - low) * ((ramp * 0.618033988749895) % 1)).astype(np.float32)


def first_answer() -> None:
    """Load, adapt, predict; a line on stdout says so, and how many bytes were resident at most.

    The arguments, in sys.argv: the package's folder, classes, examples of each, threads.
    """
    way, shot, threads = map(int, sys.argv[2:])
    learner = load(sys.argv[1], threads=threads)
    x, y = examples(learner.manifest, way, shot)
    asked = learner.manifest.task
    names = learner.classes or tuple(map(str, range(way)))
    if asked == "policy":
        learner.adapt(Rollout(x, y[:, :-1], y[:, -1])).act(x[0])
    else:
        labels = [names[c] for c in y.argmax(axis=1)] if asked == "classification" else y
        learner.adapt(x, labels).predict(x[0])
    sys.stdout.write(f"{peak_rss() or ''}\n")
    sys.stdout.flush()


def peak_rss() -> int | None:
    """The most bytes this process has had resident; None where the system does not tell."""
    if os.path.exists("/proc/self/status"):  # ru_maxrss would count the parent's at the fork
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
