"""The exported graphs in onnxruntime against torch, state by state, on real episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.learner import open_package
from handful.runtime.verify import TOLERANCE, relative_difference
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.errors import ExportError
from handful.trainer.learners import Support, Tensors, adapt

if TYPE_CHECKING:
    from .package import Source

# (shots of each class): several ways, several shots, uneven shots; other sizes than traced with
EPISODES: tuple[tuple[int, ...], ...] = (
    (1, 1),
    (1, 1, 1, 1, 1),
    (5, 5, 5, 5, 5),
    (1, 3, 2, 5, 1),
    (2,) * 8,
    (1,) * 20,
)


LEAST = 4  # examples of a class: three shots of the golden vectors and a query


def checkable(data: LabelledSet) -> LabelledSet:
    """The classes with enough examples to check a package on; there must be two."""
    enough = [c for c, count in enumerate(data.counts.tolist()) if count >= LEAST]
    if len(enough) < 2:
        raise ExportError(
            f"{len(enough)} of {len(data.classes)} test classes have {LEAST} examples or more,"
            " wanted 2 to check a package on",
            hint="give the meta_test split more classes, or its classes more examples",
        )
    return data if len(enough) == len(data.classes) else data.take(enough)


def draw_uneven(
    data: LabelledSet, *, shots: Sequence[int], queries: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Raw support [S, ...], one-hot labels [S, N] and queries [N·queries, ...] on the CPU."""
    classes = torch.randperm(len(data.classes), generator=generator)[: len(shots)].tolist()
    support, query, labels = [], [], []
    for n, (c, shot) in enumerate(zip(classes, shots, strict=True)):
        order = torch.randperm(int(data.counts[c]), generator=generator) + int(data.start[c])
        support.append(order[:shot])
        query.append(order[shot : shot + queries])
        labels += [n] * shot
    y = torch.eye(len(shots))[labels]
    rows = [data.x[torch.cat(part).to(data.x.device)].cpu() for part in (support, query)]
    return data.as_float(rows[0]), y, data.as_float(rows[1])


@torch.no_grad()
def check_parity(source: Source, folder: Path) -> dict[str, float]:
    """The worst relative difference of every tensor; ExportError where one is too large."""
    learner = source.learner
    engine = open_package(folder)._engine
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
