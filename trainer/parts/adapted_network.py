"""A network whose weights move in the inner steps, with a linear head: θ of MAML and its kin.

    start       θ′ = θ, the head with N columns
    statistics  the moments of the support set under θ′, layer by layer
    predict     f_θ′(x), normalised by them

A subclass says how θ′ is reached from θ, and which of its tensors move.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import CLASSES, Asks
from handful.trainer.form.learner import Learner, add_prefix, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig, build_network
from handful.trainer.networks.transfer import pretraining_normalisation, transfer
from handful.trainer.operations.convolution import Form
from handful.trainer.operations.normalise import Statistics
from handful.trainer.settings.errors import SettingError

from .embedding import HEAD as PRETRAINED_HEAD
from .embedding import without_head
from .features import OF_A_SET, features_at

THETA, STATISTICS = "theta.", "statistics."
LOG_DEVIATION = "log_deviation"  # of a policy's actions
FIRST_DEVIATION = 0.5  # of actions whose limits are ±1
ALONE = ("none", "group", "layer")  # normalisations that read one example by itself
HEAD_START = 0.1  # the head's first logits are near zero, so the first loss is near log N

Head = Literal["fixed", "shared"]  # a learned column for each class, or one that all start from


def check_named(config: Any) -> None:
    """Refuse settings that named classes rule out: the moments of a support set that may be empty.

    A head that starts all classes alike knows none of them.
    """
    if config.network.normalisation in ("support", "task"):
        raise SettingError(
            "network.normalisation",
            f'is "{config.network.normalisation}", but a task of named classes may be empty',
            hint='set learner.network.normalisation = "none", which keeps what pre-training found,'
            " or group or layer",
        )
    if config.head != "fixed":
        raise SettingError(
            "head",
            f'is "{config.head}", but named classes differ from the start',
            hint='set learner.head = "fixed"',
        )


class AdaptedNetwork(Learner):
    """A learner with the settings `network` and `head`; θ stands in `params` under "theta."."""

    def __init__(self, config: Any, spec: InputSpec, way: int, asks: Asks = CLASSES) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way, asks)
        if asks.named_way is not None:
            check_named(config)
        if asks.actions is not None and config.network.normalisation not in ALONE:
            raise SettingError(
                "network.normalisation",
                f'is "{config.network.normalisation}", but a policy acts before it has seen a set',
                hint=f"set learner.network.normalisation to {' or '.join(ALONE)}",
            )
        self.form: Form = "matmul" if self.embedding is None else "convolution"
        self.network = build_network(config.network, tuple(spec.shape), self.form)
        self.max_way = way if config.head == "fixed" and self.targets is None else None

    def fresh_theta(self, generator: torch.Generator) -> Tensors:
        """θ: the network, and a head [D, way] or [D, 1]; in regression [D, O].

        Of a policy a head [D, A] of the means, and the logarithm of each action's deviation.
        """
        fixed = self.actions or self.targets
        columns = fixed or (self.way if self.config.head == "fixed" else 1)
        features = self.network.features
        weight = torch.randn(features, columns, generator=generator) * HEAD_START * features**-0.5
        theta = self.network.init(generator)
        theta |= {"head.weight": weight, "head.bias": torch.zeros(columns)}
        if self.actions is not None:
            theta[LOG_DEVIATION] = torch.full((self.actions,), math.log(FIRST_DEVIATION))
        return theta

    def pretrained_network(self) -> NetworkConfig:
        """The body, with running averages where it would read the moments of a set, or none."""
        network: NetworkConfig = self.config.network
        return replace(network, normalisation=pretraining_normalisation(network.normalisation))

    def with_pretrained(self, params: Tensors, pretrained: Tensors) -> Tensors:
        """θ starts from the pre-trained body; of named classes from the classifier's head, too."""
        normalisation = self.config.network.normalisation
        theta = transfer(without_head(pretrained), normalisation, self.form)
        head = part(pretrained, PRETRAINED_HEAD)
        if self.named_way is not None and "bias" in head:
            theta |= {"head.weight": head["weight"].T.contiguous(), "head.bias": head["bias"]}
        return params | {THETA + name: value for name, value in theta.items()}

    def yardstick_features(self, params: Tensors, x: Tensor, sample: Tensor) -> Tensor:
        """The body's output at θ; moments of a set are those of the sample."""
        of_a_set = self.config.network.normalisation in OF_A_SET
        return features_at(self.network, part(params, THETA), x, sample if of_a_set else None)

    def moves(self, name: str) -> bool:
        """Whether the inner steps change `name` of θ."""
        return True

    def start_theta(self, params: Tensors, support: Support) -> Tensors:
        """θ′ = θ: the tensors that move, the head with a column for each output."""
        theta = part(params, THETA)
        return {
            THETA + name: self.columns(name, value, support)
            for name, value in theta.items()
            if self.moves(name)
        }

    def columns(self, name: str, value: Tensor, support: Support) -> Tensor:
        """`value`, a tensor like `name` of θ; of the head with N columns, or a fixed number."""
        if not name.startswith("head."):
            return value
        width = self.actions or self.targets or support.y.shape[1]
        if self.config.head == "fixed":
            return value[..., :width]
        return value.expand(*value.shape[:-1], width)

    def statistics_stage(self) -> tuple[Stage, ...]:
        """The stage that ends the adaptation where queries read the support set's statistics."""
        if self.config.network.normalisation not in ("support", "task"):
            return ()
        return (Stage(name="statistics", init=self.statistics),)

    def statistics(
        self, params: Tensors, state: Tensors, support: Support, noise: Noise
    ) -> Tensors:
        """The moments of the support set under θ′, layer by layer."""
        _, gathered = self.network(self.theta(params, state), support.x)
        return add_prefix(gathered, STATISTICS)

    def theta(self, params: Tensors, state: Tensors) -> Tensors:
        """θ′: what moved, and the rest of θ."""
        return {**part(params, THETA), **part(state, THETA)}

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """Logits [Q, N] or outputs [Q, O] of f_θ′, normalised by the support set's statistics."""
        statistics = part(state, STATISTICS) or None
        return self.logits(self.theta(params, state), query_x, statistics)[0]

    def logits(
        self, theta: Tensors, x: Tensor, statistics: Statistics | None
    ) -> tuple[Tensor, Statistics]:
        """f_θ(x): the network and a linear head."""
        h, gathered = self.network(theta, x, statistics)
        return self.read_head(theta, h), gathered

    def read_head(self, theta: Tensors, h: Tensor) -> Tensor:
        """W h + b [B, N] of features [B, D]; of a policy means, then deviations [B, 2 A]."""
        outputs = h @ theta["head.weight"] + theta["head.bias"]
        if self.actions is None:
            return outputs
        deviation = torch.exp(theta[LOG_DEVIATION]).expand_as(outputs)
        return torch.cat([outputs, deviation], dim=-1)
