"""Small learners with parameters and data that they can learn; shared tests run over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import Episode
from handful.trainer.export.source import Source
from handful.trainer.learners import LEARNERS, Learner, Support, Tensors, adapt
from handful.trainer.learners.classifier import Classifier, ClassifierConfig
from handful.trainer.learners.leo import LEO, LEOConfig
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.learners.matching import Matching, MatchingConfig
from handful.trainer.learners.meta_lstm import MetaLSTM, MetaLSTMConfig
from handful.trainer.learners.nearest import Nearest, NearestConfig
from handful.trainer.learners.proto_maml import ProtoMAML, ProtoMAMLConfig
from handful.trainer.learners.prototypical import Prototypical, PrototypicalConfig
from handful.trainer.learners.relation import Relation, RelationConfig
from handful.trainer.learners.reptile import MOMENT, POWER, Reptile, ReptileConfig
from handful.trainer.learners.siamese import Siamese, SiameseConfig
from handful.trainer.learners.views import ViewsConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.networks.normalise import Normalisation

from .small import (
    IMAGE,
    VECTOR,
    WAY,
    conv4,
    double,
    generator,
    pictures,
    relation_conv4,
    series,
    vectors,
)


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
        return tuple(name for name in self.params if not self.learner.frozen(name))


def moved(params: Tensors, learner: Learner, share: float = 0.05) -> Tensors:
    """The trainable parameters away from their start, where much is zero or one."""
    draw = generator(7)
    return {
        name: p if learner.frozen(name) else p + share * torch.randn(p.shape, generator=draw)
        for name, p in params.items()
    }


def on_pictures(learner: Learner) -> Case:
    return Case(learner, moved(learner.init(generator()), learner), pictures())


def maml(
    normalisation: Normalisation, *, filters: int = 8, inner_steps: int = 2, **settings: object
) -> Case:
    config = MAMLConfig(
        network=conv4(normalisation, filters),
        inner_steps=inner_steps,
        inner_lr=0.05,
        **settings,  # type: ignore[arg-type]
    )
    return on_pictures(MAML(config, IMAGE, WAY))


def maml_on_vectors(normalisation: Normalisation, **settings: object) -> Case:
    """A fully connected network, which is traced in a tenth of the time."""
    network = NetworkConfig(kind="mlp", hidden=(32, 24), normalisation=normalisation)
    config = MAMLConfig(network=network, inner_steps=2, inner_lr=0.1, **settings)  # type: ignore[arg-type]
    data = vectors()
    learner = MAML(config, data.input, WAY)
    return Case(learner, moved(learner.init(generator()), learner), data)


def meta_lstm(network: NetworkConfig, data: LabelledSet, **settings: Any) -> Case:
    """Gates that open wider than at the start, so that a few steps go somewhere."""
    config = MetaLSTMConfig(network=network, hidden=6, **{"inner_steps": 2, **settings})
    learner = MetaLSTM(config, data.input, WAY)
    params = moved(learner.init(generator()), learner, 0.1)
    return Case(learner, {**params, "gates.bias": torch.tensor([3.0, -1.0])}, data)


def reptile(network: NetworkConfig, data: LabelledSet, **settings: object) -> Case:
    """Moments as training leaves them: of gradients around a tenth, the bias long gone."""
    fixed = {"inner_steps": 3, "evaluation_steps": 3, "batch": 6, "inner_lr": 0.01}
    config = ReptileConfig(**{**fixed, "network": network, **settings})  # type: ignore[arg-type]
    learner = Reptile(config, data.input, WAY)
    params = moved(learner.init(generator()), learner)
    draw = generator(8)
    for name, value in params.items():
        if name.startswith(MOMENT):
            params[name] = 0.01 + 0.01 * torch.rand(value.shape, generator=draw)
    return Case(learner, {**params, POWER: torch.tensor(0.0)}, data)


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


def leo(**settings: object) -> Case:
    """LEO on vectors, prepared on them."""
    fixed = {"latent_dim": 6, "latent_steps": 2, "finetuning_steps": 2, "latent_lr": 0.3}
    config = LEOConfig(**{**fixed, "finetuning_lr": 0.05, **settings})  # type: ignore[arg-type]
    data = vectors()
    learner = LEO(config, data.input, WAY)
    params = learner.init(generator())
    params = learner.prepare(params, learner.embed(params, data.x), data.labels)
    return Case(learner, moved(params, learner, 0.02), data)


def leo_on_pictures(**settings: Any) -> Case:
    data = pictures()
    config = LEOConfig(
        latent_dim=6, latent_steps=1, finetuning_steps=1, network=conv4("running"), **settings
    )
    learner = LEO(config, data.input, WAY)
    params = learner.init(generator())
    params = learner.prepare(params, learner.embed(params, data.as_float(data.x)), data.labels)
    return Case(learner, params, data)


def nearest_on_vectors() -> Case:
    data = vectors()
    return Case(Nearest(NearestConfig(), data.input, WAY), {}, data)


def on_vectors(kind: type[Learner], **settings: object) -> Case:
    """A learner that embeds by a small fully connected network."""
    data = vectors()
    network = NetworkConfig(kind="mlp", hidden=(12,))
    learner = kind(kind.Config(network=network, **settings), data.input, WAY)
    return Case(learner, moved(learner.init(generator()), learner), data)


def on_features(name: str, data: LabelledSet | None = None, **settings: Any) -> Case:
    """The learner `name` on vectors, or on `data`, prepared on them; its logits are too small."""
    data, kind = data or vectors(), LEARNERS[name]
    learner = kind(kind.Config(**settings), data.input, WAY)
    params = learner.init(generator())
    params = learner.prepare(params, learner.embed(params, data.as_float(data.x)), data.labels)
    if "log_scale" in params:
        params["log_scale"] = torch.tensor(-0.5 if name == "logistic" else 0.5)
    return Case(learner, params, data)


R2D2 = NetworkConfig(kind="mlp", hidden=(16, 12), normalisation="running")


def proto_maml(data: LabelledSet, **settings: Any) -> Case:
    """Prepared on the data, as a run does."""
    learner = ProtoMAML(ProtoMAMLConfig(inner_steps=2, **settings), data.input, WAY)
    params = learner.init(generator())
    params = learner.prepare(params, learner.embed(params, data.as_float(data.x)), data.labels)
    return Case(learner, moved(params, learner, 0.02), data)


VIEWS = ViewsConfig(shifts=(-2, 1), turns=(20.0,), reverse=True)


CASES: dict[str, Callable[[], Case]] = {
    "leo": leo,
    "leo-pictures": leo_on_pictures,
    "leo-learned": lambda: leo_on_pictures(train_network=True, scores="distance"),
    "maml-support-fixed": lambda: maml("support"),
    "maml-task-shared-step": lambda: maml("task", head="shared", rates="step"),
    "maml-group-shared-coordinate": lambda: maml(
        "group", filters=32, head="shared", rates="coordinate"
    ),
    "maml-layer-fixed-step": lambda: maml("layer", rates="step", evaluation_steps=3),
    "maml-none-fixed-coordinate": lambda: maml("none", rates="coordinate"),
    "mlp-support-shared-coordinate": lambda: maml_on_vectors(
        "support", head="shared", rates="coordinate"
    ),
    "mlp-task-shared-step": lambda: maml_on_vectors(
        "task", head="shared", rates="step", evaluation_steps=3
    ),
    "mlp-group-fixed-coordinate": lambda: maml_on_vectors("group", rates="coordinate"),
    "maml-first-order": lambda: maml("support", head="shared", first_order=True),
    "anil": lambda: maml("running", adapt_only="head", head="shared"),
    "reptile": lambda: reptile(conv4("support"), pictures()),
    "reptile-shared": lambda: reptile(
        NetworkConfig(kind="mlp", hidden=(32, 24), normalisation="layer"), vectors(), head="shared"
    ),
    "meta-lstm": lambda: meta_lstm(conv4("support"), pictures(), p=4.0),
    "meta-lstm-shared": lambda: meta_lstm(
        NetworkConfig(kind="mlp", hidden=(16, 12), normalisation="layer"),
        vectors(),
        head="shared",
        evaluation_steps=3,
    ),
    "prototypical": lambda: on_pictures(
        Prototypical(PrototypicalConfig(network=conv4("running")), IMAGE, WAY)
    ),
    "matching": lambda: on_vectors(Matching, scale=5.0),
    "matching-context": lambda: on_vectors(Matching, scale=5.0, context_steps=2),
    "matching-squared": lambda: on_pictures(
        Matching(MatchingConfig(metric="squared", network=conv4("running")), IMAGE, WAY)
    ),
    "relation": lambda: on_pictures(
        Relation(RelationConfig(filters=6, network=relation_conv4()), IMAGE, WAY)
    ),
    "relation-vectors": lambda: on_vectors(Relation, filters=16, shots="mean"),
    "siamese": lambda: on_vectors(Siamese),
    "siamese-dense": lambda: on_pictures(
        Siamese(SiameseConfig(units=9, network=conv4("group")), IMAGE, WAY)
    ),
    "classifier": lambda: on_pictures(
        Classifier(ClassifierConfig(classes=60, network=conv4("running")), IMAGE, WAY)
    ),
    "classifier-cosine": lambda: on_pictures(
        Classifier(ClassifierConfig(classes=60, head="cosine", network=conv4("layer")), IMAGE, WAY)
    ),
    "means": lambda: on_features("means"),
    "means-within": lambda: on_features("means", metric="within"),
    "means-power": lambda: on_features(
        "means", metric="power", support_center=0.5, shot_scale=True
    ),
    "means-pictures": lambda: on_features("means", pictures(), network=conv4("running")),
    "logistic": lambda: on_features("logistic"),
    "ridge": lambda: on_features("ridge"),
    "ridge-learned": lambda: on_features(
        "ridge", metric="euclidean", train_network=True, network=R2D2
    ),
    "baseline": lambda: on_features("baseline", steps=12),
    "baseline-pp": lambda: on_features("baseline-pp", steps=12),
    "proto-maml-vectors": lambda: proto_maml(vectors(), network=None),
    "proto-maml-no-exemplars": lambda: proto_maml(
        vectors(), network=None, exemplars=0.0, power=0.0
    ),
    "proto-maml-pictures": lambda: proto_maml(
        pictures(), network=conv4("running"), views=ViewsConfig(shifts=(1,))
    ),
    "proto-maml-series": lambda: proto_maml(
        series(), network=NetworkConfig(kind="conv1d", filters=8), views=VIEWS
    ),
    "proto-maml-frozen": lambda: proto_maml(pictures(), network=conv4("running"), freeze=True),
    "nearest": nearest_on_vectors,
    "nearest-network": lambda: on_pictures(
        Nearest(NearestConfig(network=conv4("running")), IMAGE, WAY)
    ),
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
