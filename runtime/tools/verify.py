"""Replaying a package's golden vectors: does this runtime get what the trainer got?"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.engine import Engine
from handful.runtime.errors import PackageError
from handful.runtime.learner import learner_of
from handful.runtime.package.files import read_regular
from handful.runtime.package.manifest import Manifest
from handful.runtime.package.npz import read_npz
from handful.runtime.package.read import read_package
from handful.runtime.package.shipped import find
from handful.runtime.sessions import setup

from .golden_pictures import TOLERANCE as PICTURE_TOLERANCE
from .golden_pictures import replay_pictures, take_pictures

FILE = "conformance.npz"
TOLERANCE = 1e-4
MAX_BYTES = 2**28
GIVEN = ("support_x", "support_y", "query_x")


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


@dataclass(frozen=True)
class Report:
    """What `verify` found; reading the package at all has shown its hashes and graphs right."""

    name: str
    files: int
    bytes: int
    differences: dict[str, float] = field(repr=False)  # golden vector → relative difference
    one_by_one: float  # of predictions one by one from those of the batch
    pictures: dict[str, float] | None = field(repr=False)  # as differences; None without Pillow
    tolerance: float = TOLERANCE

    @property
    def worst(self) -> float:
        """The largest difference, the one by one included."""
        return max([*self.differences.values(), self.one_by_one])

    @property
    def failed(self) -> tuple[str, ...]:
        """What differs by more than the tolerance."""
        names = [name for name, found in self.differences.items() if not found <= self.tolerance]
        names += [name for name, d in (self.pictures or {}).items() if not d <= PICTURE_TOLERANCE]
        return (*names, *(["one by one"] if not self.one_by_one <= self.tolerance else []))

    @property
    def ok(self) -> bool:
        """Whether all agrees."""
        return not self.failed


def verify(path: str | Path, *, providers: Any = None, tolerance: float = TOLERANCE) -> Report:
    """Check hashes and graphs, replay golden vectors and pictures; PackageError where broken."""
    package = read_package(find(path))
    data = read_regular(package.path / FILE, limit=MAX_BYTES)
    golden = read_npz(data, limit=MAX_BYTES, name=FILE, error=PackageError)
    learner = learner_of(package, setup(providers))
    engine = learner._engine
    for graph in engine.graphs.values():
        graph.session()
    pictures = replay_pictures(
        package.manifest.input, take_pictures(golden, package.manifest, FILE)
    )
    differences, one_by_one = replay(engine, golden)
    files = len(package.graphs) + 1
    size = sum(map(len, package.graphs.values())) + len(data)
    return Report(learner.name, files, size, differences, one_by_one, pictures, tolerance)


def expected(manifest: Manifest) -> list[str]:
    """The names in conformance.npz, in the order in which they come about."""
    names = list(GIVEN)
    for stage in manifest.stages:
        for i in range(stage.steps + 1):
            names += [f"{stage.name}/{i}/{tensor}" for tensor in stage.state]
            names += [f"{stage.name}/{i}/loss"] if i else []
    return [*names, "logits" if manifest.task == "classification" else "outputs"]


def replay(engine: Engine, golden: dict[str, Array]) -> tuple[dict[str, float], float]:
    """The relative difference of each golden vector, and of predicting one by one."""
    wanted, thinning = _thinned(golden)
    names = expected(engine.manifest)
    for name in names:
        if name not in wanted:
            raise PackageError(f"{FILE} has no `{name}`", hint="export the package again")
    for name in wanted:
        if name not in names:
            raise PackageError(f"{FILE} has an unknown `{name}`", hint="export the package again")
    support_x, support_y, query_x = (wanted[name].astype(np.float32) for name in GIVEN)
    differences: dict[str, float] = {}

    def compare(name: str, found: Array) -> None:
        every = thinning[name]
        thin = found if every == 1 else found.reshape(-1)[::every]
        differences[name] = relative_difference(thin, wanted[name], name)

    def observe(stage: str, i: int, tensors: dict[str, Array]) -> None:
        for tensor, found in tensors.items():
            compare(f"{stage}/{i}/{tensor}", found)

    state = engine.adapt(engine.embed(support_x), support_y, observe=observe)
    query_h = engine.embed(query_x)
    answer = engine.predict(state, query_h)
    compare(names[-1], answer)
    alone = [engine.predict(state, engine.embed(query_x[i : i + 1])) for i in range(len(query_x))]
    return differences, relative_difference(np.concatenate(alone), answer)


def _thinned(golden: dict[str, Array]) -> tuple[dict[str, Array], dict[str, int]]:
    """`name[::k]` holds every k-th value of a large tensor, flattened."""
    wanted: dict[str, Array] = {}
    thinning: dict[str, int] = {}
    for key, value in golden.items():
        name, bracket, rest = key.partition("[::")
        every = rest.removesuffix("]") if bracket else "1"
        if not every.isdecimal() or not 0 < int(every) < 2**31 or name in wanted:
            raise PackageError(f"{FILE} has an unknown `{key}`", hint="export the package again")
        wanted[name], thinning[name] = value, int(every)
    return wanted, thinning
