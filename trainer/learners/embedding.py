"""The part common to learners whose embedding network is meta-trained with the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.networks import NetworkConfig

from .features import embedding_network, is_buffer, running, updated_buffers
from .form import Learner, Support, Tensors, part

EMBED = "embed."  # what the names of the network's parameters begin with


class EmbeddingLearner(Learner):
    """A learner with a setting `network`, which embeds each example by itself."""

    has_embed = True

    def __init__(self, config: Any, spec: InputSpec, way: int) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way)
        self.network = embedding_network(config.network, tuple(spec.shape))

    def network_params(self, generator: torch.Generator) -> Tensors:
        """Fresh parameters of the network under their names in `params`."""
        return {EMBED + name: value for name, value in self.network.init(generator).items()}

    def pretrained_network(self) -> NetworkConfig | None:
        """The network, which is pre-trained where a recipe has the section."""
        network: NetworkConfig = self.config.network
        return network

    def with_pretrained(self, params: Tensors, pretrained: Tensors) -> Tensors:
        """The network starts from the pre-trained parameters."""
        return params | {EMBED + name: value for name, value in pretrained.items()}

    def frozen(self, name: str) -> bool:
        """Running averages and the standardisation are buffers."""
        return is_buffer(name)

    def embed(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, ...] → h [B, D]."""
        network_params = part(params, EMBED)
        return self.network(network_params, x, running(network_params))[0]

    def embedded_together(
        self, params: Tensors, episode: Episode
    ) -> tuple[Support, Tensor, Tensors]:
        """Support set and queries through the network as one batch, as in meta-training.

        Batch normalisation reads the moments of both. The third is the running averages after them.
        """
        network_params = part(params, EMBED)
        x = torch.cat([episode.support_x, episode.query_x])
        h, statistics = self.network(network_params, x)
        averages = updated_buffers(network_params, statistics)
        buffers = {EMBED + name: value for name, value in averages.items()}
        count = episode.support_x.shape[0]
        return Support(h[:count], episode.support_y), h[count:], buffers
