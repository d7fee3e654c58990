"""Nearest neighbour: the class of the most similar support example, by cosine; nothing is trained.

embed    h = x / ‖x‖, of pixels or of frozen features
state    the support set's h and labels
predict  max over the examples i of class n of ⟨h, h_i⟩       (the baseline of Vinyals et al. 2016)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handful.trainer.bounds import check_numbers
from handful.trainer.networks import NetworkConfig

from .features import unit_length
from .form import Stage, Tensors
from .frozen import FrozenNetworkLearner
from .memory import MEMORY, best_of_class


@dataclass(frozen=True, kw_only=True)
class NearestConfig:
    """The hyperparameters."""

    network: NetworkConfig | None = None  # None: the raw example
    temperature: float = 10.0  # logits are temperature × cosine, so that scores spread

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Nearest(FrozenNetworkLearner):
    """The nearest neighbour, a yardstick for every learner."""

    name = "nearest"
    Config = NearestConfig

    def init(self, generator: torch.Generator) -> Tensors:
        """The frozen network's parameters, if there is one."""
        return self.network_params(generator)

    def frozen(self, name: str) -> bool:
        """All parameters are frozen."""
        return True

    def embed(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, ...] → h [B, D] of unit length."""
        return unit_length(self.network_features(params, x))

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """The support set is the state."""
        return (MEMORY,)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """temperature × the best cosine of each class, for h [Q, D]: [Q, N]."""
        similarity = query_x @ state["memory_x"].T  # [Q, S]
        return float(self.config.temperature) * best_of_class(similarity, state["memory_y"])
