"""Both baselines' heads: torch's own SGD, the starts, and a step that cannot overshoot."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support
from handful.trainer.learners.baseline import (
    LENGTH,
    Baseline,
    BaselinePP,
    BaselinePPConfig,
    SGDConfig,
    SGDHead,
)

from ..each import each
from .cases import case
from .small import double, generator, uneven

PLANE = InputSpec(kind="array", shape=(2,))


def linear(**settings: float) -> Baseline:
    return Baseline(SGDConfig(**settings), PLANE, 5)  # type: ignore[arg-type]


def cosine(**settings: float) -> BaselinePP:
    return BaselinePP(BaselinePPConfig(**settings), PLANE, 5)  # type: ignore[arg-type]


def test_two_steps_of_the_linear_head_by_hand() -> None:
    # x = (1, 0) and (0, 1), one of each class: η = 0.4 · 2/4 = 0.2, below the bound 38/2
    # ∇W at 0: ½ (p − y) xᵀ, so rows (−¼, ¼) and (¼, −¼); ∇b = 0. The first velocity is the gradient
    learner = linear(rate=0.4, weight_decay=0.0, steps=1)
    support = Support(torch.eye(2), torch.eye(2))
    state = adapt(learner, {}, support)
    by_hand = torch.tensor([[0.25, -0.25], [-0.25, 0.25]])
    torch.testing.assert_close(state["head.w"], 0.2 * by_hand)
    torch.testing.assert_close(state["momentum.w"], -by_hand)
    torch.testing.assert_close(state["head.b"], torch.zeros(2))
    # then the logits of an example are ±0.05: p − y = ∓1/(1 + e^0.1)
    state = adapt(linear(rate=0.4, weight_decay=0.0, steps=2), {}, support)
    gradient = -by_hand * 2 / (1 + math.exp(0.1))
    velocity = 0.9 * -by_hand + 0.1 * gradient
    torch.testing.assert_close(state["head.w"], 0.2 * by_hand - 0.2 * velocity)


def test_weight_normalisation_by_hand() -> None:
    # both classes start at the mean of (1, 0) and (0, 1), at the length of torch's random rows
    learner = cosine(steps=0)
    state = adapt(learner, {}, Support(torch.tensor([[3.0, 0.0], [0.0, 0.5]]), torch.eye(2)))
    torch.testing.assert_close(state["head.v"], torch.full((2, 2), LENGTH * 0.5**0.5))
    torch.testing.assert_close(state["head.g"], torch.full((2,), LENGTH))
    theta = {"v": torch.tensor([[5.0, 0.0], [0.0, -1.0]]), "g": torch.tensor([3.0, 0.5])}
    logits = learner.logits(theta, torch.tensor([[6.0, 8.0]]))
    torch.testing.assert_close(logits, torch.tensor([[2 * 3 * 0.6, -2 * 0.5 * 0.8]]))


@each("name", ["baseline", "baseline-pp"])
def test_the_steps_are_those_of_torchs_sgd(name: str) -> None:
    subject = case(name)
    learner, config = subject.learner, subject.learner.config
    assert isinstance(learner, SGDHead)
    x, y, _ = (t.double() for t in uneven(subject.data, [1, 3, 2]))
    support = Support(x, y)
    noise = {"w_noise": torch.randn(3, learner.features, dtype=torch.float64)}
    found = adapt(learner, double(subject.params), support, noise=noise)

    theta = learner.first(support, noise["w_noise"])
    leaves = {key: value.clone().requires_grad_() for key, value in theta.items()}
    sgd = torch.optim.SGD(
        leaves.values(),
        lr=float(learner.step_size(support)),
        momentum=config.momentum,
        dampening=config.dampening,
        weight_decay=config.weight_decay,
    )
    for _ in range(config.steps):
        sgd.zero_grad()
        loss = torch.nn.functional.cross_entropy(learner.logits(leaves, x), y.argmax(dim=1))
        loss.backward()  # type: ignore[no-untyped-call]
        sgd.step()
    for key, value in leaves.items():
        torch.testing.assert_close(found[f"head.{key}"], value.detach(), rtol=1e-9, atol=1e-12)


def test_the_step_is_an_epochs_until_it_would_overshoot() -> None:
    learner = linear(rate=0.01)
    few = Support(torch.eye(2).repeat(4, 1), torch.eye(2).repeat(4, 1))
    torch.testing.assert_close(learner.step_size(few), torch.tensor(0.01 * 8 / 4))
    long = Support(100 * few.x, few.y)  # ‖x‖² = 10⁴, and 1 for the intercept
    torch.testing.assert_close(learner.step_size(long), torch.tensor(38 / 10001.0))


def losses_of(learner: SGDHead, support: Support) -> list[float]:
    found: list[float] = []

    def observe(stage: str, i: int, tensors: dict[str, Tensor]) -> None:
        found.extend([float(tensors["loss"])] if i else [])

    adapt(learner, {}, support, observe=observe)
    return found


@each("bounded", [True, False])
def test_long_features_and_many_shots_do_not_diverge(
    bounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under shuffled labels, which no head separates; an epoch's step alone does diverge."""
    subject = case("baseline")
    x, y, _ = uneven(subject.data, [7] * 20)
    shuffled = Support(30 * x, y[torch.randperm(len(y), generator=generator())])
    learner = Baseline(SGDConfig(), subject.data.input, 20)
    if not bounded:
        monkeypatch.setattr(learner, "step_size", lambda support: support.y.sum() * 0.01 / 4)
    losses = losses_of(learner, shuffled)
    assert (max(losses) <= losses[0]) == bounded
    assert (losses[-1] < losses[0]) == bounded


def test_noise_draws_the_start_of_torchs_linear() -> None:
    learner = Baseline(SGDConfig(), InputSpec(kind="array", shape=(400,)), 5)
    y = torch.eye(5)
    support = Support(torch.randn(5, 400), y)
    drawn = learner.first(support, torch.randn(5, 400))["w"]
    wanted = torch.nn.Linear(400, 5).weight.detach().std()
    assert float(drawn.std()) == pytest.approx(float(wanted), rel=0.1)
    assert float(learner.first(support, torch.zeros(5, 400))["w"].abs().max()) == 0.0
