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

from handful.runtime.package.manifest import InputSpec
from handful.trainer.bounds import check_numbers
from handful.trainer.episodes import Episode
from handful.trainer.networks import NetworkConfig

from .features import (
    class_means,
    embedding_network,
    is_buffer,
    running,
    squared_distance,
    unit_length,
    updated_buffers,
)
from .form import Learner, Noise, Outcome, Stage, Support, Tensors, cross_entropy


@dataclass(frozen=True, kw_only=True)
class PrototypicalConfig:
    """The hyperparameters."""

    length: float | None = None  # ℓ, of every embedding; None: as the network gives it
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Prototypical(Learner):
    """The class means of a learned embedding."""

    name = "prototypical"
    Config = PrototypicalConfig
    has_embed = True

    def __init__(self, config: PrototypicalConfig, spec: InputSpec, way: int) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way)
        self.network = embedding_network(config.network, tuple(spec.shape))

    def init(self, generator: torch.Generator) -> Tensors:
        """The network's parameters."""
        return self.network.init(generator)

    def frozen(self, name: str) -> bool:
        """Running averages and the standardisation are buffers."""
        return is_buffer(name)

    def pretrained_network(self) -> NetworkConfig:
        """The whole learner: it may begin as one that was trained on other tasks."""
        network: NetworkConfig = self.config.network
        return network

    def with_pretrained(self, params: Tensors, pretrained: Tensors) -> Tensors:
        """The network goes on from there."""
        return params | pretrained

    def embed(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, H, W, C] → h [B, D]."""
        return self.brought(self.network(params, x, running(params))[0])

    def brought(self, h: Tensor) -> Tensor:
        """h [B, D] at the length that is set."""
        return h if self.config.length is None else self.config.length * unit_length(h)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage without steps: the class means."""
        return (Stage(name="prototypes", init=prototypes, init_name="prototypes"),)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """−‖h − c_n‖² for h [Q, D]: [Q, N]."""
        return -squared_distance(query_x, state["c"])

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """Cross-entropy of the queries; the batch's statistics move the running averages."""
        count = episode.support_x.shape[0]
        x = torch.cat([episode.support_x, episode.query_x])
        h, statistics = self.network(params, x)
        h = self.brought(h)
        c = class_means(h[:count], episode.support_y)
        logits = -squared_distance(h[count:], c)
        metrics, _ = self.outcome(logits, episode.query_y)
        loss = cross_entropy(logits, episode.query_y)
        return loss, Outcome(metrics, updated_buffers(params, statistics))


def prototypes(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """c [N, D], the class means of h [S, D]."""
    return {"c": class_means(support.x, support.y)}
