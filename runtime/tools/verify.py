"""Replaying a package's golden vectors: does this runtime get what the trainer got?"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.arrays import Array, Floats
from handful.runtime.engine import Engine, State
from handful.runtime.errors import PackageError
from handful.runtime.learner import learner_of
from handful.runtime.package.manifest import Precision
from handful.runtime.package.read import find, read_package
from handful.runtime.sessions import setup

from .golden import (
    AGAIN,
    FILE,
    HINT,
    PICTURE_TOLERANCE,
    SERIES_TOLERANCE,
    SOUND_TOLERANCE,
    START,
    Golden,
    read_golden,
    replay_pictures,
    replay_series,
    replay_sounds,
    thin,
)

TOLERANCE = 1e-4
# of a package whose `embed` is of 8 bits: a runtime that computes the same graph in float32 rounds
# some levels otherwise (3e-2 of EfficientNet-Lite0's largest number); sums that overflow give 0.3
TOLERANCES = {"int8": 0.1}
ONE_BY_ONE = "one by one"


@dataclass(frozen=True)
class Report:
    """What `verify` found; reading the package at all has shown its hashes and graphs right."""

    name: str
    files: int
    bytes: int
    differences: dict[str, float] = field(repr=False)  # golden vector → relative difference
    one_by_one: float  # of predictions one by one from those of the batch
    pictures: dict[str, float] = field(repr=False)  # golden picture → relative difference
    sounds: dict[str, float] = field(repr=False)  # golden sound → relative difference
    series: dict[str, float] = field(repr=False)  # golden series → relative difference
    answer: str  # `logits` or `outputs`
    tolerance: float  # of every golden vector that is not in `tolerances`
    tolerances: dict[str, float] = field(repr=False)  # of golden vectors that magnify rounding

    def allowed(self, name: str) -> float:
        """How far that golden vector may be, or predictions one by one: as far as the answers."""
        return self.tolerances.get(self.answer if name == ONE_BY_ONE else name, self.tolerance)

    @property
    def worst(self) -> float:
        """The largest difference, the one by one included."""
        return max([*self.differences.values(), self.one_by_one])

    @property
    def failed(self) -> tuple[str, ...]:
        """What differs by more than the tolerance."""
        compared = {**self.differences, ONE_BY_ONE: self.one_by_one}
        names = [name for name, value in compared.items() if not value <= self.allowed(name)]
        names += [name for name, value in self.pictures.items() if not value <= PICTURE_TOLERANCE]
        return (
            *names,
            *(name for name, value in self.sounds.items() if not value <= SOUND_TOLERANCE),
            *(name for name, value in self.series.items() if not value <= SERIES_TOLERANCE),
        )

    @property
    def ok(self) -> bool:
        """Whether all agrees."""
        return not self.failed


def verify(path: str | Path, *, providers: Any = None, tolerance: float | None = None) -> Report:
    """Check hashes and graphs, replay all that is golden; PackageError where it is broken.

    A vector may be as far as the package says, or else as its precision has it, and nothing
    farther than `tolerance` if that is given.
    """
    package = read_package(find(path))
    golden = read_golden(package.files, package.manifest)  # checked before a session is built
    learner = learner_of(package, setup(providers))
    engine = learner._engine
    for graph in engine.graphs.values():
        graph.session()
    pictures = replay_pictures(package.manifest.input, golden.pictures)
    sounds = {
        name: relative_difference(*both)
        for name, both in replay_sounds(package.manifest.input, golden.sounds).items()
    }
    series = {
        name: relative_difference(*both)
        for name, both in replay_series(package.manifest.input, golden.series).items()
    }
    differences, one_by_one = replay(engine, golden.vectors)
    files = len(package.graphs) + 1
    size = sum(map(len, package.graphs.values())) + golden.bytes
    least = tolerance_of(package.manifest.precision)
    return Report(
        name=learner.name,
        files=files,
        bytes=size,
        differences=differences,
        one_by_one=one_by_one,
        pictures=pictures,
        sounds=sounds,
        series=series,
        answer=golden.vectors.answer,
        tolerance=least if tolerance is None else tolerance,
        tolerances={
            name: value
            for name, value in golden.vectors.tolerances.items()
            if tolerance is None and value > least
        },
    )


def relative_difference(a: Any, b: Any, name: str = "") -> float:
    """max|a − b| / max(max|b|, floor); infinite where shapes differ or a value is not finite.

    The floor is 1e-3, so that differences of 1e-7 never count: they are float32's rounding of
    numbers of order 1, of which a small value is a difference (the step of a bias on equal shots).
    Of a loss (by its name) it is 0.1: a cross-entropy near 0 is a difference of logits of order 10.
    """
    floor = 0.1 if name.rsplit("/", 1)[-1] == "loss" else 1e-3
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.shape != y.shape:
        return float("inf")
    if not x.size:
        return 0.0
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("inf")
    return float(np.abs(x - y).max() / max(np.abs(y).max(), floor))


def replay(engine: Engine, golden: Golden) -> tuple[dict[str, float], float]:
    """The relative difference of each golden vector, and of predicting one by one."""
    differences: dict[str, float] = {}

    def compare(name: str, value: Array) -> None:
        wanted, every = golden.vectors[name]
        differences[name] = relative_difference(thin(value, every), wanted, name)

    query_x = golden.query_x

    def adapt(prefix: str, count: int, begun: State | None = None) -> tuple[State, Floats]:
        """The state and the answers of the first `count` support examples."""

        def observe(stage: str, i: int, tensors: dict[str, Array]) -> None:
            for tensor, value in tensors.items():
                compare(f"{prefix}{stage}/{i}/{tensor}", value)

        h = engine.embed(golden.support_x[:count])
        state = engine.adapt(h, golden.support_y[:count], observe=observe, begun=begun)
        answer = engine.predict(state, engine.embed(query_x))
        compare(prefix + golden.answer, answer)
        return state, answer

    if engine.manifest.classes is not None:
        adapt(START, 0)
    state, answer = adapt("", len(golden.support_x))
    if engine.manifest.task == "policy":
        adapt(AGAIN, len(golden.support_x), state)
    missing = next((name for name in golden.vectors if name not in differences), None)
    if missing is not None:
        raise PackageError(f"{FILE} has an unknown `{missing}`", hint=HINT)
    alone = [engine.predict(state, engine.embed(query_x[i : i + 1])) for i in range(len(query_x))]
    return differences, relative_difference(np.concatenate(alone), answer)


def tolerance_of(precision: Precision) -> float:
    """How far a golden vector may be where the package does not say that it magnifies rounding."""
    return TOLERANCES.get(precision, TOLERANCE)
