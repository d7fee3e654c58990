"""A process's way to its first adapted answer with one setting of the sessions changed.

`session_settings.py` starts it; like `handful.runtime.tools.cold` it imports nothing that a user's
process would not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

import handful
from handful.runtime.learner import Learner
from handful.runtime.ort import onnxruntime as ort
from handful.runtime.providers import setup
from handful.runtime.tools.cold import peak_rss

WAY, SHOTS, ROUNDS = 5, 5, 15
LEVELS = ort.GraphOptimizationLevel
Options = ort.SessionOptions


def arena_off(options: Options) -> None:
    """Memory from the system at every run."""
    options.enable_cpu_mem_arena = False


def pattern_off(options: Options) -> None:
    """No plan of one block for all of a run's tensors."""
    options.enable_mem_pattern = False


def as_requested(options: Options) -> None:
    """One arena for all sessions, which grows by what is asked for and not by powers of two."""
    kinds = ort.OrtAllocatorType, ort.OrtMemType
    info = ort.OrtMemoryInfo("Cpu", kinds[0].ORT_ARENA_ALLOCATOR, 0, kinds[1].DEFAULT)
    ort.create_and_register_allocator(info, ort.OrtArenaCfg({"arena_extend_strategy": 1}))
    options.add_session_config_entry("session.use_env_allocators", "1")


def shrinking(options: Options) -> None:
    """What the arena does not need is given back after every run."""
    how = ort.RunOptions()
    how.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    run = ort.InferenceSession.run

    def shrunk(self: ort.InferenceSession, names: list[str], feeds: dict[str, object]) -> object:
        return run(self, names, feeds, how)

    ort.InferenceSession.run = shrunk


def not_packed(options: Options) -> None:
    """Weights stay in the order of the file."""
    options.add_session_config_entry("session.disable_prepacking", "1")


def optimised(level: ort.GraphOptimizationLevel) -> Callable[[Options], None]:
    """The graph's optimisation up to a level."""

    def to(options: Options) -> None:
        options.graph_optimization_level = level

    return to


SETTINGS: dict[str, Callable[[Options], None]] = {
    "as it is": lambda _: None,
    "no arena": arena_off,
    "no memory pattern": pattern_off,
    "one arena, grows by what is asked": as_requested,
    "arena shrinks after every run": shrinking,
    "weights not packed": not_packed,
    "optimisation: none": optimised(LEVELS.ORT_DISABLE_ALL),
    "optimisation: basic": optimised(LEVELS.ORT_ENABLE_BASIC),
    "optimisation: extended": optimised(LEVELS.ORT_ENABLE_EXTENDED),
}


def main() -> None:
    """Arguments: package, a file of float32 examples, setting. Lines: peak bytes; ms of adapting.

    The first line ends the cold start; the second has the medians at 1 and at 5 shots, raw examples
    given.
    """
    package, file, setting = sys.argv[1:]
    options = setup().options  # the runtime's own
    SETTINGS[setting](options)
    learner = handful.load(package, session_options=options)
    x = np.fromfile(file, np.float32).reshape(-1, *learner.input.shape)
    learner.adapt(x[:WAY], labels(1)).predict(x[0])
    sys.stdout.write(f"{peak_rss() or ''}\n")
    sys.stdout.flush()
    took = [median_ms(learner, x[: WAY * shot], labels(shot)) for shot in (1, SHOTS)]
    sys.stdout.write(f"{took[0]} {took[1]}\n")


def labels(shot: int) -> list[str]:
    """The label of each of so many examples a class."""
    return [str(n) for n in range(WAY) for _ in range(shot)]


def median_ms(learner: Learner, x: np.ndarray, given: list[str]) -> float:
    """Milliseconds of adapting, embedding included."""
    seconds = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        learner.adapt(x, given)
        seconds.append(time.perf_counter() - began)
    return 1e3 * float(np.median(seconds[1:]))


if __name__ == "__main__":
    main()
