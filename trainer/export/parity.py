"""The exported graphs in onnxruntime against torch, on real episodes and on extremes."""

from __future__ import annotations

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


def check_parity(source: Source, folder: Path) -> dict[str, float]:
    """The worst relative difference of every tensor; ExportError where one is too large."""
    differences = _Differences(source, load(folder)._engine)
    generator = torch.Generator().manual_seed(1)
    most = min(source.learner.max_way or len(source.test.classes), len(source.test.classes))
    fitting = [
        shots
        for shots in EPISODES
        if len(shots) <= most
        and max(shots) < int(source.test.counts.min())
        and sum(shots) <= (source.learner.max_support or sum(shots))
    ]
    for shots in fitting:
        support, y, query = draw_uneven(source.test, shots=shots, queries=2, generator=generator)
        differences.compare("", support, y, query)
    example = source.test.as_float(source.test.x[:1].cpu())[0]
    for name, support, y, query in extremes(source.test.input, example, source.learner.max_way):
        differences.compare(f" {name}", support, y, query)
    failed = {name: value for name, value in differences.worst.items() if not value <= TOLERANCE}
    if failed:
        name, value = max(failed.items(), key=lambda item: item[1])
        raise ExportError(
            f"the exported graphs do not agree with torch: {name} differs by {value:.1e},"
            f" allowed: {TOLERANCE:.0e}",
            hint="the package was not written; a diverging inner step magnifies rounding,"
            " lower its learning rate",
        )
    return differences.worst


class _Differences:
    """The largest difference of each tensor so far."""

    def __init__(self, source: Source, engine: Engine) -> None:
        self.source, self.engine = source, engine
        self.worst: dict[str, float] = {}

    def note(self, name: str, value: object, wanted: Tensor, where: str) -> None:
        difference = relative_difference(value, wanted.numpy(), name)
        name += where
        self.worst[name] = max(self.worst.get(name, 0.0), difference)

    @torch.no_grad()
    def compare(self, where: str, support: Tensor, y: Tensor, query: Tensor) -> None:
        """Adapt and answer in both; `where` says which support set it is, after a space."""
        source, engine = self.source, self.engine
        wanted: dict[str, Tensors] = {}
        embedded = source.embed(support)
        state = adapt(
            source.learner,
            source.params,
            Support(embedded, y),
            observe=lambda stage, i, t: wanted.update({f"{stage}/{i}": t}),
        )
        logits = source.learner.predict(source.params, state, source.embed(query))

        def compare(stage: str, i: int, tensors: dict[str, Array]) -> None:
            for name, value in tensors.items():
                self.note(f"{stage}/{i}/{name}", value, wanted[f"{stage}/{i}"][name], where)

        try:
            h = engine.embed(support.numpy())
            self.note("embed", h, embedded, where)
            adapted = engine.adapt(h, y.numpy(), observe=compare)
            answer = engine.predict(adapted, engine.embed(query.numpy()))
            self.note("logits", answer, logits, where)
            alone = [engine.predict(adapted, engine.embed(q[None].numpy())) for q in query]
            self.note("one by one", np.concatenate(alone), logits, where)
        except AdaptError as error:
            # what the runtime refuses may well not be finite in torch either
            tensors = [t for part in wanted.values() for t in part.values()]
            if all(bool(t.isfinite().all()) for t in (embedded, *tensors, logits)):
                raise ExportError(
                    f"the exported graphs do not agree with torch:{where} {error}",
                    hint="the package was not written; in torch every value is finite",
                ) from error
