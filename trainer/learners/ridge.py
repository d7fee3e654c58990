"""Ridge regression on embeddings: R2D2 (Bertinetto et al. 2019, arXiv:1805.08136).

    x        m(h), as it is, centred and of unit length, or within-class whitened (metric.py)
    state    w = Xᵀ (X Xᵀ + λ I)⁻¹ Y,  Y one-hot [S, N]      the dual: S × S, whatever D is
    predict  α ⟨x, w_n⟩
    outer    the query loss's gradient moves λ, α and the intercept's length β

Everything is differentiable, so the features may be learned through it: `train_network = true` is
R2D2 itself, on the features as they are. The inverse is a Newton–Schulz iteration.

Differs from the paper: the authors' bias, added to all logits alike, has no effect under a softmax;
in its place x has a constant coordinate β √v, v the mean of ‖m(h)‖² over the support set, whose
weight is an intercept for each class (β = 0 leaves it out). λ is in units of u = (1 + β²) v, the
mean squared length of x, which bounds the condition of the matrix whatever the features are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from handful.trainer.form.learner import Untrained, Variant
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.features import no_network
from handful.trainer.parts.metric import Metric, MetricLearner, inverse
from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers

SCALE = 10.0  # where α starts: targets are 0 and 1, and a softmax needs more
MOST = 1024  # examples in all: the inverse takes S³ operations, some seconds at this number
LEAST_RIDGE = 1e-3  # added to λ, so that it stays above
# ‖X Xᵀ + λ u I‖_F ≤ S u + λ u √S, and no eigenvalue is below λ u
CONDITION = MOST / LEAST_RIDGE + math.sqrt(MOST)
LENGTH_FLOOR = 1e-6  # added to v, where all features are zero


@dataclass(frozen=True, kw_only=True)
class RidgeConfig:
    """The hyperparameters."""

    ridge: float = 0.1  # where λ starts
    intercept: float = 1.0  # where β starts
    metric: Metric = "cosine"
    shrinkage: float = 3.0  # γ of metric = "within", as for the class means
    train_network: bool = False  # learn the features through the solution, as R2D2 does
    network: NetworkConfig | None = None  # what embeds images; None: examples are features already

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"intercept": 0})
        if self.train_network and self.network is None:
            raise no_network()
        if self.train_network and self.metric != "euclidean":
            raise SettingError(
                "metric", f'is "{self.metric}", which is fixed before a network is trained',
                hint='set learner.metric = "euclidean", or learner.train_network = false',
            )  # fmt: skip


class Ridge(MetricLearner):
    """A linear classifier in closed form."""

    name = "ridge"
    Config = RidgeConfig
    max_support = MOST

    untrained = (Untrained({}),)

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """On features, and through features that it learns."""
        network = NetworkConfig(kind="mlp", hidden=(16, 12))
        learned: dict[str, Any] = {"metric": "euclidean", "train_network": True, "network": network}
        return {"ridge": cls.variant(), "ridge-learned": cls.variant(**learned)}

    def init(self, generator: torch.Generator) -> Tensors:
        """The network and its metric, log λ, log α and β."""
        return {
            **self.start(SCALE, generator),
            "log_ridge": torch.tensor(math.log(self.config.ridge)),
            "intercept": torch.tensor(float(self.config.intercept)),
        }

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage without steps."""
        return (Stage(name="solution", init=self.solve),)

    def solve(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """w [N, D] and the intercepts b [N]."""
        x = self.apply_metric(params, support.x)
        length = (x * x).sum(dim=1).mean() + LENGTH_FLOOR  # v
        constant = params["intercept"] * params["intercept"] * length  # (β √v)²
        ridge = (params["log_ridge"].exp() + LEAST_RIDGE) * (length + constant)
        eye = torch.eye(x.shape[0], dtype=x.dtype, device=x.device)
        a = inverse(x @ x.T + constant + ridge * eye, CONDITION) @ support.y
        return {"w": a.T @ x, "b": constant * a.sum(dim=0)}

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """α (⟨x, w_n⟩ + b_n) for h [Q, D]: [Q, N]."""
        scores = self.apply_metric(params, query_x) @ state["w"].T + state["b"]
        return params["log_scale"].exp() * scores
