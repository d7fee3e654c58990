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

Two settings serve features that no other classes are there to centre, those of `handful photos`:

    centre_support  x = m(h) − a,  a the mean over n of the class means of m(h_i)
    class_means μ   predict adds −α μ ‖u(m(h) − a/2) − c_n‖² / (1 + 1/K),  K = S / N,
                    c_n = the mean of u(m(h_i) − a/2) over class n,  u(v) = v / ‖v‖

Where examples are few, class means know as much as the ridge and something else; as K grows, the
ridge's scores grow sharper beside them. docs/photos.md has what each gives.
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
from handful.trainer.parts.features import class_means, no_network, squared_distance, unit_length
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
    centre_support: bool = False  # subtract the support set's own mean from the features
    class_means: float = 0.0  # μ; it needs centre_support
    train_network: bool = False  # learn the features through the solution, as R2D2 does
    network: NetworkConfig | None = None  # what embeds images; None: examples are features already

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"intercept": 0, "class_means": 0})
        if self.class_means and not self.centre_support:
            raise SettingError(
                "class_means", f"is {self.class_means}, and centre_support is false",
                hint="set learner.centre_support = true, or learner.class_means = 0",
            )  # fmt: skip
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

    untrained = (
        Untrained({}),
        Untrained(  # that of `handful photos`
            {"metric": "power", "centre_support": True, "class_means": 0.5}
        ),
    )

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """On features, and through features that it learns."""
        network = NetworkConfig(kind="mlp", hidden=(16, 12))
        learned: dict[str, Any] = {"metric": "euclidean", "train_network": True, "network": network}
        photos: dict[str, Any] = {"metric": "power", "centre_support": True, "class_means": 0.5}
        return {
            "ridge": cls.variant(),
            "ridge-learned": cls.variant(**learned),
            "ridge-photos": cls.variant(**photos),
        }

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
        """w [N, D] and the intercepts b [N]; a [D], c [N, D] and their scale s as settings say."""
        return self._solution(params, support)[0]

    def solve_and_leave_out(self, params: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """What `solve` gives, and y less the scores [S, N] that each example has by all others.

        dᵢ / Gᵢᵢ, without a refit, d the dual solution and G the inverse that gives it (Rifkin and
        Lippert 2007, Notes on regularized least squares); the centre and λ's unit are those of all.
        """
        solved, dual, g = self._solution(params, support)
        eye = torch.eye(g.shape[0], dtype=g.dtype, device=g.device)
        return solved, dual / (g * eye).sum(dim=1, keepdim=True)

    def _solution(self, params: Tensors, support: Support) -> tuple[Tensors, Tensor, Tensor]:
        """What `predict` reads, the dual solution [S, N] and the inverse [S, S] that gives it."""
        x, beside = self._centre(params, support)
        gram, constant = self._system(params, x)
        g = inverse(gram, CONDITION)
        dual = g @ support.y
        return {"w": dual.T @ x, "b": constant * dual.sum(dim=0), **beside}, dual, g

    def _centre(self, params: Tensors, support: Support) -> tuple[Tensor, Tensors]:
        """The features x [S, D] that the ridge is fitted to, and what else `predict` reads."""
        x, y = self.apply_metric(params, support.x), support.y
        if not self.config.centre_support:
            return x, {}
        least = x.amin(dim=0)  # taken off first: then equal examples are zero and not rounding
        a = least + class_means(x - least, y).mean(dim=0)
        beside = {"a": a}
        if self.config.class_means:
            shots, way = y.sum(), y.sum(dim=0).clamp(max=1).sum()
            beside["c"] = class_means(unit_length(x - a / 2), y)
            beside["s"] = float(self.config.class_means) * shots / (shots + way)
        return x - a, beside

    def _system(self, params: Tensors, x: Tensor) -> tuple[Tensor, Tensor]:
        """K + λ u I [S, S] of x [S, D], and the constant coordinate's (β √v)²."""
        length = (x * x).sum(dim=1).mean() + LENGTH_FLOOR  # v
        constant = params["intercept"] * params["intercept"] * length
        ridge = (params["log_ridge"].exp() + LEAST_RIDGE) * (length + constant)
        eye = torch.eye(x.shape[0], dtype=x.dtype, device=x.device)
        return x @ x.T + constant + ridge * eye, constant

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """α (⟨x, w_n⟩ + b_n), with class means beside it as settings say, for h [Q, D]: [Q, N]."""
        x = self.apply_metric(params, query_x)
        scores = x @ state["w"].T + state["b"]
        if self.config.centre_support:
            scores = scores - state["w"] @ state["a"]
        if self.config.class_means:
            places = unit_length(x - state["a"] / 2)
            scores = scores - state["s"] * squared_distance(places, state["c"])
        return params["log_scale"].exp() * scores
