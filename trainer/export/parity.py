"""The exported graphs in onnxruntime against torch, state by state, on real episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.learner import load
from handful.runtime.tools.verify import TOLERANCE, relative_difference
from handful.trainer.errors import ExportError
from handful.trainer.learners import Support, Tensors, adapt

from .source import Source, draw_uneven

# (shots of each class): several ways, several shots, uneven shots; other sizes than traced with
EPISODES: tuple[tuple[int, ...], ...] = (
    (1, 1),
    (1, 1, 1, 1, 1),
    (5, 5, 5, 5, 5),
    (1, 3, 2, 5, 1),
    (2,) * 8,
    (1,) * 20,
)


@torch.no_grad()
def check_parity(source: Source, folder: Path) -> dict[str, float]:
    """The worst relative difference of every tensor; ExportError where one is too large."""
    learner = source.learner
    engine = load(folder)._engine
    generator = torch.Generator().manual_seed(1)
    worst: dict[str, float] = {}

    def note(name: str, found: object, wanted: Tensor) -> None:
        worst[name] = max(worst.get(name, 0.0), relative_difference(found, wanted.numpy(), name))

    fitting = [
        shots
        for shots in EPISODES
        if len(shots) <= min(learner.max_way or len(shots), len(source.test.classes))
        and max(shots) < int(source.test.counts.min())
    ]
    for shots in fitting:
        support, y, query = draw_uneven(source.test, shots=shots, queries=2, generator=generator)
        wanted: dict[str, Tensors] = {}
        embedded = source.embed(support)
        state = adapt(
            learner,
            source.params,
            Support(embedded, y),
            observe=lambda stage, i, t: wanted.update({f"{stage}/{i}": t}),  # noqa: B023
        )

        def compare(stage: str, i: int, tensors: dict[str, Array]) -> None:
            for name, value in tensors.items():
                note(f"{stage}/{i}/{name}", value, wanted[f"{stage}/{i}"][name])  # noqa: B023

        h = engine.embed(support.numpy())
        note("embed", h, embedded)
        found = engine.adapt(h, y.numpy(), observe=compare)
        logits = learner.predict(source.params, state, source.embed(query))
        answer = engine.predict(found, engine.embed(query.numpy()))
        note("logits", answer, logits)
        alone = [engine.predict(found, engine.embed(q[None].numpy())) for q in query]
        note("one by one", np.concatenate(alone), logits)
    failed = {name: value for name, value in worst.items() if not value <= TOLERANCE}
    if failed:
        name, value = max(failed.items(), key=lambda item: item[1])
        raise ExportError(
            f"the exported graphs do not agree with torch: {name} differs by {value:.1e},"
            f" allowed: {TOLERANCE:.0e}",
            hint="the package was not written; a diverging inner step magnifies rounding,"
            " lower its learning rate",
        )
    return worst
