"""Running a package: embed, the stages, predict, in the manifest's order; no line of any learner.

`Engine` runs the graphs, `LoadedPackage` is a package in memory with its engine: what a learner and
its tasks share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from handful.runtime.package.archive import Files
from handful.runtime.package.manifest import InputSpec, Manifest, StageSpec

from .arrays import Array, Floats
from .errors import AdaptError
from .progress import UNTOLD, Meter
from .sessions import ANY, Graph, Sizes, Value, resolve, to_numpy
from .unlike import Watch

Observe = Callable[[str, int, dict[str, Array]], None]
EMBED_CHUNK = 8  # of queries: on a CPU larger batches are no faster and take more memory
MAX_NOISE = 2**24  # values of one noise tensor


class State(NamedTuple):
    """What a task keeps, and the sizes of the support set that it came from."""

    tensors: dict[str, Value]  # on the host, or on the device
    sizes: Sizes  # S and N; N is the width of the answers


@dataclass(frozen=True)
class _Running:
    """An adaptation on its way."""

    known: dict[str, Value]  # the support set and every tensor of the state so far
    noise: Mapping[str, Floats]
    sizes: Sizes


class Engine:
    """The graphs of one package in the order that its manifest gives."""

    def __init__(self, manifest: Manifest, graphs: Mapping[str, Graph]) -> None:
        """`graphs` has one entry for each in the manifest."""
        self.manifest = manifest
        self.graphs = dict(graphs)
        self.watch = Watch(manifest)

    @property
    def adapting_runs(self) -> int:
        """How many graphs `adapt` runs."""
        return sum(1 + stage.steps for stage in self.manifest.stages)

    def embed(self, x: Floats, *, chunk: int = EMBED_CHUNK, meter: Meter = UNTOLD) -> Floats:
        """x [B, ...] → h [B, ...], `chunk` examples at a time.

        `meter`, which expects the chunks already, counts them.
        """
        if self.manifest.embed is None:
            return x
        graph = self.graphs[self.manifest.embed]
        if not len(x):
            return np.zeros((0, *map(int, graph.spec.outputs[0].shape[1:])), np.float32)
        parts = []
        for at in range(0, len(x), chunk):
            part = x[at : at + chunk]
            parts.append(to_numpy(graph.run({"x": part}, {"B": len(part)})["h"]))
            meter.tick()
        h = parts[0] if len(parts) == 1 else np.concatenate(parts)
        check_finite({"h": h}, f"graph {graph.name}")
        return h

    def adapt(
        self,
        support_x: Floats,
        support_y: Floats,
        *,
        noise: Mapping[str, Floats] | None = None,
        observe: Observe | None = None,
        meter: Meter = UNTOLD,
        begun: State | None = None,
    ) -> State:
        """The state that a task keeps, from embedded examples; noise is zero unless given.

        `meter`, which expects `adapting_runs` pieces already, counts the graphs. From a state that
        is `begun` it goes on: the first stage is not started, but starts there.
        """
        running = self._begin(support_x, support_y, noise)
        first = self.manifest.stages[0]
        if begun is not None:
            running.known.update(begun.tensors)
        for stage in self.manifest.stages:
            begins = begun is None or stage is not first
            self._stage(stage, running, observe, meter, start=begins)
        return self._state(running)

    def after_each_step(self, support_x: Floats, support_y: Floats) -> Iterator[State]:
        """What a task keeps after 0, 1, … n inner steps in all, spent in the stages' order.

        Stages that the steps do not reach start from the state as it is and are not stepped, so
        the last state is that of `adapt`.
        """
        running = self._begin(support_x, support_y, None)
        stages = self.manifest.stages

        def complete(at: int) -> State:
            final = replace(running, known=dict(running.known))
            for stage in stages[at + 1 :]:
                self._start(stage, final)
            return self._state(final)

        for at, stage in enumerate(stages):
            self._start(stage, running)
            if at == 0:
                yield complete(at)
            for _ in range(stage.steps):
                self._step(stage, running)
                yield complete(at)

    def _begin(
        self, support_x: Floats, support_y: Floats, noise: Mapping[str, Floats] | None
    ) -> _Running:
        if not len(support_x):  # no graph is run on an empty axis: a row of no class is no example
            support_x, support_y = (
                np.zeros((1, *x.shape[1:]), np.float32) for x in (support_x, support_y)
            )
        return _Running(
            known={"support_x": support_x, "support_y": support_y},
            noise={**self.noise(support_y), **(noise or {})},
            sizes=sizes_of(support_y),
        )

    def _state(self, running: _Running) -> State:
        tensors = {t.name: running.known[t.name] for t in self.manifest.kept}
        return State(tensors, running.sizes)

    def _start(self, stage: StageSpec, running: _Running) -> None:
        draws = {name: running.noise[name] for name in stage.noise}
        graph = self.graphs[stage.init]
        running.known.update(graph.run({**running.known, **draws}, running.sizes))

    def _step(self, stage: StageSpec, running: _Running) -> Value:
        """One step; returns the loss that it was taken on."""
        assert stage.step is not None
        outputs = self.graphs[stage.step].run(running.known, running.sizes)
        loss = outputs.pop("loss")
        running.known.update(outputs)
        return loss

    def _stage(
        self,
        stage: StageSpec,
        running: _Running,
        observe: Observe | None,
        meter: Meter,
        *,
        start: bool = True,
    ) -> None:
        def state() -> dict[str, Array]:
            return {name: to_numpy(running.known[name]) for name in stage.state}

        if start:
            self._start(stage, running)
            meter.tick()
        if observe and start:
            observe(stage.name, 0, state())
        loss = None
        for i in range(1, stage.steps + 1):
            loss = self._step(stage, running)
            meter.tick()
            if observe:
                observe(stage.name, i, {**state(), "loss": to_numpy(loss)})
        where = f"stage {stage.name}"
        check_finite({name: running.known[name] for name in stage.state}, where)
        if loss is not None:
            check_finite({"loss": loss}, where)

    def noise(self, support_y: Floats, rng: np.random.Generator | None = None) -> dict[str, Floats]:
        """Noise for every stage: zeros, or standard normal draws from `rng`."""
        sizes = sizes_of(support_y)
        noise: dict[str, Floats] = {}
        for stage in self.manifest.stages:
            inputs = self.manifest.graphs[stage.init].inputs
            for tensor in (tensor for tensor in inputs if tensor.name in stage.noise):
                shape = resolve(tensor, sizes)
                if ANY in shape or math.prod(shape) > MAX_NOISE:
                    raise AdaptError(
                        f"noise `{tensor.name}` has shape {list(tensor.shape)} with {sizes}, "
                        f"wanted sizes S and N and at most {MAX_NOISE} values",
                        hint="adapt to fewer examples or classes",
                    )
                noise[tensor.name] = (
                    rng.standard_normal(shape, dtype=np.float32)
                    if rng is not None
                    else np.zeros(shape, dtype=np.float32)
                )
        return noise

    def predict(self, state: State, query_x: Floats) -> Floats:
        """logits [Q, N], or outputs [Q, O], of embedded queries."""
        graph = self.graphs[self.manifest.predict]
        (answer,) = graph.spec.outputs
        sizes = {**state.sizes, "Q": len(query_x)}
        if not len(query_x):
            return np.zeros([max(size, 0) for size in resolve(answer, sizes)], np.float32)
        logits = to_numpy(graph.run({**state.tensors, "query_x": query_x}, sizes)[answer.name])
        check_finite({answer.name: logits}, f"graph {graph.name}")
        return logits


def sizes_of(support_y: Floats) -> dict[str, int]:
    """The sizes that are known from the labels [S, N], or from the targets [S, O]."""
    return {"S": support_y.shape[0], "N": support_y.shape[1]}


def check_finite(tensors: Mapping[str, Any], where: str) -> None:
    """Refuse NaN and infinity: an answer made of them looks like one."""
    for name, value in tensors.items():
        if not isinstance(value, np.ndarray):
            continue  # on the device; the outputs on the host tell
        # one pass without a temporary: a finite sum of squares shows that all are finite
        flat = value.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):  # then each value is looked at
            square = np.dot(flat, flat) if value.dtype == np.float32 else 0.0
        if not (np.isfinite(square) or np.isfinite(value).all()):
            raise AdaptError(
                f"{where} gave {name} with values that are not finite",
                hint="look for examples far outside what the package was trained on",
            )


class Shared:
    """What cannot change and is bound to sessions in this process: copies are the thing itself."""

    def __copy__(self) -> Self:
        """The same: it cannot be changed."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """The same: it cannot be changed."""
        return self


@dataclass(frozen=True, eq=False)
class LoadedPackage(Shared):
    """A package that was read, vetted and is ready to run; immutable."""

    manifest: Manifest = field(repr=False)
    files: Files = field(repr=False)
    identity: str = field(repr=False)  # the package's hash, to which saved tasks are bound
    _engine: Engine = field(repr=False)

    def __reduce__(self) -> NoReturn:
        """Sessions belong to their process, and a pickle would run code where it is read."""
        raise AdaptError(
            "a learner cannot be pickled",
            hint="give the other process the package's path, and call handful.load(path) there",
        )

    @property
    def path(self) -> Path | None:
        """The folder or the file that it was loaded from; None where that was bytes."""
        return self.files.place

    @property
    def name(self) -> str:
        """The package's name."""
        return self.manifest.name

    @property
    def input(self) -> InputSpec:
        """What an example has to be."""
        return self.manifest.input
