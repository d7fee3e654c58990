"""Class means under a metric: SimpleShot (Wang et al. 2019, arXiv:1911.04623) and its kin.

    metric   m(h): as it is, of unit length, centred, or within-class whitened (metric.py)
    state    c_n = mean of m(h_i) over the examples i of class n
    predict  −s ‖m(h) − c_n‖²

With `support_centre` = ω above 0, without examples of other classes to centre on, the metric is
centred on a share of the support set's own mean:

    state    a = ω · mean of c_n over n;  c_n = mean of u(m(h_i) − a),  u(v) = v / ‖v‖
    predict  −s ‖u(m(h) − a) − c_n‖²

With `shot_scale`, the s of one shot becomes 2 s / (1 + 1/K) at K = S / N: the squared distance of a
query from the mean of K examples holds 1 + 1/K times the variance within the class.

Nothing adapts but the means. Meta-training fits the scale s alone, which makes softmax(logits)
probabilities and changes no answer.

Differs from the paper: s, `support_centre`, `shot_scale` and two metrics, `power` and `within`, the
nearest class mean of linear discriminant analysis with a covariance of other classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handful.trainer.form.learner import Untrained, Variant
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import OF_PICTURES
from handful.trainer.parts.features import class_means, squared_distance, unit_length
from handful.trainer.parts.metric import Metric, MetricLearner
from handful.trainer.settings.read import check_numbers

SCALE = 10.0  # where s starts: squared distances of unit vectors are 0 to 4


@dataclass(frozen=True, kw_only=True)
class MeansConfig:
    """The hyperparameters."""

    metric: Metric = "cosine"
    # γ, a share of the mean eigenvalue: 3 was the best of 0.03 … 3 on the validation classes of
    # Caltech-101 embeddings (MobileNet 0.25 and EfficientNet-Lite0)
    shrinkage: float = 3.0
    support_centre: float = 0.0  # ω, below 1
    shot_scale: bool = False
    network: NetworkConfig | None = None  # what embeds images; None: examples are features already

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"support_centre": 0}, below={"support_centre": 1})


class Means(MetricLearner):
    """The nearest class mean."""

    name = "means"
    Config = MeansConfig

    untrained = (
        Untrained({"metric": "euclidean"}, yardstick=1),
        Untrained({"metric": "cosine"}, yardstick=2),
        Untrained({"metric": "power", "support_centre": 0.5}),
    )

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """Under each kind of metric."""
        return {
            "means": cls.variant(),
            "means-within": cls.variant(metric="within"),
            "means-power": cls.variant(metric="power", support_centre=0.5, shot_scale=True),
            "means-pictures": cls.variant(network=OF_PICTURES),
        }

    def init(self, generator: torch.Generator) -> Tensors:
        """The frozen network, the metric and s."""
        return self.start(SCALE, generator)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage without steps."""
        return (Stage(name="means", init=self.means),)

    def means(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """c [N, D], the class means; a [D], what was subtracted first; s, as the settings say."""
        x = self.apply_metric(params, support.x)
        tensors = {"c": class_means(x, support.y)}
        if self.config.support_centre:
            a = self.config.support_centre * tensors["c"].mean(dim=0)
            tensors = {"c": class_means(unit_length(x - a), support.y), "a": a}
        if self.config.shot_scale:
            shots, way = support.y.sum(), support.y.sum(dim=0).clamp(max=1).sum()
            tensors["s"] = 2 * shots / (shots + way)
        return tensors

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """−s ‖m(h) − c_n‖² for h [Q, D]: [Q, N]."""
        x = self.apply_metric(params, query_x)
        if self.config.support_centre:
            x = unit_length(x - state["a"])
        nearness = -squared_distance(x, state["c"])
        scale = params["log_scale"].exp()
        return (scale * state["s"] if self.config.shot_scale else scale) * nearness
