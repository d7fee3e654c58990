"""Siamese network (Koch, Zemel and Salakhutdinov 2015, ICML deep learning workshop).

    embed    h = f(x); with `units`, h = σ(A f(x) + a), the paper's last layer
    pair     p(same) = σ(b + Σ_j w_j |h_j − h′_j|), w and b learned
    state    the support set's h and labels
    predict  of each class n the most similar example: max over i of logit p(same) of (x, x_i)
    outer    cross-entropy on pairs, those of one class and those of two weighing a half each

Differs from the paper: pairs are all those among an episode's examples instead of a fixed sample of
pairs; the two kinds are balanced by weights instead of by drawing as many of each; no L2 penalty,
no affine distortions, no learning rate by layer; f is a network of `learner.network`, batch
normalisation included.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import Outcome, Variant
from handful.trainer.form.stage import Noise, Stage, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import OF_PICTURES, OF_VECTORS, EmbeddingLearner
from handful.trainer.parts.memory import MEMORY, best_of_class
from handful.trainer.settings.read import check_numbers


@dataclass(frozen=True, kw_only=True)
class SiameseConfig:
    """The hyperparameters."""

    units: int | None = None  # of a last dense layer with a sigmoid; the paper has 4096
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Siamese(EmbeddingLearner):
    """A learned verdict on whether two examples are of one class."""

    name = "siamese"
    Config = SiameseConfig

    def __init__(self, config: SiameseConfig, spec: InputSpec, way: int) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way)
        self.inputs = self.features
        self.features = config.units or self.inputs

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """Without the last layer, and with it."""
        group = replace(OF_PICTURES, normalisation="group")
        return {
            "siamese": Variant(cls.Config(network=OF_VECTORS)),
            "siamese-dense": Variant(cls.Config(units=9, network=group)),
        }

    def init(self, generator: torch.Generator) -> Tensors:
        """The network, and w and b, which start at an even verdict on the usual distance."""
        params = self.network_params(generator)
        if self.config.units:
            shape = (self.inputs, self.features)
            params["dense.weight"] = torch.randn(shape, generator=generator) * self.inputs**-0.5
            params["dense.bias"] = torch.zeros(self.features)
        params["pair.weight"] = torch.full((self.features,), -1 / self.features)
        params["pair.bias"] = torch.zeros(())
        return params

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """x [B, ...] → h [B, D], or σ(A h + a) if there is such a layer."""
        h, buffers = super().embed_batch(params, x, together)
        if not self.config.units:
            return h, buffers
        return torch.sigmoid(h @ params["dense.weight"] + params["dense.bias"]), buffers

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """The support set is the state."""
        return (MEMORY,)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """logit p(same) with the most similar example of each class, for h [Q, D]: [Q, N]."""
        return best_of_class(pairs(params, query_x, state["memory_x"]), state["memory_y"])

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """Cross-entropy of all pairs of two different examples of the episode."""
        support, query, buffers = self.embed_task(params, episode)
        h = torch.cat([support.x, query])
        y = torch.cat([support.y, episode.query_y])
        different = 1 - y @ y.T
        same = 1 - different - torch.eye(len(y), dtype=y.dtype, device=y.device)
        logits = pairs(params, h, h)
        loss = (F.softplus(-logits) * same).sum() / same.sum()
        loss = 0.5 * (loss + (F.softplus(logits) * different).sum() / different.sum())
        count = len(support.y)
        answers = best_of_class(logits[count:, :count], support.y)
        return loss, self.outcome(answers, episode.query_y, buffers)


def pairs(params: Tensors, left: Tensor, right: Tensor) -> Tensor:
    """logit p(same) of h [Q, D] and h′ [S, D]: [Q, S]."""
    apart = (left[:, None] - right[None]).abs()
    return apart @ params["pair.weight"] + params["pair.bias"]
