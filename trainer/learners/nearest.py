"""Nearest neighbour: the class of the most similar support example, by cosine; nothing is trained.

embed    h = x / ‖x‖, of pixels or of frozen features
state    the support set's h and labels
predict  max over the examples i of class n of ⟨h, h_i⟩       (the baseline of Vinyals et al. 2016)
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from handful.trainer.form.learner import Untrained, Variant
from handful.trainer.form.stage import Stage, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import OF_PICTURES, UntrainedLearner
from handful.trainer.parts.features import unit_length
from handful.trainer.parts.memory import MEMORY, best_of_class
from handful.trainer.settings.read import check_numbers


@dataclass(frozen=True, kw_only=True)
class NearestConfig:
    """The hyperparameters."""

    network: NetworkConfig | None = None  # None: the raw example
    temperature: float = 10.0  # logits are temperature × cosine, so that scores spread

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Nearest(UntrainedLearner):
    """The nearest neighbour, a yardstick for every learner."""

    name = "nearest"
    Config = NearestConfig

    untrained = (Untrained({}),)

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """On vectors, and on the features of a network."""
        of_pictures = Variant(cls.Config(network=OF_PICTURES))
        return {"nearest": Variant(cls.Config()), "nearest-network": of_pictures}

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """x [B, ...] → h [B, D] of unit length."""
        h, buffers = super().embed_batch(params, x, together)
        return unit_length(h), buffers

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """The support set is the state."""
        return (MEMORY,)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """temperature × the best cosine of each class, for h [Q, D]: [Q, N]."""
        similarity = query_x @ state["memory_x"].T  # [Q, S]
        return float(self.config.temperature) * best_of_class(similarity, state["memory_y"])
