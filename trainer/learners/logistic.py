"""Logistic regression on embeddings, the yardstick of every practitioner.

    x        length · [m(h), 1], m(h) centred and of unit length (metric.py), 1 for the intercept
    min_w    ½ ‖w‖² + C Σ_i (log Σ_n exp⟨x_i, w_n⟩ − ⟨x_i, w_{y_i}⟩)
    init     w = 0
    step     w ← w + t d, d Newton's direction by conjugate gradients, t the best of 1, ½, … 1/16
    predict  s ⟨x, w_n⟩

With C = 10 and length 3 it is the problem that every learner is compared with
(trainer/evaluation/yardsticks.py), where it is solved to the last digit. Eight steps of eight
conjugate gradients come within 1e-4 of its logits on tasks up to 20-way 5-shot. Meta-training fits
the scale s alone, which starts at 1.

A graph has no loop with a condition, so a step tries all lengths t at once; the full step alone
diverges at 20-way. Conjugate gradients magnify the rounding of float32 to a hundredth of w on their
way (the end is the same), so a step computes in float64, and every device has the same states. The
dual, which is smaller where S < D, is not used: what the Gram matrix of dependent examples does not
see is rounding divided by rounding, in float64 too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handful.trainer.form.learner import Untrained, Variant
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.metric import Metric, MetricLearner
from handful.trainer.settings.read import check_numbers

LENGTHS = 5  # of a step: 1, ½, … 1/16
# of the objective at w = 0, which a full step may cost more: near the optimum all lengths give the
# same objective but for rounding, which must not choose
LENIENT = 1e-5
TINY = 1e-30  # added to divisors, which vanish where a direction does


@dataclass(frozen=True, kw_only=True)
class LogisticConfig:
    """The hyperparameters; C and the length are those of the yardstick."""

    c: float = 10.0
    length: float = 3.0
    steps: int = 8
    directions: int = 8  # conjugate gradients in each step
    metric: Metric = "cosine"
    shrinkage: float = 3.0  # γ of metric = "within", as for the class means
    network: NetworkConfig | None = None  # what embeds images; None: examples are features already

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)


class Logistic(MetricLearner):
    """A linear classifier fitted to the support set, to convergence."""

    name = "logistic"
    Config = LogisticConfig

    untrained = (Untrained({}, yardstick=3),)

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """On features."""
        return {"logistic": cls.variant(log_scale=-0.5)}

    def init(self, generator: torch.Generator) -> Tensors:
        """The frozen network, the metric and s."""
        return self.start(1.0, generator)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """w by Newton's method."""
        steps = self.config.steps
        return (Stage(name="fit", init=self.begin, step=self.newton_step, steps=steps),)

    def examples(self, params: Tensors, h: Tensor) -> Tensor:
        """x [B, D + 1] of h [B, D]."""
        measured = self.apply_metric(params, h)
        ones = torch.ones_like(measured[:, :1])
        return float(self.config.length) * torch.cat([measured, ones], dim=1)

    def begin(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """w = 0: [N, D + 1]."""
        shape = (support.y.shape[1], self.features + 1)
        return {"w": torch.zeros(shape, dtype=support.y.dtype, device=support.y.device)}

    def newton_step(
        self, params: Tensors, state: Tensors, support: Support
    ) -> tuple[Tensors, Tensor]:
        """One step, and the objective before it, per example and unit of C."""
        w, y, c = state["w"].double(), support.y.double(), float(self.config.c)
        x = self.examples(params, support.x).double()
        scores = x @ w.T
        p = torch.softmax(scores, dim=1)
        residual = c * (y - p).T @ x - w
        direction = newton_direction(x, p, residual, c, steps=self.config.directions)
        t = torch.exp2(-torch.arange(LENGTHS, dtype=w.dtype, device=w.device))
        far = t[:, None, None]
        values = objective(w + far * direction, scores + far * (x @ direction.T), y, c)
        at_zero = objective(0 * w, 0 * scores, y, c)
        best = (values - LENIENT * at_zero * t).argmin(dim=0, keepdim=True)
        loss = objective(w, scores, y, c) / (c * y.sum())
        moved = w + t.gather(0, best) * direction
        return {"w": moved.to(support.x.dtype)}, loss.to(support.x.dtype)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """s ⟨x, w_n⟩ for h [Q, D]: [Q, N]."""
        scores = self.examples(params, query_x) @ state["w"].T
        return params["log_scale"].exp() * scores


def objective(w: Tensor, scores: Tensor, y: Tensor, c: float) -> Tensor:
    """What is minimised, for w [..., N, D] and its scores [..., S, N]: [...]."""
    losses = torch.logsumexp(scores, dim=-1) - (scores * y).sum(dim=-1)
    return (w * w).sum(dim=(-2, -1)) / 2 + c * losses.sum(dim=-1)


def newton_direction(x: Tensor, p: Tensor, residual: Tensor, c: float, *, steps: int) -> Tensor:
    """d [N, D] with H d = residual, about: conjugate gradients from 0, so always a descent.

    H v = v + C Σ_i x_i (diag(p_i) − p_i p_iᵀ) ⟨x_i, v⟩, whose eigenvalues are 1 or more.
    """
    direction = 0 * residual
    conjugate, square = residual, (residual * residual).sum()
    for i in range(steps):
        u = p * (x @ conjugate.T)
        curved = conjugate + c * (u - p * u.sum(dim=1, keepdim=True)).T @ x
        length = square / ((conjugate * curved).sum() + TINY)
        direction = direction + length * conjugate
        if i < steps - 1:
            residual = residual - length * curved
            old_square, square = square, (residual * residual).sum()
            conjugate = residual + square / (old_square + TINY) * conjugate
    return direction
