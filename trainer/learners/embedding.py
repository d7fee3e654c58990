"""The part common to learners with an embedding network, meta-trained with the rest or frozen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.networks import NetworkConfig
from handful.trainer.networks.normalise import Statistics

from .features import embedding_network, is_buffer, running, updated_buffers
from .form import Learner, Support, Tensors, part

EMBED = "embed."  # what the names of the network's parameters begin with


class EmbeddingLearner(Learner):
    """A learner with a setting `network`, which embeds each example by itself.

    Where the setting is None, the examples are features already.
    """

    has_embed = True

    def __init__(self, config: Any, spec: InputSpec, way: int) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way)
        shape = tuple(spec.shape)
        self.network = embedding_network(config.network, shape) if config.network else None
        self.features = self.network.features if self.network else torch.Size(shape).numel()
        self.frozen_embed = self.network is None or not self.trains_network

    @property
    def trains_network(self) -> bool:
        """Whether the network, if there is one, is meta-trained with the rest."""
        return True

    def network_params(self, generator: torch.Generator) -> Tensors:
        """Fresh parameters of the network, if there is one, under their names in `params`."""
        fresh = self.network.init(generator) if self.network else {}
        return {EMBED + name: value for name, value in fresh.items()}

    def pretrained_network(self) -> NetworkConfig | None:
        """The network that can be pre-trained, unless examples are features already."""
        network: NetworkConfig | None = self.config.network
        return network

    def with_pretrained(self, params: Tensors, pretrained: Tensors) -> Tensors:
        """The network starts from the pre-trained parameters."""
        return params | {EMBED + name: value for name, value in pretrained.items()}

    def frozen(self, name: str) -> bool:
        """Running averages and the standardisation are buffers; a frozen network is all frozen."""
        return is_buffer(name) or (self.frozen_embed and name.startswith(EMBED))

    def embed(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, ...] → h [B, D], as the network gives it."""
        return self.network_features(params, x)

    def network_features(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, ...] through the network; where there is none, flattened: [B, D]."""
        return self.through(params, x, running(part(params, EMBED)))[0]

    def through(
        self, params: Tensors, x: Tensor, averages: Statistics | None
    ) -> tuple[Tensor, Statistics]:
        """x [B, ...] → h [B, D], and the statistics of the batch, which no averages stand for."""
        if self.network is None:
            return x.flatten(1), Statistics()
        return self.network(part(params, EMBED), x, averages)

    def yardstick_features(self, params: Tensors, x: Tensor, sample: Tensor) -> Tensor:
        """The network's features as they come, neither centred nor scaled: [B, D]."""
        return self.network_features(params, x)

    def embedded_together(
        self, params: Tensors, episode: Episode
    ) -> tuple[Support, Tensor, Tensors]:
        """Support set and queries as the network gives them, and its running averages after them.

        In meta-training they are one batch: batch normalisation reads the moments of both. Of a
        frozen network the episode holds the features already.
        """
        if self.frozen_embed:
            return Support(episode.support_x, episode.support_y), episode.query_x, {}
        x = torch.cat([episode.support_x, episode.query_x])
        h, statistics = self.through(params, x, None)
        averages = updated_buffers(part(params, EMBED), statistics)
        buffers = {EMBED + name: value for name, value in averages.items()}
        count = episode.support_x.shape[0]
        return Support(h[:count], episode.support_y), h[count:], buffers
