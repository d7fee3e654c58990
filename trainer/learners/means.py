"""Class means under a metric: SimpleShot (Wang et al. 2019, arXiv:1911.04623) and its kin.

    metric   m(h): as it is, centred and of unit length, or within-class whitened (metric.py)
    state    c_n = mean of m(h_i) over the examples i of class n
    predict  −s ‖m(h) − c_n‖²

Nothing adapts but the means. Meta-training fits the scale s alone, which makes softmax(logits)
probabilities and changes no answer.

Differs from the paper: s. `metric = "within"` is not in it; it is the nearest class mean of linear
discriminant analysis with a covariance of other classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handful.trainer.bounds import check_numbers
from handful.trainer.networks import NetworkConfig

from .features import class_means
from .form import Noise, Stage, Support, Tensors
from .metric import Metric, MetricLearner
from .prototypical import negative_squared_distance

SCALE = 10.0  # where s starts: squared distances of unit vectors are 0 to 4


@dataclass(frozen=True, kw_only=True)
class MeansConfig:
    """The hyperparameters."""

    metric: Metric = "cosine"
    # γ, a share of the mean eigenvalue: 3 was the best of 0.03 … 3 on the validation classes of
    # Caltech-101 embeddings (MobileNet 0.25 and EfficientNet-Lite0)
    shrinkage: float = 3.0
    network: NetworkConfig | None = None  # what embeds images; None: examples are features already

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Means(MetricLearner):
    """The nearest class mean."""

    name = "means"
    Config = MeansConfig

    def init(self, generator: torch.Generator) -> Tensors:
        """The frozen network, the metric and s."""
        return self.start(SCALE, generator)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage without steps."""
        return (Stage(name="means", init=self.means, init_name="means"),)

    def means(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """c [N, D], the class means of m(h)."""
        return {"c": class_means(self.measured(params, support.x), support.y)}

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """−s ‖m(h) − c_n‖² for h [Q, D]: [Q, N]."""
        distances = negative_squared_distance(self.measured(params, query_x), state["c"])
        return params["log_scale"].exp() * distances
