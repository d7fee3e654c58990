"""The parts common to learners with an embedding network, meta-trained with the rest or frozen."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import CLASSES, Asks
from handful.trainer.form.learner import Embedding, Learner, add_prefix, part
from handful.trainer.form.stage import Tensors
from handful.trainer.networks import Network, NetworkConfig

from .features import embed_by, embedding_network, features_at, is_buffer, running_statistics

EMBED = "embed."  # what the names of the network's parameters begin with
HEAD = "head."  # and those of a head that a network was pre-trained with

# small networks for the variants of learners
OF_PICTURES = NetworkConfig(filters=8, halving="stride")
OF_VECTORS = NetworkConfig(kind="mlp", hidden=(12,))


class PretrainRequest(NamedTuple):
    """What `[pretrain]` says of the learner that trains a network for others."""

    objective: str
    length: float | None = None
    classes: int | None = None  # of the meta-training data


class EmbeddingLearner(Learner):
    """A learner with a setting `network`, which embeds each example by itself.

    Where the setting is None, the examples are features already.
    """

    prefix: ClassVar[str] = EMBED

    def __init__(self, config: Any, spec: InputSpec, way: int, asks: Asks = CLASSES) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way, asks)
        shape, trained = tuple(spec.shape), config.network is not None and self.trains_network
        self.network = (
            embedding_network(config.network, shape, trained=trained) if config.network else None
        )
        self.features = self.network.features if self.network else torch.Size(shape).numel()
        self.embedding = Embedding(self.embed_batch, trained)

    @property
    def trains_network(self) -> bool:
        """Whether the network is meta-trained with the rest: the setting, if there is one."""
        return bool(getattr(self.config, "train_network", True))

    def network_params(self, generator: torch.Generator) -> Tensors:
        """Fresh parameters of the network, if there is one, under their names in `params`."""
        return add_prefix(self.network.init(generator), self.prefix) if self.network else {}

    def pretrained_network(self) -> NetworkConfig | None:
        """The network that can be pre-trained, unless examples are features already."""
        network: NetworkConfig | None = self.config.network
        return network

    def with_pretrained(self, params: Tensors, pretrained: Tensors) -> Tensors:
        """The network starts from the pre-trained parameters."""
        return params | add_prefix(without_head(pretrained), self.prefix)

    def is_frozen(self, name: str) -> bool:
        """Running averages and the standardisation are buffers; a frozen network is all frozen."""
        return is_buffer(name) or (self.embeds_ahead and name.startswith(self.prefix))

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """x [B, ...] → h [B, D] as the network gives it; flattened, where there is none."""
        if self.network is None:
            return x.flatten(1), {}
        return embed_by(self.network, self.prefix, params, x, together)

    def yardstick_features(self, params: Tensors, x: Tensor, sample: Tensor) -> Tensor:
        """The network's features as they come, neither centred nor scaled: [B, D]."""
        if self.network is None:
            return x.flatten(1)
        own = part(params, self.prefix)
        of_a_set = self.transductive and running_statistics(own) is None
        return features_at(self.network, own, x, sample if of_a_set else None)


class PretrainingLearner(EmbeddingLearner):
    """A learner that trains networks for others too: `objectives` are those of `[pretrain]`."""

    prefix = ""
    objectives: ClassVar[tuple[str, ...]] = ()
    network: Network  # there always is one

    @classmethod
    @abstractmethod
    def pretraining(cls, network: NetworkConfig, asked: PretrainRequest) -> Any:
        """The settings with which it trains `network` for others, as `[pretrain]` asks."""

    @classmethod
    @abstractmethod
    def describe_request(cls, config: Any) -> PretrainRequest:
        """What `[pretrain]` asks for where it trains with these settings: undoes `pretraining`."""

    def network_of(self, params: Tensors) -> Tensors:
        """The parameters that others start from: the network's, and a head for the same classes."""
        return params


def without_head(pretrained: Tensors) -> Tensors:
    """The parameters of the network alone."""
    return {name: value for name, value in pretrained.items() if not name.startswith(HEAD)}


class UntrainedLearner(EmbeddingLearner):
    """A learner of which nothing is meta-trained; its network, if there is one, is pre-trained."""

    @property
    def trains_network(self) -> bool:
        """Never: nothing of this learner is meta-trained."""
        return False

    def init(self, generator: torch.Generator) -> Tensors:
        """The frozen network's parameters, if there is one."""
        return self.network_params(generator)

    def is_frozen(self, name: str) -> bool:
        """All parameters are frozen."""
        return True
