"""Matching network (Vinyals et al. 2016, arXiv:1606.04080).

    embed    h = f′(x)
    state    g(x_i) and y_i of the support set
    predict  log p(y | x),  p(y | x) = Σ_i a(x, x_i) y_i,  a = softmax_i of c · cos(f(x), g(x_i))

The paper has c = 1. The logits are the logarithms of its probabilities, computed as
log Σ exp over a class's examples, so that none underflows.

Differs from the paper: `scale` is c (100 in Chen et al. 2019, arXiv:1904.04232, who call it cosine
times 100; their ReLU of the cosine leaves features that are 0 or more as they are); with
`metric = "squared"` a reads −c ‖f(x) − g(x_i)‖² instead, which does better in several
re-implementations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from handful.trainer.bounds import check_numbers
from handful.trainer.episodes import Episode
from handful.trainer.networks import NetworkConfig

from .embedding import EmbeddingLearner
from .features import unit_length
from .form import Noise, Outcome, Stage, Tensors, adapt, cross_entropy, outcome
from .memory import MEMORY, log_probability
from .prototypical import negative_squared_distance


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """The hyperparameters."""

    metric: Literal["cosine", "squared"] = "cosine"
    scale: float = 1.0  # c
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Matching(EmbeddingLearner):
    """Attention over the labelled examples."""

    name = "matching"
    Config = MatchingConfig

    def init(self, generator: torch.Generator) -> Tensors:
        """The network's parameters."""
        return self.network_params(generator)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """The support set is the state."""
        return (MEMORY,)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """log p(y | x) for h [Q, D]: [Q, N]."""
        likeness = self.likeness(query_x, state["memory_x"])
        attention = torch.log_softmax(float(self.config.scale) * likeness, dim=-1)
        return log_probability(attention, state["memory_y"])

    def likeness(self, f: Tensor, g: Tensor) -> Tensor:
        """What attention is paid by: f [Q, D] and g [S, D] → [Q, S]."""
        if self.config.metric == "squared":
            return negative_squared_distance(f, g)
        return unit_length(f) @ unit_length(g).T

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """−log p(y | x) of the queries; the batch's statistics move the running averages."""
        support, query, buffers = self.embedded_together(params, episode)
        state = adapt(self, params, support, training=True)
        logits = self.predict(params, state, query)
        metrics = outcome(logits, episode.query_y).metrics
        return cross_entropy(logits, episode.query_y), Outcome(metrics, buffers)
