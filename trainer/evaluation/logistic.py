"""Multinomial logistic regression with an L2 penalty, for many small problems at once.

    min over w of  ½ ‖w‖² + C Σ_i ( log Σ_n exp⟨x_i, w_n⟩ − ⟨x_i, w_{y_i}⟩ )

Newton's method: conjugate gradients give the direction, halving the length of the step. The
objective is strongly convex, so the gradient's norm says how far the optimum is; nothing is random.
An intercept is the weight of a coordinate of x that is constant.
"""

from __future__ import annotations

import torch
from torch import Tensor

from handful.runtime.errors import HandfulError

TOLERANCE = 1e-6  # of the gradient's norm
NEWTON, CONJUGATE, HALVINGS = 100, 200, 40  # at most so many steps of each
SUFFICIENT = 1e-4  # of the decrease that the slope promises (Armijo)
ROUNDING = 1e-12  # of the objective, which a step may appear to raise it by


class NotConverged(HandfulError):
    """A fit whose gradient has not vanished, which no finite input should bring about."""


def fit(x: Tensor, y: Tensor, *, c: float) -> Tensor:
    """w [E, D, N] for x [E, S, D] and one-hot y [S, N] or [E, S, N], in x's precision."""
    w = x.new_zeros(x.shape[0], x.shape[2], y.shape[-1])
    norm = x.new_zeros(x.shape[0])
    for _ in range(NEWTON):
        p = torch.softmax(x @ w, dim=2)
        gradient = w + c * x.mT @ (p - y)
        norm = gradient.flatten(1).norm(dim=1)
        if bool((norm <= TOLERANCE).all()):
            return w
        w = w + _shortened(x, y, w, _direction(x, p, gradient, c), gradient, c)
    raise NotConverged(
        f"logistic regression did not converge in {NEWTON} steps: gradient {float(norm.max()):.1e}",
        hint="look for features that are not finite",
    )


def objective(x: Tensor, y: Tensor, w: Tensor, c: float) -> Tensor:
    """What is minimised, [E]."""
    logits = x @ w
    losses = torch.logsumexp(logits, dim=2) - (logits * y).sum(dim=2)
    return (w * w).sum(dim=(1, 2)) / 2 + c * losses.sum(dim=1)


def _direction(x: Tensor, p: Tensor, gradient: Tensor, c: float) -> Tensor:
    """d with H d = −gradient, as exactly as the distance from the optimum deserves."""

    def hessian(v: Tensor) -> Tensor:
        u = p * (x @ v)
        return v + c * x.mT @ (u - p * u.sum(dim=2, keepdim=True))

    d = torch.zeros_like(gradient)
    residual = -gradient
    conjugate = residual
    square = _dot(residual, residual)
    # the forcing sequence of Dembo and Steihaug: quadratic convergence in the end
    enough = square * torch.clamp(square.sqrt(), max=0.25)
    for _ in range(CONJUGATE):
        going = square > enough
        if not bool(going.any()):
            break
        image = hessian(conjugate)
        length = torch.where(going, square / _dot(conjugate, image), 0.0)
        d = d + length * conjugate
        residual = residual - length * image
        old_square, square = square, _dot(residual, residual)
        conjugate = torch.where(going, residual + square / old_square * conjugate, conjugate)
    return d


def _shortened(x: Tensor, y: Tensor, w: Tensor, d: Tensor, gradient: Tensor, c: float) -> Tensor:
    """d, halved in each problem until the objective falls by what the slope promises."""
    start = objective(x, y, w, c)
    slope = _dot(gradient, d).flatten()
    length = torch.ones_like(start)
    for _ in range(HALVINGS):
        moved = objective(x, y, w + length[:, None, None] * d, c)
        allowed = start + SUFFICIENT * length * slope + ROUNDING * start
        short = moved > allowed
        if not bool(short.any()):
            break
        length = torch.where(short, length / 2, length)
    return length[:, None, None] * d


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each problem, [E, 1, 1]."""
    return (a * b).sum(dim=(1, 2), keepdim=True)
