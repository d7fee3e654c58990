"""What a learner has to beat: simple rules on the very features that it adapts on.

    class means, squared distance       argmin ‖x − c_n‖², the metric of a prototypical network
    class means, centred, unit length   the same on x less the mean over meta-training examples, of
                                        unit length: SimpleShot (Wang et al. 2019, arXiv:1911.04623)
    logistic regression                 on the same, of length 3, with an intercept; L2 with C = 10
    mean                                of functions: the mean of the support set's targets
    least squares                       a linear function of x with an intercept; of all that fit
                                        the smallest

C and the length were chosen once, on data that no package is measured on (keywords and pen
strokes), and are not tuned for a learner or a data set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.errors import HandfulError
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import Episode, EpisodeSource, Rows, TaskSize, rows_of
from handful.trainer.form.task import squared_error
from handful.trainer.parts.features import unit_length

TOLERANCE = 1e-6  # of the gradient's norm
NEWTON, CONJUGATE, HALVINGS = 100, 200, 40  # at most so many steps of each
SUFFICIENT = 1e-4  # of the decrease that the slope promises (Armijo)
ROUNDING = 1e-12  # of the objective, which a step may appear to raise it by
C, LENGTH = 10.0, 3.0  # of logistic regression: its inverse L2 weight, the length of its features
VALUES = 2**23  # feature values of the episodes that are classified at a time: 64 MiB in float64
Rule = Callable[[Tensor, Tensor, Tensor], Tensor]  # x [E, S, D], y [E, S, N], query → [E, Q, N]
Fit = Callable[[Tensor, Tensor, Tensor], Tensor]  # x [S, D], y [S, O], query [Q, D] → [Q, O]


def yardsticks(features: Features, size: TaskSize, rows: Rows) -> dict[str, Array]:
    """The accuracy of each rule on each task, [E], by the rule's name."""
    name = features.called
    return {
        f"class means of {name}, squared distance": on_tasks(nearest_mean, features.x, size, rows),
        f"class means of {name}, centred, unit length": on_tasks(
            nearest_mean, features.centre_features(), size, rows
        ),
        f"logistic regression on {name}, centred": on_tasks(
            logistic_regression, features.for_regression(), size, rows
        ),
    }


@dataclass(frozen=True)
class Features:
    """What the yardsticks read of a labelled set, in its order."""

    data: LabelledSet
    x: Tensor  # [M, D]
    centre: Tensor  # [D], the mean over some meta-training examples
    called: str  # in the yardsticks' names: "the features"

    def measure(self, size: TaskSize, *, episodes: int, seed: int) -> dict[str, Array]:
        """The accuracy of each rule on each task of this seed, [E], by the rule's name."""
        rows = rows_of(self.data, size, episodes=episodes, seed=seed)
        return self.on_rows(size, rows)

    def on_rows(self, size: TaskSize, rows: Rows) -> dict[str, Array]:
        """The accuracy of each rule on each of these tasks, [E], by the rule's name."""
        return yardsticks(self, size, rows)

    def centre_features(self) -> Tensor:
        """x less the centre, of unit length."""
        return unit_length(self.x - self.centre)

    def for_regression(self) -> Tensor:
        """The same of length 3, and a constant coordinate: its weight is the intercept."""
        x = LENGTH * self.centre_features()
        return torch.cat([x, torch.full_like(x[:, :1], LENGTH)], dim=1)


@torch.no_grad()
def on_tasks(rule: Rule, x: Tensor, size: TaskSize, rows: Rows) -> Array:
    """The rule's accuracy [E] on tasks of examples x [M, D], some at a time, in float64.

    A support row that is none is zeros and of no class.
    """
    each = (rows.support.shape[1] + rows.query.shape[1]) * x.shape[1]
    chunk = max(1, VALUES // each)
    right = []
    for support, support_y, query, query_y in zip(
        *(torch.split(part.to(x.device), chunk) for part in rows[:4]), strict=True
    ):
        support_x, query_x = (x[at].double() for at in (support, query))
        there = (support >= 0)[..., None].double()
        one_hot = torch.eye(size.way, device=x.device, dtype=torch.float64)[support_y]
        scores = rule(support_x * there, one_hot * there, query_x)
        right.append((scores.argmax(dim=2) == query_y).double().mean(dim=1).cpu())
    accuracies: Array = torch.cat(right).numpy()
    return accuracies


def nearest_mean(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """−‖q − c_n‖² + ‖q‖², which orders the classes as the distance does.

    A class without examples is never the answer.
    """
    counts = y.sum(dim=-2)  # [E, N]
    means = (y.mT @ x) / counts.clamp(min=1)[..., None]  # [E, N, D]
    scores = 2 * query @ means.mT - (means * means).sum(dim=2)[:, None, :]
    return scores.masked_fill((counts == 0)[..., None, :], -torch.inf)


def logistic_regression(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """⟨q, w_n⟩ with w fitted to the support set."""
    # the optimum lies in the span of the support set: where that is smaller, fit in it
    basis = torch.linalg.qr(x.mT)[0] if x.shape[1] < x.shape[2] else None
    if basis is not None:
        x, query = x @ basis, query @ basis
    return query @ fit(x, y, c=C)


def fit(
    x: Tensor,
    y: Tensor,
    *,
    c: float,
    start: Tensor | None = None,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """w [E, D, N] for x [E, S, D] and one-hot y [S, N] or [E, S, N], in x's precision.

    Multinomial logistic regression with an L2 penalty, for many small problems at once.

        min over w of  ½ ‖w‖² + C Σ_i ( log Σ_n exp⟨x_i, w_n⟩ − ⟨x_i, w_{y_i}⟩ )

    Newton's method: conjugate gradients give the direction, halving the length of the step. The
    objective is strongly convex, so the gradient's norm says how far the optimum is, at most
    `tolerance`; nothing is random. An intercept is the weight of a coordinate of x that is
    constant. `start` [E, S, N] is added to the logits ⟨x_i, w_n⟩: what another classifier says,
    which w is to correct.
    """
    w = x.new_zeros(x.shape[0], x.shape[2], y.shape[-1])
    norm = x.new_zeros(x.shape[0])
    for _ in range(NEWTON):
        p = torch.softmax(_logits(x, w, start), dim=2)
        gradient = w + c * x.mT @ (p - y)
        norm = gradient.flatten(1).norm(dim=1)
        if bool((norm <= tolerance).all()):
            return w
        w = w + _shorten(x, y, w, _direction(x, p, gradient, c), gradient, c, start)
    raise NotConverged(
        f"logistic regression did not converge in {NEWTON} steps: gradient {float(norm.max()):.1e}",
        hint="look for features that are not finite",
    )


def _logits(x: Tensor, w: Tensor, start: Tensor | None) -> Tensor:
    return x @ w if start is None else start + x @ w


def _shorten(
    x: Tensor,
    y: Tensor,
    w: Tensor,
    d: Tensor,
    gradient: Tensor,
    c: float,
    start: Tensor | None,
) -> Tensor:
    """d, halved in each problem until the objective falls by what the slope promises."""
    before = objective(x, y, w, c, start)
    slope = _dot(gradient, d).flatten()
    length = torch.ones_like(before)
    for _ in range(HALVINGS):
        moved = objective(x, y, w + length[:, None, None] * d, c, start)
        allowed = before + SUFFICIENT * length * slope + ROUNDING * before
        short = moved > allowed
        if not bool(short.any()):
            break
        length = torch.where(short, length / 2, length)
    return length[:, None, None] * d


def objective(x: Tensor, y: Tensor, w: Tensor, c: float, start: Tensor | None = None) -> Tensor:
    """What is minimised, [E]."""
    logits = _logits(x, w, start)
    losses = torch.logsumexp(logits, dim=2) - (logits * y).sum(dim=2)
    return (w * w).sum(dim=(1, 2)) / 2 + c * losses.sum(dim=1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each problem, [E, 1, 1]."""
    return (a * b).sum(dim=(1, 2), keepdim=True)


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


class NotConverged(HandfulError):
    """A fit whose gradient has not vanished, which no finite input should bring about."""


@dataclass(frozen=True)
class Fits:
    """The fits on the tasks of a source, whose examples are read as they come."""

    source: EpisodeSource

    def measure(self, size: TaskSize, *, episodes: int, seed: int) -> dict[str, Array]:
        """The mean squared error of each fit on each task of this seed, [E], by its name."""
        generator = torch.Generator().manual_seed(seed)
        errors: dict[str, list[float]] = {name: [] for name in FITS}
        for _ in range(episodes):
            batch = self.source.episodes(size, tasks=1, generator=generator)
            episode = Episode(*(t[0].double() for t in batch))
            x, query = episode.support_x.flatten(1), episode.query_x.flatten(1)
            for name, fit in FITS.items():
                outputs = fit(x, episode.support_y, query)
                errors[name].append(float(squared_error(outputs, episode.query_y)))
        return {name: np.array(values) for name, values in errors.items()}


def mean(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """The same for every query."""
    return y.mean(dim=0).expand(len(query), -1)


def least_squares(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """A linear fit; through the support set where it has no more examples than x has numbers."""

    def with_constant(x: Tensor) -> Tensor:
        return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)

    inverse: Tensor = torch.linalg.pinv(with_constant(x))
    return with_constant(query) @ (inverse @ y)


FITS: Mapping[str, Fit] = {
    "mean of the support set": mean,
    "least squares on the support set": least_squares,
}
