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

LEAST = 1e-6  # a variance between persons, where that within their classes is 1
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


def fit_persons(
    h: Tensor, y: Tensor, domain: Tensor, classes: int
) -> tuple[Tensors, Tensor, Tensor]:
    """μ and A, the class means of A (h − μ) [classes, D], and the variance between persons [D].

    Of features h [M, D], their classes y [M] and domains [M]. A whitens the covariance within a
    domain's class, and turns it so that the means of these have a diagonal covariance about those
    of all: PLDA's two covariances (Ioffe 2006), in one basis.
    """
    groups = torch.unique(domain * classes + y, return_inverse=True)[1]
    of_class = torch.eye(classes, device=h.device)[y]
    of_group = torch.eye(int(groups.max()) + 1, device=h.device)[groups]
    params = fit_whitening(h, of_group)
    x = whiten(params, h).double()
    p = class_means(x, of_class.double())
    away = class_means(x, of_group.double()) - p[class_means(of_class, of_group).argmax(dim=1)]
    between, directions = torch.linalg.eigh(away.T @ away / len(away))
    params[MATRIX] = (params[MATRIX].double() @ directions).to(h.dtype)
    return params, (p @ directions).to(h.dtype), between.clamp(min=LEAST).to(h.dtype)


def whiten(params: Tensors, h: Tensor) -> Tensor:
    """A (h − μ) of h [B, D]."""
    return (h - params[CENTRE]) @ params[MATRIX]
