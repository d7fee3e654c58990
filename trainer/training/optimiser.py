"""The meta-optimiser: torch's Adam over a dict of tensors, clipping, learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from handful.trainer.config import MetaConfig
from handful.trainer.learners import Tensors


class MetaOptimiser:
    """Adam over named leaves; its state goes in and out of a checkpoint as a dict of tensors."""

    def __init__(self, leaves: Tensors, config: MetaConfig) -> None:
        """Adam over `leaves`, which it moves in place."""
        self.leaves = leaves
        self.config = config
        # an untrained learner (nearest neighbour) has no leaves, and Adam refuses an empty list
        self.adam = torch.optim.Adam(leaves.values(), lr=config.lr) if leaves else None

    def step(self, gradient: Mapping[str, Tensor], step: int) -> None:
        """Move the leaves, in place, by the clipped gradient of step 1, 2, …"""
        if self.adam is None:
            return
        for name, leaf in self.leaves.items():
            leaf.grad = gradient[name]
        if self.config.clip_value is not None:
            clip_grad_value_(self.leaves.values(), self.config.clip_value)
        if self.config.clip_norm is not None:  # after the values: the LEO authors' order
            clip_grad_norm_(self.leaves.values(), self.config.clip_norm)
        self.adam.param_groups[0]["lr"] = learning_rate(self.config, step)
        self.adam.step()

    def tensors(self) -> Tensors:
        """Moments and counts, named moment/parameter."""
        if self.adam is None:
            return {}
        return {
            f"{kind}/{name}": value
            for name, leaf in self.leaves.items()
            for kind, value in self.adam.state.get(leaf, {}).items()
        }

    def restore(self, tensors: Tensors) -> None:
        """Take back what `tensors` gave."""
        if self.adam is None:
            return
        for key, value in tensors.items():
            kind, name = key.split("/", 1)
            self.adam.state[self.leaves[name]][kind] = value.clone()


def learning_rate(config: MetaConfig, step: int) -> float:
    """The rate of step 1, 2, …: constant, halved every so often, or a half cosine to zero."""
    if config.schedule == "halve":
        return config.lr * 0.5 ** ((step - 1) // config.halve_every)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * (step - 1) / config.steps))
    return config.lr
