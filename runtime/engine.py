"""Running a package: embed, the stages, predict; no line of any learner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from handful.runtime.package.manifest import Manifest, StageSpec, TensorSpec

from .arrays import Array, Floats
from .errors import AdaptError
from .sessions import Graph, to_numpy

State = dict[str, Any]  # name → array, or a tensor that stays on the device
Observe = Callable[[str, int, dict[str, Array]], None]
EMBED_CHUNK = 8  # of queries: on a CPU larger batches are no faster and take more memory


class Engine:
    """The graphs of one package in the order that its manifest gives."""

    def __init__(self, manifest: Manifest, graphs: Mapping[str, Graph]) -> None:
        """`graphs` has one entry for each in the manifest."""
        self.manifest = manifest
        self.graphs = dict(graphs)

    def embed(self, x: Floats, *, chunk: int = EMBED_CHUNK) -> Floats:
        """x [B, ...] → h [B, ...], `chunk` examples at a time."""
        if self.manifest.embed is None or not len(x):
            return x
        graph = self.graphs[self.manifest.embed]
        parts = [
            to_numpy(graph.run({"x": x[at : at + chunk]})["h"]) for at in range(0, len(x), chunk)
        ]
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        finite({"h": found}, f"graph {graph.name}")
        return found

    def adapt(
        self,
        support_x: Floats,
        support_y: Floats,
        *,
        noise: Mapping[str, Floats] | None = None,
        observe: Observe | None = None,
    ) -> State:
        """The state that predict reads, from embedded examples; noise is zero unless given."""
        known: State = {"support_x": support_x, "support_y": support_y}
        given = {**self.noise(support_y), **(noise or {})}
        for stage in self.manifest.stages:
            self._stage(stage, known, given, observe)
        return self._kept(known)

    def after_each_step(self, support_x: Floats, support_y: Floats) -> Iterator[State]:
        """What predict reads after 0, 1, … n inner steps in all, spent in the stages' order.

        Stages that the steps do not reach start from the state as it is and are not stepped, so
        the last state is that of `adapt`.
        """
        known: State = {"support_x": support_x, "support_y": support_y}
        noise = self.noise(support_y)
        stages = self.manifest.stages

        def completed(at: int) -> State:
            final = dict(known)
            for stage in stages[at + 1 :]:
                self._start(stage, final, noise)
            return self._kept(final)

        for at, stage in enumerate(stages):
            self._start(stage, known, noise)
            if at == 0:
                yield completed(at)
            for _ in range(stage.steps):
                self._step(stage, known)
                yield completed(at)

    def _kept(self, known: State) -> State:
        return {name: known[name] for name in self.read_by_predict}

    def _start(self, stage: StageSpec, known: State, noise: Mapping[str, Floats]) -> None:
        draws = {name: noise[name] for name in stage.noise}
        known.update(self.graphs[stage.init].run({**known, **draws}))

    def _step(self, stage: StageSpec, known: State) -> Any:
        """One step; returns the loss that it was taken on."""
        assert stage.step is not None
        after = self.graphs[stage.step].run(known)
        loss = after.pop("loss")
        known.update(after)
        return loss

    @property
    def read_by_predict(self) -> tuple[str, ...]:
        """The tensors of the state that predict reads: what a task keeps."""
        inputs = self.manifest.graphs[self.manifest.predict].inputs
        return tuple(tensor.name for tensor in inputs if tensor.name != "query_x")

    def _stage(
        self, stage: StageSpec, known: State, noise: Mapping[str, Floats], observe: Observe | None
    ) -> None:
        self._start(stage, known, noise)
        if observe:
            observe(stage.name, 0, {name: to_numpy(known[name]) for name in stage.state})
        loss = None
        for i in range(1, stage.steps + 1):
            loss = self._step(stage, known)
            if observe:
                own = {name: to_numpy(known[name]) for name in stage.state}
                observe(stage.name, i, {**own, "loss": to_numpy(loss)})
        where = f"stage {stage.name}"
        finite({name: known[name] for name in stage.state}, where)
        if loss is not None:
            finite({"loss": loss}, where)

    def noise(self, support_y: Floats, rng: np.random.Generator | None = None) -> dict[str, Floats]:
        """Noise for every stage: zeros, or standard normal draws from `rng`."""
        sizes = {"S": support_y.shape[0], "N": support_y.shape[1]}
        found: dict[str, Floats] = {}
        for stage in self.manifest.stages:
            inputs = self.manifest.graphs[stage.init].inputs
            for tensor in (tensor for tensor in inputs if tensor.name in stage.noise):
                shape = resolve(tensor, sizes)
                found[tensor.name] = (
                    rng.standard_normal(shape, dtype=np.float32)
                    if rng is not None
                    else np.zeros(shape, dtype=np.float32)
                )
        return found

    def predict(self, state: Mapping[str, Any], query_x: Floats) -> Floats:
        """logits [Q, N], or outputs [Q, O], of embedded queries."""
        graph = self.graphs[self.manifest.predict]
        found = to_numpy(graph.run({**state, "query_x": query_x})[graph.spec.outputs[0].name])
        finite({graph.spec.outputs[0].name: found}, f"graph {graph.name}")
        return found


def resolve(tensor: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The tensor's shape with numbers for its symbols."""
    return tuple(sizes[size] if isinstance(size, str) else size for size in tensor.shape)


def finite(tensors: Mapping[str, Any], where: str) -> None:
    """Refuse NaN and infinity: an answer made of them looks like one."""
    for name, value in tensors.items():
        if not isinstance(value, np.ndarray):
            continue  # on the device; the outputs on the host tell
        # one pass without a temporary: a finite sum of squares shows that all are finite
        flat = value.reshape(-1)
        if value.dtype == np.float32 and not (
            np.isfinite(np.dot(flat, flat)) or np.isfinite(value).all()
        ):
            raise AdaptError(
                f"{where} gave {name} with values that are not finite",
                hint="look for examples far outside what the package was trained on",
            )
