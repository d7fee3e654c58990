"""The exported graphs in onnxruntime against torch, on real episodes and on extremes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.engine import Engine
from handful.runtime.errors import AdaptError
from handful.runtime.learner import load
from handful.runtime.tools.verify import TOLERANCE, relative_difference
from handful.trainer.errors import ExportError
from handful.trainer.learners import Support, Tensors, adapt

from .extremes import extremes
from .source import Source

ALTERED = 1e-6  # of a number: about what summing some hundred products in another order does
ANSWER = "answer"  # what `predict` gives, logits or outputs
HEADROOM = 10.0  # how far beyond what ALTERED does in torch the graphs may be

# (shots of each class): several ways, several shots, uneven shots; other sizes than traced with
EPISODES: tuple[tuple[int, ...], ...] = (
    (1, 1),
    (1, 1, 1, 1, 1),
    (5, 5, 5, 5, 5),
    (1, 3, 2, 5, 1),
    (2,) * 8,
    (1,) * 20,
)


def check_parity(source: Source, folder: Path) -> dict[str, float]:
    """The worst relative difference of every tensor; ExportError where one is too large."""
    differences = _Differences(source, load(folder)._engine)
    generator = torch.Generator().manual_seed(1)
    learner = source.learner
    fitting = [
        shots
        for shots in EPISODES
        if len(shots) <= (learner.max_way or len(shots))
        and source.test.holds(shots)
        and sum(shots) <= (learner.max_support or sum(shots))
    ]
    for shots in fitting:
        support, y, query = source.test.uneven(shots, queries=2, generator=generator)
        differences.compare("", support, y, query, TOLERANCE)
    example = source.test.some(1, seed=0)[0][0].cpu()
    for name, support, y, query in extremes(
        source.test.input, example, max_way=learner.max_way, targets=learner.targets
    ):
        allowed = max(TOLERANCE, HEADROOM * _magnified(source, support, y, query))
        differences.compare(f" {name}", support, y, query, allowed)
    if differences.failed:
        name, (value, allowed) = max(differences.failed.items(), key=lambda item: item[1][0])
        raise ExportError(
            f"the exported graphs do not agree with torch: {name} differs by {value:.1e},"
            f" allowed: {allowed:.0e}",
            hint="the package was not written; a diverging inner step magnifies rounding,"
            " lower its learning rate",
        )
    return differences.worst


@torch.no_grad()
def _magnified(source: Source, support: Tensor, y: Tensor, query: Tensor) -> float:
    """The worst relative difference in torch alone when each number given is altered by ALTERED.

    Batch normalisation divides by the spread of equal examples, which is rounding: there float32
    itself says no more than this. Zeros stay zeros, so that on them nothing more is allowed.
    """
    generator = torch.Generator().manual_seed(2)

    def alter(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return x
        return (x * (1 + ALTERED * (2 * torch.rand(x.shape, generator=generator) - 1))).to(x.dtype)

    params = {name: alter(p) for name, p in source.params.items()}
    exact = _run_in_torch(source, support, y, query)
    altered = _run_in_torch(replace(source, params=params), alter(support), y, alter(query))
    differences = [
        relative_difference(altered[name].numpy(), tensor.numpy(), name)
        for name, tensor in exact.items()
    ]
    return max((value for value in differences if math.isfinite(value)), default=0.0)


def _run_in_torch(source: Source, support: Tensor, y: Tensor, query: Tensor) -> Tensors:
    """The embedded support set, the tensors of every stage and step, and the answers."""
    tensors: Tensors = {"embed": source.embed(support)}
    state = adapt(
        source.learner,
        source.params,
        Support(tensors["embed"], y),
        observe=lambda stage, i, values: tensors.update(
            {f"{stage}/{i}/{name}": value for name, value in values.items()}
        ),
    )
    tensors[ANSWER] = source.learner.predict(source.params, state, source.embed(query))
    return tensors


class _Differences:
    """The largest difference of each tensor so far."""

    def __init__(self, source: Source, engine: Engine) -> None:
        self.source, self.engine = source, engine
        self.answer = source.learner.task.outputs
        self.worst: dict[str, float] = {}
        self.failed: dict[str, tuple[float, float]] = {}  # the difference and what was allowed

    def note(self, name: str, value: object, wanted: Tensor, where: str, allowed: float) -> None:
        difference = relative_difference(value, wanted.numpy(), name)
        name += where
        self.worst[name] = max(self.worst.get(name, 0.0), difference)
        if not difference <= allowed:
            self.failed[name] = (self.worst[name], allowed)

    @torch.no_grad()
    def compare(
        self, where: str, support: Tensor, y: Tensor, query: Tensor, allowed: float
    ) -> None:
        """Adapt and answer in both; `where` says which support set it is, after a space."""
        engine = self.engine
        wanted = _run_in_torch(self.source, support, y, query)

        def note(name: str, value: object, in_torch: str) -> None:
            self.note(name, value, wanted[in_torch], where, allowed)

        def compare(stage: str, i: int, tensors: dict[str, Array]) -> None:
            for name, value in tensors.items():
                note(f"{stage}/{i}/{name}", value, f"{stage}/{i}/{name}")

        try:
            h = engine.embed(support.numpy())
            note("embed", h, "embed")
            adapted = engine.adapt(h, y.numpy(), observe=compare)
            note(self.answer, engine.predict(adapted, engine.embed(query.numpy())), ANSWER)
            alone = [engine.predict(adapted, engine.embed(q[None].numpy())) for q in query]
            note("one by one", np.concatenate(alone), ANSWER)
        except AdaptError as error:
            # what the runtime refuses may well not be finite in torch either
            if all(bool(tensor.isfinite().all()) for tensor in wanted.values()):
                raise ExportError(
                    f"the exported graphs do not agree with torch:{where} {error}",
                    hint="the package was not written; in torch every value is finite",
                ) from error
