"""Baseline: a linear head by SGD on frozen features (Chen et al. 2019, arXiv:1904.04232).

    pre-train  f by softmax over all meta-training classes     (pretrain.objective = "softmax")
    start      W = 0, b = 0
    step       SGD on the mean cross-entropy of the support set (sgd_head.py), 100 times
    predict    W f(x) + b

Nothing is meta-trained.

Differs from the paper: the head starts at the mean of torch's random start, zero, and at a draw of
it only where noise is given; an epoch is one step on all examples instead of one for each four.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .form import Support, Tensors
from .sgd_head import SGDConfig, SGDHead


class Baseline(SGDHead):
    """A new linear head for each task."""

    name = "baseline"
    Config = SGDConfig

    def first(self, support: Support, noise: Tensor) -> Tensors:
        """W [N, D] and b [N]: zero, or with noise as wide as torch's Linear starts."""
        return {"w": noise * (3 * self.features) ** -0.5, "b": 0 * support.y.sum(dim=0)}

    def logits(self, theta: Tensors, x: Tensor) -> Tensor:
        """W x + b."""
        return x @ theta["w"].T + theta["b"]

    def inputs(self, x: Tensor) -> Tensor:
        """x, and 1 for b."""
        return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
