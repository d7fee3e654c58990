"""Rules for named classes that need no meta-training: each moves the classifier for everybody.

All read features h of one network, trained as a classifier of meta-training persons, with its head
W h + b and the class means p_n of those persons. Their settings are chosen on meta-validation
persons, for each number of examples.

    no examples            W h + b
    class means            −‖h − c_n‖²; a class without examples is never the answer
    interpolated means     c_n = (m q_n + Σ h) / (m + K_n), q_n = p_n + s · mean shift of labelled
                           classes; features whitened within classes, or scaled
    PLDA                   the posterior of c_n under a covariance between persons and one within,
                           of meta-training persons; Gaussian with the posterior's variance
    logistic regression    from the head: cross-entropy of the examples + λ/2 ‖W − W₀‖²
    normalisation          each layer's mean and variance towards those of the examples, by a share
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor

from handful.trainer.evaluation.yardsticks import Rule
from handful.trainer.parts.whitening import MATRIX, fit_whitening

STEPS = 150  # of accelerated gradient descent
WORTHS, SHIFTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0), (0.0, 0.3, 0.6, 1.0)
WIDTHS = (0.3, 1.0, 3.0)  # of PLDA's covariance between persons, times what was measured
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SHARES = (0.1, 0.3, 0.6)
LEAST = 1e-6


@dataclass(frozen=True)
class Everybody:
    """What the rules know of meta-training persons, in float64."""

    means: Tensor  # p [N, D]
    weight: Tensor  # W [N, D]
    bias: Tensor  # b [N]
    maps: dict[str, Tensor]  # [D, D], by what they do
    between: Tensor  # [D], the variance over persons along the directions of maps["PLDA"]

    @classmethod
    def of(cls, h: Tensor, y: Tensor, domain: Tensor, weight: Tensor, bias: Tensor) -> Everybody:
        """Of features h [M, D], their classes and domains [M], and the head."""
        h = h.double()
        one_hot = torch.eye(len(weight), dtype=torch.float64)[y]
        means = (one_hot.T @ h) / one_hot.sum(dim=0)[:, None]
        numbers = torch.unique(domain * len(weight) + y, return_inverse=True)[1]
        of_group = torch.eye(int(numbers.max()) + 1, dtype=torch.float64)[numbers]
        centres = (of_group.T @ h) / of_group.sum(dim=0)[:, None]
        classes = (of_group.T @ one_hot).argmax(dim=1)
        whiten = fit_whitening(h, of_group)[MATRIX].double()
        away = (centres - means[classes]) @ whiten
        between, directions = torch.linalg.eigh(away.T @ away / len(away))
        maps = {
            "whitened": fit_whitening(h, one_hot)[MATRIX].double(),
            "scaled": fit_whitening(h, one_hot, fully=False)[MATRIX].double(),
            "PLDA": whiten @ directions,
        }
        return cls(means, weight.double(), bias.double(), maps, between.clamp(min=LEAST))


def rules(known: Everybody) -> dict[str, dict[str, Rule]]:
    """Each rule in each of its settings, on features h."""
    return {
        "interpolated means": {
            f"{space}, m = {m:g}, s = {s:g}": partial(_interpolated, known, space, m, s)
            for space, m, s in product(("whitened", "scaled"), WORTHS, SHIFTS)
        },
        "PLDA": {
            f"between × {wide:g}, s = {s:g}": partial(_plda, known, wide, s)
            for wide, s in product(WIDTHS, (0.0, 0.5, 1.0))
        },
        "logistic regression from the head": {
            f"λ = {strength:g}": partial(_logistic, known, strength) for strength in STRENGTHS
        },
    }


def from_the_head(known: Everybody, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """The classifier for everybody, whatever the examples."""
    return query @ known.weight.T + known.bias


def _moved(p: Tensor, x: Tensor, y: Tensor, s: float) -> tuple[Tensor, Tensor, Tensor]:
    """q, Σ h and K of each class, [E, N, ...]."""
    count, total = y.sum(dim=1)[..., None], y.mT @ x
    has = count.clamp(max=1)
    away = has * (total / count.clamp(min=1) - p)
    return (
        p + s * away.sum(dim=1, keepdim=True) / has.sum(dim=1, keepdim=True).clamp(min=1),
        total,
        count,
    )


def _interpolated(
    known: Everybody, space: str, m: float, s: float, x: Tensor, y: Tensor, query: Tensor
) -> Tensor:
    to = known.maps[space]
    prior, total, count = _moved(known.means @ to, x @ to, y, s)
    c = (m * prior + total) / (m + count)
    return 2 * (query @ to) @ c.mT - (c * c).sum(dim=2)[:, None]


def _plda(known: Everybody, wide: float, s: float, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    to, between = known.maps["PLDA"], wide * known.between
    prior, total, count = _moved(known.means @ to, x @ to, y, s)
    variance = 1 / (1 / between + count)
    c, wider = variance * (prior / between + total), 1 + variance
    q = query @ to
    # Σ (q − c)² / wider, without a tensor [E, Q, N, D]
    distance = (
        (q * q) @ (1 / wider).mT - 2 * q @ (c / wider).mT + (c * c / wider).sum(dim=2)[:, None]
    )
    return -(distance + wider.log().sum(dim=2)[:, None]) / 2


def _logistic(known: Everybody, strength: float, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """By Nesterov's method, its step the inverse of a bound of the curvature."""

    def with_constant(x: Tensor) -> Tensor:
        return torch.cat([x, torch.ones_like(x[..., :1])], dim=2)

    count = y.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    there, x = y.sum(dim=2, keepdim=True) / count, with_constant(x)
    start = torch.cat([known.weight, known.bias[:, None]], dim=1).expand(len(x), -1, -1)
    strengths = strength / count
    bound = (there * x * x).sum(dim=(1, 2), keepdim=True) / 2 + strengths
    w, ahead = start, start
    for i in range(STEPS):
        error = (torch.softmax(x @ ahead.mT, dim=2) * there - y / count).mT @ x
        moved = ahead - (error + strengths * (ahead - start)) / bound
        w, ahead = moved, moved + i / (i + 3) * (moved - w)
    return with_constant(query) @ w.mT


def settings_of(found: dict[str, dict[str, Rule]]) -> Iterator[tuple[str, str, Rule]]:
    """Name, setting and rule of all."""
    for name, options in found.items():
        for setting, rule in options.items():
            yield name, setting, rule
