"""Prototypical networks (Snell et al. 2017, arXiv:1703.05175).

    embed    h = f(x)
    state    c_n = mean of f(x) over the examples of class n
    predict  −‖f(x) − c_n‖²

Meta-training draws many classes a task (60-way). Support and query set go through f in one batch,
so batch normalisation uses the moments of both. It also updates running averages, which normalise
each example once f is frozen (equations 1 and 2).

Differs from the paper where `length` is set: f(x) is brought to this length ℓ, so that
−‖h − c_n‖² is, but for what all classes share, 2 ℓ² times the cosine to the mean of ℓ unit vectors.
A wide f then starts with logits of a few units, whatever its size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from handful.trainer.form.learner import Variant
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import OF_PICTURES, PretrainingLearner, PretrainRequest
from handful.trainer.parts.features import class_means, squared_distance, unit_length
from handful.trainer.settings.read import check_numbers


@dataclass(frozen=True, kw_only=True)
class PrototypicalConfig:
    """The hyperparameters."""

    length: float | None = None  # ℓ, of every embedding; None: as the network gives it
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Prototypical(PretrainingLearner):
    """The class means of a learned embedding."""

    name = "prototypical"
    Config = PrototypicalConfig
    objectives = ("prototypical",)

    @classmethod
    def pretraining(cls, network: NetworkConfig, asked: PretrainRequest) -> PrototypicalConfig:
        """The settings with which it trains `network` for others."""
        return PrototypicalConfig(network=network, length=asked.length)

    @classmethod
    def describe_request(cls, config: PrototypicalConfig) -> PretrainRequest:
        """What `[pretrain]` asks for where it trains with these settings."""
        return PretrainRequest(cls.name, length=config.length)

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """On pictures."""
        return {"prototypical": Variant(cls.Config(network=OF_PICTURES))}

    def init(self, generator: torch.Generator) -> Tensors:
        """The network's parameters."""
        return self.network_params(generator)

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """x [B, ...] → h [B, D], at the length that is set."""
        h, buffers = super().embed_batch(params, x, together)
        return self.at_length(h), buffers

    def at_length(self, h: Tensor) -> Tensor:
        """h [B, D] at the length that is set."""
        return h if self.config.length is None else self.config.length * unit_length(h)

    def yardstick_features(self, params: Tensors, x: Tensor, sample: Tensor) -> Tensor:
        """What it compares: [B, D]."""
        return self.at_length(super().yardstick_features(params, x, sample))

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage without steps: the class means."""
        return (Stage(name="prototypes", init=prototypes),)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """−‖h − c_n‖² for h [Q, D]: [Q, N]."""
        return -squared_distance(query_x, state["c"])


def prototypes(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """c [N, D], the class means of h [S, D]."""
    return {"c": class_means(support.x, support.y)}
