"""The part common to learners with a frozen embedding network, which is at most pre-trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.networks import NetworkConfig

from .features import embedding_network, running
from .form import Learner, Tensors, part

EMBED = "embed."  # what the names of a frozen network's parameters begin with


class FrozenNetworkLearner(Learner):
    """A learner with a setting `network`; where it is None, the examples are features already."""

    frozen_embed = True
    has_embed = True

    def __init__(self, config: Any, spec: InputSpec, way: int) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way)
        self.network = (
            embedding_network(config.network, tuple(spec.shape)) if config.network else None
        )

    def network_params(self, generator: torch.Generator) -> Tensors:
        """Fresh parameters of the network, if there is one, under their names in `params`."""
        fresh = self.network.init(generator) if self.network else {}
        return {EMBED + name: value for name, value in fresh.items()}

    def pretrained_network(self) -> NetworkConfig | None:
        """The network that embeds images, unless that is left to a backbone."""
        network: NetworkConfig | None = self.config.network
        return network

    def with_pretrained(self, params: Tensors, pretrained: Tensors) -> Tensors:
        """The frozen network starts from the pre-trained parameters."""
        return params | {EMBED + name: value for name, value in pretrained.items()}

    def frozen(self, name: str) -> bool:
        """The parameters of the network are frozen."""
        return name.startswith(EMBED)

    def network_features(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, ...] through the network; where there is none, flattened: [B, D]."""
        if self.network is None:
            return x.flatten(1)
        network_params = part(params, EMBED)
        return self.network(network_params, x, running(network_params))[0]

    def yardstick_features(self, params: Tensors, x: Tensor, sample: Tensor) -> Tensor:
        """The frozen features as they come, neither centred nor scaled: [B, D]."""
        return self.network_features(params, x)
