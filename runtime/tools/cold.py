"""A process's way from its start to the first adapted prediction; imports nothing beside it."""

import os
import sys

import numpy as np

from handful.runtime.arrays import Floats
from handful.runtime.learner import load
from handful.runtime.package.manifest import Manifest


def examples(manifest: Manifest, way: int, shot: int) -> tuple[Floats, Floats]:
    """Made-up examples, all different, in the range of the input, and their one-hot classes.

    A regression has no classes: `shot` examples in all, and targets [S, O] from -1 to 1.
    """
    spec = manifest.input
    low, high = spec.range or (-1.0, 1.0)
    if manifest.task == "regression":
        width = manifest.graphs[manifest.predict].outputs[0].shape[-1]
        y = _spread(shot * int(width), -1.0, 1.0).reshape(shot, -1)
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
    classes = learner.manifest.task == "classification"
    task = learner.adapt(x, [str(label) for label in y.argmax(axis=1)] if classes else y)
    task.predict(x[0])
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
