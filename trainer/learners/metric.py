"""Learners that compare frozen features under a metric fixed by the meta-training examples.

    euclidean   m(h) = h
    cosine      m(h) = (h − μ) / ‖h − μ‖                       SimpleShot's CL2N (Wang et al. 2019)
    within      m(h) = W (h − μ) / ‖W (h − μ)‖,  W = (Σ + γ (tr Σ / D) I)^−½
    power       m(h) = v / ‖v‖,  v = sign(h) |h|^p,  p = 0.7

μ is the mean and Σ the within-class covariance of meta-training embeddings, γ `shrinkage`. Squared
distances after W are Mahalanobis distances, as in linear discriminant analysis. `power` needs no
meta-training examples; it makes activations less skewed, as in Hu, Gripon and Pateux 2021
(arXiv:2006.03806), there with p = 0.5 and of features that are not negative.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from handful.trainer.errors import ConfigError

from .embedding import EmbeddingLearner
from .features import unit_length
from .form import Tensors, Variant

Metric = Literal["euclidean", "cosine", "within", "power"]
FIXED = ("euclidean", "power")  # by no example
POWER = 0.7  # the best of 0.5 … 1 on EfficientNet-Lite0, meta-validation classes of Caltech-101


class MetricLearner(EmbeddingLearner):
    """A learner on m(h), with settings `metric` and `shrinkage`, whose logits have a learned scale.

    The scale is meta-trained by the query loss, so that softmax(logits) are probabilities; with
    `meta.steps = 0` it stays where it starts.
    """

    @property
    def trains_network(self) -> bool:
        """Only where a setting asks for it: the metric is fixed before."""
        return bool(getattr(self.config, "train_network", False))

    @classmethod
    def variant(cls, log_scale: float = 0.5, **settings: Any) -> Variant:
        """On features, with logits that are too small at first."""
        return Variant(cls.Config(**settings), partial(scaled, log_scale=log_scale))

    def start(self, scale: float, generator: torch.Generator) -> Tensors:
        """The frozen network, the metric before it is prepared, and the scale of the logits."""
        params = self.network_params(generator)
        params["log_scale"] = torch.tensor(scale).log()
        if self.config.metric not in FIXED:
            params["center"] = torch.zeros(self.features)
        if self.config.metric == "within":
            params["whitening"] = torch.eye(self.features)
        return params

    def prepare(self, params: Tensors, x: Tensor, y: Tensor) -> Tensors:
        """μ and W of the features x [M, D] and their classes y [M]."""
        if self.config.metric in FIXED:
            return params
        params = {**params, "center": x.mean(dim=0)}
        if self.config.metric == "within":
            params["whitening"] = whitening(x, y, float(self.config.shrinkage))
        return params

    def frozen(self, name: str) -> bool:
        """The metric is frozen, and the network where it is not trained."""
        return super().frozen(name) or name in ("center", "whitening")

    def measured(self, params: Tensors, h: Tensor) -> Tensor:
        """m(h) [B, D]."""
        if self.config.metric == "euclidean":
            return h * 1.0  # a state of its own
        if self.config.metric == "power":
            return unit_length(h.sign() * h.abs() ** POWER)
        h = h - params["center"]
        return unit_length(h @ params["whitening"] if self.config.metric == "within" else h)


def scaled(params: Tensors, *, log_scale: float) -> Tensors:
    """The parameters with another scale of the logits."""
    return {**params, "log_scale": torch.tensor(log_scale)}


def whitening(x: Tensor, y: Tensor, shrinkage: float) -> Tensor:
    """W [D, D], symmetric, for x [M, D] of classes y [M] int64.

    Σ is the unbiased estimate: squares about the mean of the class, over M less the number of
    classes. Raises a ConfigError where no class has two examples, or all of a class are equal.
    """
    present, counts = torch.unique_consecutive(y.sort().values, return_counts=True)
    numbers = torch.searchsorted(present, y)
    x = x.double()
    sums = x.new_zeros(len(counts), x.shape[1]).index_add(0, numbers, x)
    about = x - (sums / counts[:, None])[numbers]
    freedom = len(x) - len(counts)
    covariance = about.T @ about / max(1, freedom)
    mean_eigenvalue = covariance.trace() / len(covariance)
    if freedom == 0 or not float(mean_eigenvalue) > 0:
        raise ConfigError(
            'learner.metric is "within", but the meta-training examples of each class'
            " do not differ",
            hint='set learner.metric = "cosine", or train on classes of two examples or more',
        )
    values, vectors = torch.linalg.eigh(covariance)
    shrunk = values.clamp(min=0) + shrinkage * mean_eigenvalue
    white: Tensor = (vectors * shrunk.rsqrt()) @ vectors.T
    return white.float()
