"""Small learners with parameters and data that they can learn; shared tests run over them.

Each learner says itself in which small forms it is tried: `variants` in its file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import Asks, Episode
from handful.trainer.export.source import Source
from handful.trainer.form.learner import Learner, Variant, adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners import LEARNERS
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.operations.normalise import Normalisation

from .small import VECTOR, WAY, double, generator, of_persons, pictures, series, vectors


@dataclass(frozen=True)
class Case:
    """A learner with parameters and data it can learn."""

    learner: Learner
    params: Tensors
    data: LabelledSet

    def answer(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        """Logits of raw queries after adapting to raw examples x with labels y."""
        embed = self.learner.embed
        state = adapt(self.learner, self.params, Support(embed(self.params, x), y))
        return self.learner.predict(self.params, state, embed(self.params, query))

    @property
    def trainable(self) -> tuple[str, ...]:
        return tuple(name for name in self.params if not self.learner.is_frozen(name))


def case_of(kind: type[Learner], variant: Variant, data: LabelledSet | None = None) -> Case:
    """The learner prepared on data, as a run does, and moved from where much is zero or one."""
    data = data or examples_for(variant.config)
    if variant.named:
        data = of_persons(data)
        learner = kind(variant.config, data.input, WAY, Asks(named_way=WAY))
    else:
        learner = kind(variant.config, data.input, WAY)
    params = prepared(learner, data)
    return Case(learner, variant.start(moved(params, learner)), data)


def examples_for(config: Any) -> LabelledSet:
    """What the network of these settings reads: vectors, where there is none."""
    network = getattr(config, "network", None)
    if network is None or network.kind == "mlp":
        return vectors()
    return series() if network.kind in ("conv1d", "trace") else pictures()


def prepared(learner: Learner, data: LabelledSet) -> Tensors:
    """Its start on these data."""
    params = learner.init(generator())
    h = learner.embed(params, data.as_float(data.x))
    return learner.prepare(params, h, data.labels, data.of_domain)


def moved(params: Tensors, learner: Learner, share: float = 0.05) -> Tensors:
    """The trainable parameters away from their start, where much is zero or one."""
    draw = generator(7)
    return {
        name: p if learner.is_frozen(name) else p + share * torch.randn(p.shape, generator=draw)
        for name, p in params.items()
    }


def on_pictures(learner: Learner) -> Case:
    return Case(learner, moved(learner.init(generator()), learner), pictures())


def leo(**settings: object) -> Case:
    """The small LEO on vectors with other settings."""
    kind = LEARNERS["leo"]
    config = kind.variants()["leo"].config
    return case_of(kind, Variant(type(config)(**{**vars(config), **settings})))


def on_features(name: str, data: LabelledSet | None = None, **settings: Any) -> Case:
    """The learner `name` on vectors, or on `data`, with these settings."""
    kind = LEARNERS[name]
    start = kind.variants()[name].start
    return case_of(kind, Variant(kind.Config(**settings), start), data)


def tiny(normalisation: Normalisation, **settings: Any) -> tuple[MAML, Tensors, Episode]:
    """An MLP 3 → 5 → 4 → 3 classes in float64, and one task of uneven shots."""
    network = NetworkConfig(kind="mlp", hidden=(5, 4), normalisation=normalisation)
    learner = MAML(MAMLConfig(network=network, inner_lr=0.3, **settings), VECTOR, 3)
    draw = generator(2)
    params = double(learner.init(draw))
    params = {n: p + 0.2 * torch.randn(p.shape, generator=draw).double() for n, p in params.items()}
    y = torch.eye(3).repeat_interleave(torch.tensor([2, 1, 2]), dim=0).double()
    x, query = (torch.randn(size, 3, generator=draw, dtype=torch.float64) for size in (5, 6))
    return (
        learner,
        params,
        Episode(x, y, query, torch.eye(3).double().repeat(2, 1), torch.arange(3)),
    )


CASES: dict[str, Callable[[], Case]] = {
    name: partial(case_of, kind, variant)
    for kind in LEARNERS.values()
    for name, variant in kind.variants().items()
}


@cache
def case(name: str) -> Case:
    """The case of that name, made once; nothing may write to its tensors."""
    return CASES[name]()


def source(subject: Case) -> Source:
    """What export is given to export the case."""
    return Source(
        learner=subject.learner, params=subject.params, test=subject.data, training={"seed": 3}
    )
