"""Relation network (Sung et al. 2018, arXiv:1711.06025).

    embed    maps f(x) [C, H, W]
    state    the sum of f over the examples of class n
    predict  s_n = g([sum of class n, f(x)]), before the sigmoid
    outer    min Σ (σ(s_n) − y_n)², equation 2

g is a small convolutional network over both maps, one behind the other. Its first convolution is
linear, so the state holds the class's share of it, computed once.

Differs from the paper: batch normalisation reads running averages once training is over, where the
authors keep reading each batch, so that no answer depends on the other queries; support set and
queries are one batch in training, where the authors have two; one norm clips the gradients of f and
g, where they clip each; the first blocks of f are padded (28×28 gives maps of 7×7 instead of 5×5);
a network that gives vectors is served too, by dense layers in place of g's convolutions; `shots =
"mean"` is offered, which keeps the scale of the maps when classes have more or fewer examples than
in training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import Outcome, Variant, adapt, add_prefix, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import Conv4, NetworkConfig
from handful.trainer.networks.relation import RelationModule
from handful.trainer.networks.wrapped import Views
from handful.trainer.parts.embedding import OF_VECTORS, EmbeddingLearner
from handful.trainer.parts.features import class_means, running_statistics, update_buffers
from handful.trainer.settings.read import check_numbers

RELATION = "relation."  # what the names of g's parameters begin with


@dataclass(frozen=True, kw_only=True)
class RelationConfig:
    """The hyperparameters."""

    shots: Literal["sum", "mean"] = "sum"
    filters: int = 64  # of g's two convolutions
    hidden: int = 8  # of g's dense layer
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(halvings=2))

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Relation(EmbeddingLearner):
    """A learned comparison of a query with each class."""

    name = "relation"
    Config = RelationConfig
    usual_cause = "a lower meta.lr helps, or meta.clip_norm = 0.5 as the authors have it"

    def __init__(self, config: RelationConfig, spec: InputSpec, way: int) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way)
        network = self.network.network if isinstance(self.network, Views) else self.network
        self.maps = (self.features, 1, 1)  # a vector is a map of one pixel
        if isinstance(network, Conv4) and network.readout == "flatten":
            self.maps = (network.widths[-1], *network.pixels)
        self.module = RelationModule(
            shape=self.maps,
            filters=config.filters,
            hidden=config.hidden,
            normalisation=config.network.normalisation,
        )

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """Maps of 5×5, whose sides the relation module halves twice; and vectors."""
        maps = NetworkConfig(filters=8, halvings=2)
        vectors = cls.Config(filters=16, shots="mean", network=OF_VECTORS)
        return {
            "relation": Variant(cls.Config(filters=6, network=maps)),
            "relation-vectors": Variant(vectors),
        }

    def init(self, generator: torch.Generator) -> Tensors:
        """The network f, and the relation module g."""
        fresh = self.network_params(generator)
        module = self.module.init(generator)
        return fresh | add_prefix(module, RELATION)

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """x [B, H, W, C] → maps [B, filters, h, w]; of vectors [B, D, 1, 1]."""
        h, buffers = super().embed_batch(params, x, together)
        return self.as_maps(h), buffers

    def as_maps(self, x: Tensor) -> Tensor:
        """Flat features [B, D] as maps [B, C, h, w]."""
        return x.reshape(x.shape[0], *self.maps)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage without steps: what g reads of each class."""
        return (Stage(name="classes", init=self.classes),)

    def classes(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """c [N, F, h, w]: the first convolution of g over each class's sum of maps."""
        flat = support.x.flatten(1)
        total = support.y.T @ flat if self.config.shots == "sum" else class_means(flat, support.y)
        module = part(params, RELATION)
        return {"c": self.module.project(module, self.as_maps(total), "class")}

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """g's scores before the sigmoid, for maps [Q, C, h, w]: [Q, N]."""
        return self.scores(params, state, query_x, together=self.transductive)[0]

    def scores(
        self, params: Tensors, state: Tensors, query: Tensor, *, together: bool
    ) -> tuple[Tensor, Tensors]:
        """g's scores [Q, N] and new buffers: under its averages, or all pairs as one batch."""
        module = part(params, RELATION)
        queries = self.module.project(module, query, "query")
        moments = None if together else running_statistics(module)
        scores, gathered = self.module(module, state["c"], queries, moments)
        return scores, add_prefix(update_buffers(module, gathered), RELATION) if together else {}

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """The mean of (σ(s) − y)² over queries and classes; all averages move."""
        support, query, buffers = self.embed_task(params, episode)
        state = adapt(self, params, support, training=True)
        scores, more = self.scores(params, state, query, together=True)
        error = torch.sigmoid(scores) - episode.query_y
        return (error * error).mean(), self.outcome(scores, episode.query_y, buffers | more)
