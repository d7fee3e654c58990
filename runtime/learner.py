"""A learner: a loaded package, ready to adapt; immutable, shared freely between threads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.package.read import Package, find, read_package

from .engine import Engine, Loaded
from .errors import AdaptError, shown
from .sessions import Graph, Provider, Setup, setup
from .support import gather
from .task import Task, adapted
from .task_file import MAX_SAMPLES, read


class Learner(Loaded):
    """What `handful.load` returns."""

    def adapt(
        self,
        examples: Any,
        labels: Any = None,
        *,
        samples: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> Task:
        """A task from examples and their labels, or from {label: [examples]}.

        Shots may differ. `samples` draws the learner's noise that often from `rng`: predictions
        are then means over the samples, and `Task.uncertainty` tells their spread. InputError for
        an example, SupportSetError for labels and limits, AdaptError for samples and for graphs.
        """
        seed = self._seed(samples, rng)
        support = gather(self._engine, examples, labels)
        return adapted(self, support, samples, seed)

    def load_task(self, path: str | Path) -> Task:
        """A task that `Task.save` wrote with this very package; a TaskFileError otherwise."""
        saved = read(path, self.manifest, self.identity)
        task = Task(self, saved.support, saved.states, saved.seed)
        return task if saved.negatives is None else task.rejecting(saved.negatives, later=True)

    def _seed(self, samples: int | None, rng: np.random.Generator | None) -> int | None:
        """A seed for the samples' noise: kept by the task, so that `add` repeats the draws."""
        if samples is None and rng is None:
            return None
        if samples is None or rng is None:
            raise AdaptError(
                f"{'samples' if rng is None else 'rng'} alone",
                hint="give both: samples=10, rng=np.random.default_rng(0)",
            )
        if type(samples) is not int or not 1 <= samples <= MAX_SAMPLES:
            raise AdaptError(
                f"samples is {shown(samples)}, wanted a whole number, 1 to {MAX_SAMPLES}"
            )
        if not isinstance(rng, np.random.Generator):
            raise AdaptError(
                f"rng is {shown(rng)}, wanted a numpy.random.Generator",
                hint="rng=np.random.default_rng(0)",
            )
        if not any(stage.noise for stage in self.manifest.stages):
            raise AdaptError(
                f"package {self.name} has no noise: all samples would be the same",
                hint="adapt without samples",
            )
        return int(rng.integers(2**62))


def load(
    path: str | Path,
    *,
    providers: Sequence[Provider] | None = None,
    threads: int = 1,
    session_options: Any = None,
) -> Learner:
    """The learner of a package: a folder made by `handful export`, or a shipped package's name.

    `session_options` (an onnxruntime.SessionOptions) takes the place of the defaults, among which
    is that onnxruntime prints nothing. PackageError for the package, SessionError for the rest.
    """
    sessions = setup(providers, threads, session_options)
    return learner_of(read_package(find(path)), sessions)


def learner_of(package: Package, setup: Setup) -> Learner:
    """The learner of a package that was read already."""
    specs = package.manifest.graphs
    graphs = {name: Graph(name, specs[name], data, setup) for name, data in package.graphs.items()}
    engine = Engine(package.manifest, graphs)
    return Learner(package.manifest, package.path, package.identity, engine)
