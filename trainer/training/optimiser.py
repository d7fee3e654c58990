"""The meta-optimiser: torch's Adam or SGD over a dict of tensors, clipping, rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from handful.trainer.form.stage import Tensors

from .config import MetaConfig

HALVE_EVERY = 2000  # steps of schedule = "halve", as prototypical networks were trained
OPTIMISERS: dict[str, type[torch.optim.Adam | torch.optim.SGD]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,  # θ − lr · gradient: on Reptile's meta-loss θ + lr · mean(θ′ − θ)
}


class MetaOptimiser:
    """Adam or SGD over named leaves; its state enters a checkpoint as a dict of tensors."""

    def __init__(
        self,
        leaves: Tensors,
        config: MetaConfig,
        rate_of: Callable[[str], float] = lambda name: 1.0,
    ) -> None:
        """The optimiser of `config` over `leaves`, which it moves in place.

        `rate_of` says how many times the rate of `config` that of a leaf is.
        """
        self.leaves = leaves
        self.config = config
        # an untrained learner (nearest neighbour) has no leaves, and torch refuses an empty list
        kind = OPTIMISERS[config.optimiser]
        self.rates = sorted({rate_of(name) for name in leaves})
        groups = [
            {"params": [leaf for name, leaf in leaves.items() if rate_of(name) == rate]}
            for rate in self.rates
        ]
        self.optimiser = kind(groups, lr=config.lr) if leaves else None

    def step(self, gradient: Mapping[str, Tensor], step: int) -> None:
        """Move the leaves, in place, by the clipped gradient of step 1, 2, …"""
        if self.optimiser is None:
            return
        for name, leaf in self.leaves.items():
            leaf.grad = gradient[name]
        if self.config.clip_value is not None:
            clip_grad_value_(self.leaves.values(), self.config.clip_value)
        if self.config.clip_norm is not None:  # after the values: the LEO authors' order
            clip_grad_norm_(self.leaves.values(), self.config.clip_norm)
        for rate, group in zip(self.rates, self.optimiser.param_groups, strict=True):
            group["lr"] = rate * learning_rate(self.config, step)
        self.optimiser.step()

    def tensors(self) -> Tensors:
        """Moments and counts, named moment/parameter; SGD has none."""
        if self.optimiser is None:
            return {}
        return {
            f"{kind}/{name}": value
            for name, leaf in self.leaves.items()
            for kind, value in self.optimiser.state.get(leaf, {}).items()
        }

    def restore(self, tensors: Tensors) -> None:
        """Take back what `tensors` gave."""
        if self.optimiser is None:
            return
        for key, value in tensors.items():
            kind, name = key.split("/", 1)
            self.optimiser.state[self.leaves[name]][kind] = value.clone()


def learning_rate(config: MetaConfig, step: int) -> float:
    """The rate of step 1, 2, …: constant, halved at times, or falling to zero after the last
    step, along a half cosine or a straight line.
    """
    if config.schedule == "halve":
        return config.lr * 0.5 ** ((step - 1) // HALVE_EVERY)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * (step - 1) / config.steps))
    if config.schedule == "linear":
        return config.lr * (1 - (step - 1) / config.steps)
    return config.lr
