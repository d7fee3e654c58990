"""The exported graphs in onnxruntime against torch, on real episodes and on extremes."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.engine import Engine
from handful.runtime.errors import AdaptError
from handful.runtime.learner import load
from handful.runtime.tools.golden import MOST_OF_ANSWERS
from handful.runtime.tools.verify import TOLERANCE, relative_difference
from handful.trainer.errors import ExportError

from .conditioning import run_in_torch, tolerances
from .extremes import extremes
from .source import Source

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
        differences.compare("", support, y, query, most=MOST_OF_ANSWERS)
    example = source.test.some(1, seed=0)[0][0].cpu()
    for name, support, y, query in extremes(
        source.test.input, example, max_way=learner.max_way, targets=learner.targets
    ):
        differences.compare(f" {name}", support, y, query, most=math.inf)
    if differences.failed:
        name, (value, allowed) = max(differences.failed.items(), key=lambda item: item[1][0])
        raise ExportError(
            f"the exported graphs do not agree with torch: {name} differs by {value:.1e},"
            f" allowed: {allowed:.0e}",
            hint="the package was not written; a diverging inner step magnifies rounding,"
            " lower its learning rate",
        )
    return differences.worst


class _Differences:
    """The largest difference of each tensor so far."""

    def __init__(self, source: Source, engine: Engine) -> None:
        self.source, self.engine = source, engine
        self.answer = source.learner.task.outputs
        self.worst: dict[str, float] = {}
        self.failed: dict[str, tuple[float, float]] = {}  # the difference and what was allowed

    @torch.no_grad()
    def compare(
        self, where: str, support: Tensor, y: Tensor, query: Tensor, *, most: float
    ) -> None:
        """Adapt and answer in both; `where` says which support set it is, after a space.

        How each tensor is conditioned is computed where one differs by more than TOLERANCE. Answers
        may never differ by more than `most`, however they are conditioned.
        """
        engine, answer = self.engine, self.answer
        wanted = run_in_torch(self.source, support, y, query)

        @cache
        def conditioned() -> dict[str, float]:
            found = tolerances(self.source, support, y, query)
            return {**found, answer: min(found[answer], most)}

        def note(name: str, value: object, in_torch: str) -> None:
            difference = relative_difference(value, wanted[in_torch].numpy(), in_torch)
            noted = name + where
            self.worst[noted] = max(self.worst.get(noted, 0.0), difference)
            if difference <= TOLERANCE:
                return
            allowed = max(TOLERANCE, conditioned()[in_torch])
            if not difference <= allowed:
                self.failed[noted] = (self.worst[noted], allowed)

        def compare(stage: str, i: int, tensors: dict[str, Array]) -> None:
            for name, value in tensors.items():
                note(f"{stage}/{i}/{name}", value, f"{stage}/{i}/{name}")

        try:
            h = engine.embed(support.numpy())
            note("embed", h, "embed")
            adapted = engine.adapt(h, y.numpy(), observe=compare)
            note(answer, engine.predict(adapted, engine.embed(query.numpy())), answer)
            alone = [engine.predict(adapted, engine.embed(q[None].numpy())) for q in query]
            note("one by one", np.concatenate(alone), answer)
        except AdaptError as error:
            # what the runtime refuses may well not be finite in torch either
            if all(bool(tensor.isfinite().all()) for tensor in wanted.values()):
                raise ExportError(
                    f"the exported graphs do not agree with torch:{where} {error}",
                    hint="the package was not written; in torch every value is finite",
                ) from error
