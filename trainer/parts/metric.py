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

from handful.trainer.form.learner import Variant
from handful.trainer.form.stage import Tensors
from handful.trainer.settings.errors import ConfigError

from .embedding import EmbeddingLearner
from .features import unit_length

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
        return Variant(cls.Config(**settings), partial(rescale, log_scale=log_scale))

    def start(self, scale: float, generator: torch.Generator) -> Tensors:
        """The frozen network, the metric before it is prepared, and the scale of the logits."""
        params = self.network_params(generator)
        params["log_scale"] = torch.tensor(scale).log()
        if self.config.metric not in FIXED:
            params["centre"] = torch.zeros(self.features)
        if self.config.metric == "within":
            params["whitening"] = torch.eye(self.features)
        return params

    def prepare(self, params: Tensors, x: Tensor, y: Tensor, domain: Tensor) -> Tensors:
        """μ and W of the features x [M, D] and their classes y [M]."""
        if self.config.metric in FIXED:
            return params
        params = {**params, "centre": x.mean(dim=0)}
        if self.config.metric == "within":
            params["whitening"] = whitening(x, y, float(self.config.shrinkage))
        return params

    def is_frozen(self, name: str) -> bool:
        """The metric is frozen, and the network where it is not trained."""
        return super().is_frozen(name) or name in ("centre", "whitening")

    def apply_metric(self, params: Tensors, h: Tensor) -> Tensor:
        """m(h) [B, D]."""
        if self.config.metric == "euclidean":
            return h * 1.0  # a state of its own
        if self.config.metric == "power":
            return unit_length(h.sign() * h.abs() ** POWER)
        h = h - params["centre"]
        return unit_length(h @ params["whitening"] if self.config.metric == "within" else h)


def rescale(params: Tensors, *, log_scale: float) -> Tensors:
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


RESIDUAL = 1e-7  # ‖I − A X‖ at the end in exact arithmetic: float32 rounds as much


def factors(condition: float) -> list[float]:
    """The factor of each step, for eigenvalues of A / ‖A‖_F in [1 / condition, 1]."""
    low, high = 1 / condition, 1.0
    found = []
    residual = 1.0
    while residual > RESIDUAL:
        found.append(2 / (low + high))
        residual = ((high - low) / (high + low)) ** 2  # of the spread eigenvalues, after the step
        low, high = 1 - residual, 1.0
    return found


def inverse(a: Tensor, condition: float) -> Tensor:
    """A⁻¹ of a symmetric positive definite A [S, S], S free.

    `condition` is a bound of ‖A‖_F / (the least eigenvalue of A); beyond it the result is too small
    along the eigenvectors of the least eigenvalues.

    By products alone, for graphs without `linalg`.

        X ← f X,  X ← 2 X − X A X          (Newton–Schulz, Schulz 1933; from X = I / ‖A‖_F)

    An eigenvalue a of A X becomes 1 − (1 − a)²: what is small doubles, what is near 1 stays. The
    factors f = 2 / (low + high) spread the eigenvalues about 1 before each step (Pan and Schreiber
    1991, SIAM J. Sci. Stat. Comput. 12), so that small ones grow fourfold and half the steps
    suffice. All eigenvalues of A / ‖A‖_F lie in [1 / condition, 1], so the factors are constants,
    the steps are as many for every A of any size, and each is five nodes of a graph.

    In float32 the solution is as accurate as that of an LU factorisation: about condition × 1e-7.
    """
    first, *rest = factors(condition)
    start = first * torch.rsqrt((a * a).sum())  # X = start I
    x = 2 * start * torch.eye(a.shape[0], dtype=a.dtype, device=a.device) - start * start * a
    for factor in rest:
        x = factor * x
        x = x + x - x @ (a @ x)
    return x
