"""Baseline++: a cosine head by SGD on frozen features (Chen et al. 2019, arXiv:1904.04232).

    pre-train  f by softmax of a cosine head over all meta-training classes
                                                            (pretrain.objective = "cosine")
    start      v_n, and g_n = ‖v_n‖
    step       SGD on the mean cross-entropy of the support set (sgd_head.py), 100 times
    predict    scale · g_n ⟨x / ‖x‖, v_n / ‖v_n‖⟩, weight normalisation as in the authors' code

Nothing is meta-trained.

Differs from the paper: the mean of torch's random start, zero, has no direction; v_n starts for
all classes at that of the support set's mean, as long as a random one, so that no class is
preferred and the start is the same on every device; noise adds a draw of the authors' start to it.
An epoch is one step on all examples instead of one for each four.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .features import unit_length
from .form import Support, Tensors
from .sgd_head import SGDConfig, SGDHead

LENGTH = 3**-0.5  # of a row of torch's Linear at its start, about, whatever D is


@dataclass(frozen=True, kw_only=True)
class BaselinePPConfig(SGDConfig):
    """The hyperparameters; the defaults are those of the authors' code."""

    scale: float = 2.0  # the authors': 10 above 200 classes, which no task here has


class BaselinePP(SGDHead):
    """A new cosine head for each task."""

    name = "baseline-pp"
    Config = BaselinePPConfig
    config: BaselinePPConfig

    def first(self, support: Support, noise: Tensor) -> Tensors:
        """v [N, D] and g [N]."""
        mean = unit_length(unit_length(support.x).mean(dim=0))
        v = LENGTH * (mean + noise * self.features**-0.5)
        return {"v": v, "g": (v * v).sum(dim=1).sqrt()}

    def logits(self, theta: Tensors, x: Tensor) -> Tensor:
        """scale · g_n cos(x, v_n)."""
        return self.config.scale * (unit_length(x) @ unit_length(theta["v"]).T) * theta["g"]

    def inputs(self, x: Tensor) -> Tensor:
        """scale · x / ‖x‖."""
        return self.config.scale * unit_length(x)
