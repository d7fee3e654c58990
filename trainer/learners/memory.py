"""Learners whose state is the support set: a stage that keeps it, scores of examples to classes."""

from __future__ import annotations

import torch
from torch import Tensor

from .form import Noise, Stage, Support, Tensors

ABSENT = 1e30  # what an example of another class falls short by, beyond any score


def remember(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """The embedded support set [S, ...] and its labels [S, N]."""
    return {"memory_x": support.x * 1.0, "memory_y": support.y * 1.0}


MEMORY = Stage(name="memory", init=remember)


def best_of_class(scores: Tensor, y: Tensor) -> Tensor:
    """The largest of the scores [Q, S] of each class's examples, labels y [S, N]: [Q, N]."""
    return (scores[:, None, :] + (y.T[None] - 1) * ABSENT).amax(dim=-1)


def log_probability(attention: Tensor, y: Tensor) -> Tensor:
    """log Σ_i a_i y_i of the attention log a [Q, S] and the labels y [S, N]: [Q, N]."""
    return torch.logsumexp(attention[:, None, :] + (y.T[None] - 1) * ABSENT, dim=-1)
