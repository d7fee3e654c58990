"""A learner: a loaded package, ready to adapt; immutable, shared freely between threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .engine import Engine
from .errors import AdaptError
from .manifest import InputSpec, Manifest
from .package import Package, read_package
from .sessions import Graph, Provider, setup
from .support import Support, gather, within
from .task import Task
from .task_file import read

MAX_SAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Learner:
    """What `handful.load` returns."""

    manifest: Manifest = field(repr=False)
    path: Path
    identity: str = field(repr=False)  # the package's hash, to which saved tasks are bound
    _engine: Engine = field(repr=False)

    @property
    def name(self) -> str:
        """The package's name."""
        return self.manifest.name

    @property
    def input(self) -> InputSpec:
        """What an example has to be."""
        return self.manifest.input

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
        are then means over the samples, and `Task.uncertainty` tells their spread.
        """
        seed = self._seed(samples, rng)
        support = gather(self._engine, examples, labels)
        return self._task(support, samples, seed)

    def load_task(self, path: str | Path) -> Task:
        """A task that `Task.save` wrote with this very package."""
        saved = read(Path(path), self.manifest, self.identity)
        return Task(self, saved.support, saved.states, saved.seed)

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
            raise AdaptError(f"samples is {samples!r}, wanted 1 to {MAX_SAMPLES}")
        if not any(stage.noise for stage in self.manifest.stages):
            raise AdaptError(
                f"package {self.name} has no noise: all samples would be the same",
                hint="adapt without samples",
            )
        return int(rng.integers(2**62))

    def _task(self, support: Support, samples: int | None, seed: int | None) -> Task:
        within(support, self.manifest.limits)
        if seed is None:
            return Task(self, support, (self._engine.adapt(support.x, support.y),))
        rng = np.random.default_rng(seed)
        noise = [self._engine.noise(support.y, rng) for _ in range(samples or 1)]
        states = tuple(self._engine.adapt(support.x, support.y, noise=draw) for draw in noise)
        return Task(self, support, states, seed)


def open_package(
    path: str | Path,
    *,
    providers: Sequence[Provider] | None = None,
    threads: int = 1,
    session_options: Any = None,
) -> Learner:
    """The learner of the package in the folder `path`."""
    made = setup(providers, threads, session_options)
    return learner_of(read_package(path), made)


def learner_of(package: Package, made: Any) -> Learner:
    """The learner of a package that was read already."""
    specs = package.manifest.graphs
    graphs = {name: Graph(name, specs[name], data, made) for name, data in package.graphs.items()}
    engine = Engine(package.manifest, graphs)
    return Learner(package.manifest, package.path, package.identity, engine)
