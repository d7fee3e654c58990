"""A learner: a loaded package, ready to adapt; immutable, shared freely between threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from handful.runtime.inputs.examples import Examples, HasArray
from handful.runtime.package.read import Package, find, read_package

from .engine import Engine, LoadedPackage
from .errors import AdaptError, SupportSetError, quote
from .progress import Meter, Progress
from .rollout import Rollout
from .sessions import Graph, Provider, Setup, setup
from .support import build_empty, few, gather
from .task import Task, adapt
from .task_file import MAX_SAMPLES, read


class Learner(LoadedPackage):
    """A package that is ready to adapt: what `handful.load` returns."""

    def __repr__(self) -> str:
        """`Learner(omniglot-leo: image [28, 28, 1] → 2 or more classes)`: what goes in and out."""
        spec, limits = self.input, self.manifest.limits
        rate = f" at {spec.rate} Hz" if spec.rate else ""
        most = f"{limits.way.min} " + (f"to {limits.way.max}" if limits.way.max else "or more")
        width = self.manifest.targets
        answers = f"{most} classes" if width is None else "numbers"
        answers = "actions" if self.manifest.task == "policy" else answers
        answers = few(self.classes) if self.classes else answers
        return f"Learner({self.name}: {spec.kind} {list(spec.shape)}{rate} → {answers})"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that every task of the package has; empty where each task has its own."""
        return self.manifest.classes or ()

    def start(self) -> Task:
        """The task without any example: everybody's classifier, or a policy that has not acted yet.

        `Task.add` gives it examples, or a rollout. Raises SupportSetError where the package neither
        names its classes nor is a policy.
        """
        if self.manifest.task == "policy":
            support = build_empty(self._engine)
            return Task(self, support, (next(self._engine.after_each_step(support.x, support.y)),))
        if not self.classes:
            raise SupportSetError(
                f"package {self.name} names no classes",
                hint="adapt it to examples of your own: learner.adapt({label: [examples]})",
            )
        return adapt(self, build_empty(self._engine), None, None)

    @overload
    def adapt(
        self,
        examples: Mapping[str, Examples],
        labels: None = None,
        *,
        new: Iterable[str] = (),
        samples: int | None = None,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
    ) -> Task: ...

    @overload
    def adapt(
        self,
        examples: Examples,
        labels: Iterable[str] | Sequence[Sequence[float]] | HasArray,
        *,
        new: Iterable[str] = (),
        samples: int | None = None,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
    ) -> Task: ...

    @overload
    def adapt(
        self, examples: Rollout, labels: None = None, *, progress: Progress | None = None
    ) -> Task: ...

    def adapt(
        self,
        examples: Any,
        labels: Any = None,
        *,
        new: Iterable[str] = (),
        samples: int | None = None,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
    ) -> Task:
        """A task from labelled examples: the support set.

        `examples` is {label: [examples]}, or a list or stacked array of S examples with a list of S
        `labels`, which are strings; shots may differ from class to class. In a regression `labels`
        are the targets, an array [S, O] or [S]. A policy is given a `Rollout` and nothing else:
        what the task of `start` did.

        Where the package names its classes (`learner.classes`) the labels are among these, any of
        which may have no example; `new` names classes beyond them, where it takes such.

        An example is, by the kind of the package (`learner.input.kind`), whose shape is
        `learner.input.shape`:

        - `image`: the path of a picture file; a `PIL.Image.Image`; a frame, uint8 [h, w, 3] of any
          size in the order R, G, B; an array of the package's shape, uint8 from 0 to 255 or floats
          in `learner.input.range`, without the channel axis too where there is one channel;
        - `audio`: the path of a WAV file; a `Sound` of any rate; samples [n] at the package's rate,
          `learner.input.rate` hertz, floats from −1 to 1, int16, int32 or uint8;
        - `array`: an array of the package's shape, integers or floats in the units of the training
          data; the path of a `.npy` or `.csv` file, which may give several examples.

        A list may mix these. `samples` draws the learner's noise that often from `rng`: predictions
        are then means over the samples, and `Task.uncertainty` tells their spread.

        `progress` is told which share of the work is done once the examples are read: a number from
        0 to 1 after each of them that is embedded and after each step. What it raises ends the
        work, and no task is made.

        Raises InputError for an example, SupportSetError for labels and for more or fewer classes
        or examples than the package takes, AdaptError for `samples` and where a graph fails. Warns
        with InputWarning where examples are unlike what the package was trained on.
        """
        seed = self._seed(samples, rng)
        meter = Meter(progress)
        meter.expect((samples or 1) * self._engine.adapting_runs)
        support = gather(self._engine, examples, labels, new=new, meter=meter)
        task = adapt(self, support, samples, seed, meter)
        meter.end()
        return task

    def load_task(self, path: str | Path) -> Task:
        """The task that `Task.save` wrote to this file, with the same answers to the bit.

        Raises TaskFileError where the file is broken, or was saved with another package.
        """
        saved = read(path, self.manifest, self.identity)
        task = Task(self, saved.support, saved.states, saved.seed)
        return (
            task
            if saved.negatives is None
            else task.with_embedded_negatives(saved.negatives, later=True)
        )

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
                f"samples is {quote(samples)}, wanted a whole number, 1 to {MAX_SAMPLES}"
            )
        if not isinstance(rng, np.random.Generator):
            raise AdaptError(
                f"rng is {quote(rng)}, wanted a numpy.random.Generator",
                hint="rng=np.random.default_rng(0)",
            )
        if not any(stage.noise for stage in self.manifest.stages):
            raise AdaptError(
                f"package {self.name} has no noise: all samples would be the same",
                hint="adapt without samples",
            )
        return int(rng.integers(2**62))


def load(
    path: str | Path | bytes,
    *,
    providers: Sequence[Provider] | None = None,
    threads: int = 1,
    session_options: Any = None,
) -> Learner:
    """The learner of a package: a folder made by `handful export`, or a shipped package's name.

    Or a file that `handful pack` wrote, or the bytes of one.

    `providers` are onnxruntime's execution providers in the order of preference, each a name or
    (name, options), by default the CPU's; `threads` is for one operator. `session_options` (an
    onnxruntime.SessionOptions) takes the place of the defaults, among which is that onnxruntime
    prints nothing. All graphs are checked before any of them runs.

    Raises PackageError where the package is missing, altered or unsafe (ManifestError where its
    manifest is not one that this version reads), SessionError for providers, threads and options.
    """
    sessions = setup(providers, threads, session_options)
    return learner_of(read_package(path if isinstance(path, bytes) else find(path)), sessions)


def learner_of(package: Package, setup: Setup) -> Learner:
    """The learner of a package that was read already."""
    specs = package.manifest.graphs
    graphs = {name: Graph(name, specs[name], data, setup) for name, data in package.graphs.items()}
    engine = Engine(package.manifest, graphs)
    return Learner(package.manifest, package.files, package.identity, engine)
