"""What a learner has to beat: simple rules on the very features that it adapts on.

    class means, squared distance       argmin ‖x − c_n‖², the metric of a prototypical network
    class means, centred, unit length   the same on x less the mean over meta-training examples, of
                                        unit length: SimpleShot (Wang et al. 2019, arXiv:1911.04623)
    logistic regression                 on the same, of length 3, with an intercept; L2 with C = 10

C and the length were chosen once, on data that no package is measured on (keywords and pen
strokes), and are not tuned for a learner or a data set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import Rows, one_hot, rows_of
from handful.trainer.learners.features import unit_length
from handful.trainer.sizes import TaskSize

from .logistic import fit

C, LENGTH = 10.0, 3.0  # of logistic regression: its inverse L2 weight, the length of its features
VALUES = 2**23  # feature values of the episodes that are classified at a time: 64 MiB in float64

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]  # x [E, S, D], y [S, N], query → [E, Q, N]


@dataclass(frozen=True)
class Features:
    """What the yardsticks read of a labelled set, in its order."""

    data: LabelledSet
    x: Tensor  # [M, D]
    centre: Tensor  # [D], the mean over some meta-training examples
    called: str  # in the yardsticks' names: "the features"

    def measured(self, size: TaskSize, *, episodes: int, seed: int) -> dict[str, Array]:
        """The accuracy of each rule on each task of this seed, [E], by the rule's name."""
        rows = rows_of(self.data, size, episodes=episodes, seed=seed)
        return yardsticks(self, size, rows)

    def centred(self) -> Tensor:
        """x less the centre, of unit length."""
        return unit_length(self.x - self.centre)

    def for_regression(self) -> Tensor:
        """The same of length 3, and a constant coordinate: its weight is the intercept."""
        x = LENGTH * self.centred()
        return torch.cat([x, torch.full_like(x[:, :1], LENGTH)], dim=1)


def yardsticks(features: Features, size: TaskSize, rows: Rows) -> dict[str, Array]:
    """The accuracy of each rule on each task, [E], by the rule's name."""
    name = features.called
    return {
        f"class means of {name}, squared distance": on_tasks(nearest_mean, features.x, size, rows),
        f"class means of {name}, centred, unit length": on_tasks(
            nearest_mean, features.centred(), size, rows
        ),
        f"logistic regression on {name}, centred": on_tasks(
            logistic_regression, features.for_regression(), size, rows
        ),
    }


@torch.no_grad()
def on_tasks(rule: Rule, x: Tensor, size: TaskSize, rows: Rows) -> Array:
    """The rule's accuracy [E] on tasks of examples x [M, D], some at a time, in float64."""
    support_y = one_hot(size.way, size.shot).to(x.device, torch.float64)
    answers = torch.arange(size.way, device=x.device).repeat_interleave(size.queries)
    each = (rows.support.shape[1] + rows.query.shape[1]) * x.shape[1]
    chunk = max(1, VALUES // each)
    right = []
    for support, query in zip(
        torch.split(rows.support, chunk), torch.split(rows.query, chunk), strict=True
    ):
        support_x, query_x = (x[at.to(x.device)].double() for at in (support, query))
        scores = rule(support_x, support_y, query_x)
        right.append((scores.argmax(dim=2) == answers).double().mean(dim=1).cpu())
    accuracies: Array = torch.cat(right).numpy()
    return accuracies


def nearest_mean(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """−‖q − c_n‖² + ‖q‖², which orders the classes as the distance does."""
    means = (y / y.sum(dim=0)).T @ x  # [E, N, D]
    return 2 * query @ means.mT - (means * means).sum(dim=2)[:, None, :]


def logistic_regression(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """⟨q, w_n⟩ with w fitted to the support set."""
    # the optimum lies in the span of the support set: where that is smaller, fit in it
    basis = torch.linalg.qr(x.mT)[0] if x.shape[1] < x.shape[2] else None
    if basis is not None:
        x, query = x @ basis, query @ basis
    return query @ fit(x, y, c=C)
