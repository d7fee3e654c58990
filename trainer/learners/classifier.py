"""A classifier of all meta-training classes, for pre-training (Chen et al. 2019, arXiv:1904.04232).

    head     over all C classes: W f(x) + b, or cosine: scale · g_c ⟨f(x)/‖f(x)‖, v_c/‖v_c‖⟩
    outer    cross-entropy of the support set and the queries under their classes' numbers
    embed    h = f(x)
    state    c_n = mean of h/‖h‖ over the examples of class n
    predict  −‖h/‖h‖ − c_n‖²

The head serves training alone: a task's new classes are told apart by class means, on which
training is validated too. `pretrain.objective = "softmax"` and `"cosine"` train a network so.

Where the classes are named the head is the answer, the same in every task whatever its support set:
a classifier for everybody. It is trained on batches of all domains, and others start from its head.

Differs from the paper: batches are episodes, so all classes come equally often and a batch holds a
few examples of each of its classes; Adam with the settings of `[pretrain]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from handful.trainer.episodes import Episode, EpisodeSource
from handful.trainer.form.learner import Outcome, Variant, add_prefix, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import (
    HEAD,
    OF_PICTURES,
    OF_VECTORS,
    PretrainingLearner,
    PretrainRequest,
    without_head,
)
from handful.trainer.parts.features import class_means, squared_distance, unit_length
from handful.trainer.settings.errors import ConfigError, SettingError
from handful.trainer.settings.read import check_numbers

OBJECTIVES = {"linear": "softmax", "cosine": "cosine"}  # what [pretrain] calls the heads
MANY = 200  # classes, above which the authors' cosine head has the larger scale
SCALES = (2.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """The hyperparameters."""

    classes: int | None = None  # C, all meta-training classes; pre-training sets it
    head: Literal["linear", "cosine"] = "linear"
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Classifier(PretrainingLearner):
    """An embedding learned as a classifier."""

    name = "classifier"
    Config = ClassifierConfig
    tasks = ("classification", "named classes")
    objectives = tuple(OBJECTIVES.values())

    @classmethod
    def pretraining(cls, network: NetworkConfig, asked: PretrainRequest) -> ClassifierConfig:
        """The settings with which it trains `network` for others."""
        head: Literal["linear", "cosine"] = "cosine" if asked.objective == "cosine" else "linear"
        return ClassifierConfig(network=network, classes=asked.classes, head=head)

    @classmethod
    def describe_request(cls, config: ClassifierConfig) -> PretrainRequest:
        """What `[pretrain]` asks for where it trains with these settings."""
        return PretrainRequest(OBJECTIVES[config.head])

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """Both heads, and of named classes."""
        layer = replace(OF_PICTURES, normalisation="layer")
        return {
            "classifier": Variant(cls.Config(classes=60, network=OF_PICTURES)),
            "classifier-cosine": Variant(cls.Config(classes=60, head="cosine", network=layer)),
            "classifier-named": Variant(cls.Config(network=OF_VECTORS), named=True),
        }

    def network_of(self, params: Tensors) -> Tensors:
        """The parameters without the head, unless its classes are those of every task."""
        return params if self.named_way else without_head(params)

    def training_source(self, source: EpisodeSource) -> EpisodeSource:
        """Of named classes batches that mix all domains."""
        return source.mix_domains()

    @property
    def classes(self) -> int:
        """C, the classes of the head."""
        classes: int | None = self.named_way or self.config.classes
        if classes is None:
            raise SettingError(
                "learner.classes", "is not set", hint="set it to the number of training classes"
            )
        return classes

    def init(self, generator: torch.Generator) -> Tensors:
        """The network and the head, which starts as torch's Linear."""
        shape = (self.classes, self.features)
        params = self.network_params(generator)
        weight = (torch.rand(shape, generator=generator) * 2 - 1) * shape[1] ** -0.5
        if self.config.head == "linear":
            return params | {HEAD + "weight": weight, HEAD + "bias": torch.zeros(shape[0])}
        return params | {HEAD + "weight": weight, HEAD + "length": weight.norm(dim=1)}

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage without steps: the class means, or of named classes the head."""
        if self.named_way:
            return (Stage(name="head", init=head),)
        return (Stage(name="means", init=means),)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """−‖h/‖h‖ − c_n‖² for h [Q, D], or the head's logits: [Q, N]."""
        if self.named_way:
            return self.all_classes(add_prefix(state, HEAD), query_x)
        return -squared_distance(unit_length(query_x), state["c"])

    def training_noise(self, episodes: Episode, generator: torch.Generator) -> Tensors:
        """None; refuses classes that the head does not have."""
        most = int(episodes.classes.max()) + 1
        if most > self.classes:
            raise ConfigError(
                f"learner.classes is {self.classes}, the training data have {most} or more",
                hint="set it to the number of training classes",
            )
        return {}

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """Cross-entropy over all C classes of every example in the episode, as one batch."""
        y = torch.cat([episode.support_y, episode.query_y])
        numbers = episode.classes.gather(0, y.argmax(dim=1))
        support, query, buffers = self.embed_task(params, episode)
        logits = self.all_classes(params, torch.cat([support.x, query]))
        loss = -torch.log_softmax(logits, dim=1).gather(1, numbers[:, None]).mean()
        right = (logits.argmax(dim=1) == numbers).to(logits.dtype).mean()
        return loss, Outcome({"accuracy": right.detach()}, buffers)

    def all_classes(self, params: Tensors, h: Tensor) -> Tensor:
        """The head's logits of h [B, D]: [B, C]."""
        weight = params[HEAD + "weight"]
        if self.config.head == "linear":
            return h @ weight.T + params[HEAD + "bias"]
        scale = SCALES[weight.shape[0] > MANY] * params[HEAD + "length"]
        return unit_length(h) @ unit_length(weight).T * scale


def head(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """The head as it was trained, whatever the support set."""
    return part(params, HEAD)


def means(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """c [N, D], the class means of h [S, D] at unit length."""
    return {"c": class_means(unit_length(support.x), support.y)}
