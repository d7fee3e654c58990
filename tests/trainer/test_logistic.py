"""Logistic regression: at the optimum, whatever the data, each problem by itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from handful.trainer.evaluation.yardsticks import (
    LENGTH,
    TOLERANCE,
    C,
    NotConverged,
    fit,
    logistic_regression,
    objective,
)
from handful.trainer.parts.features import unit_length

from ..each import each
from .small import generator


def problems(
    count: int, way: int, shot: int, size: int, spread: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Features [E, S, D] as the yardstick gives them, and labels [S, N]."""
    draw = generator(count + way + shot + size)
    means = torch.randn(count, way, 1, size, generator=draw, dtype=torch.float64)
    noise = torch.randn(count, way, shot, size, generator=draw, dtype=torch.float64)
    x = (means + spread * noise).flatten(1, 2)
    return LENGTH * unit_length(x), torch.eye(way).double().repeat_interleave(shot, dim=0)


@each("sizes", [(5, 1, 4), (5, 5, 16), (20, 5, 64), (2, 3, 40)])
def test_the_gradient_vanishes(sizes: tuple[int, int, int]) -> None:
    x, y = problems(8, *sizes)
    w = fit(x, y, c=C).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(x, y, w, C).sum(), w)
    assert float(gradient.flatten(1).norm(dim=1).max()) <= TOLERANCE


def test_the_optimum_is_that_of_lbfgs() -> None:
    x, y = problems(1, 4, 3, 6, spread=3.0)  # classes overlap
    wanted = torch.zeros(1, 6, 4, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [wanted],
        max_iter=2000,
        tolerance_grad=1e-10,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        search.zero_grad()
        loss = C * torch.nn.functional.cross_entropy(
            (x[0] @ wanted[0]), y.argmax(dim=1), reduction="sum"
        )
        loss = loss + wanted.square().sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(fit(x, y, c=C), wanted.detach(), rtol=1e-6, atol=1e-7)


def test_two_points_by_hand() -> None:
    """x = ±3 in one dimension: w = ±v with v = 10 · 3 · 2 · σ(−6 v), by symmetry."""
    x, y = torch.tensor([[[3.0], [-3.0]]], dtype=torch.float64), torch.eye(2).double()
    (first, second) = fit(x, y, c=10.0)[0, 0].tolist()
    assert first == pytest.approx(-second)
    assert first == pytest.approx(60 / (1 + math.exp(6 * first)))


def test_each_problem_is_solved_by_itself() -> None:
    """Beside one that is hard, and one that is solved at the start, as every example is alike."""
    x, y = problems(3, 3, 2, 5, spread=4.0)
    x[1] = 0.0
    together = fit(x, y, c=C)
    for e in range(3):
        torch.testing.assert_close(together[e], fit(x[e : e + 1], y, c=C)[0], rtol=1e-6, atol=1e-7)
    assert float(together[1].abs().max()) == 0.0


@each("size", [4, 15, 16, 40])
def test_fitting_in_the_span_of_the_support_set_loses_nothing(size: int) -> None:
    x, y = problems(4, 5, 3, size)
    query = torch.randn(4, 7, size, generator=generator(), dtype=torch.float64)
    scores = logistic_regression(x, y, query)
    torch.testing.assert_close(scores, query @ fit(x, y, c=C), rtol=1e-6, atol=1e-6)


def test_what_is_not_finite_is_an_error() -> None:
    x, y = problems(1, 2, 1, 3)
    x[0, 0, 0] = math.nan
    with pytest.raises(NotConverged) as caught:
        fit(x, y, c=C)
    assert str(caught.value) == "logistic regression did not converge in 100 steps: gradient nan"
    assert caught.value.hint == "look for features that are not finite"
