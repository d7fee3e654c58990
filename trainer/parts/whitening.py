"""Features whose covariance within a class is the identity at the start: A (h − μ), A learned on.

A = (Σ + ε tr Σ / D)^(−1/2) of the covariance Σ of meta-training examples about the mean of their
class. Distances then count every direction by how little it varies within a class, and one rate of
a gradient step suits all directions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from handful.trainer.form.stage import Tensors

from .features import class_means

CENTRE, MATRIX = "whiten.centre", "whiten.matrix"
FLOOR = 1e-3  # ε: a direction in which nothing varies is not blown up


def no_whitening(features: int) -> Tensors:
    """The map that changes nothing: μ = 0 and A = 1."""
    return {CENTRE: torch.zeros(features), MATRIX: torch.eye(features)}


def fit_whitening(h: Tensor, y: Tensor, *, fully: bool = True) -> Tensors:
    """μ [D] and A [D, D] of features h [M, D] and one-hot classes y [M, C].

    Not `fully`, A is a number alone, by which the variance within a class is 1 on average.
    """
    wide, labels = h.double(), y.double()
    present = labels[:, labels.sum(dim=0) > 0]
    within = wide - present @ class_means(wide, present)
    covariance = within.T @ within / len(h)
    if not fully:
        covariance = torch.eye(len(covariance), dtype=covariance.dtype) * covariance.diag().mean()
    values, vectors = torch.linalg.eigh(covariance)
    least = FLOOR * values.mean() + torch.finfo(h.dtype).tiny
    matrix = vectors @ torch.diag((values.clamp(min=0) + least).rsqrt()) @ vectors.T
    return {CENTRE: wide.mean(dim=0).to(h.dtype), MATRIX: matrix.to(h.dtype)}


def whiten(params: Tensors, h: Tensor) -> Tensor:
    """A (h − μ) of h [B, D]."""
    return (h - params[CENTRE]) @ params[MATRIX]
