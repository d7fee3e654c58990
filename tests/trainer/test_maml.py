"""MAML: the scalar task by hand, gradients in all entries, and each of its kin."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.autograd.gradcheck import GradcheckError

from handful.trainer.episodes import Asks, Episode
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.operations.normalise import Normalisation, Statistics
from handful.trainer.training.gradient import meta_gradient

from ..each import each
from .cases import tiny
from .small import VECTOR, generator


class Scalar(MAML):
    """f_θ(x) = θ, a single number, whatever the example: everything else is MAML's own."""

    def logits(
        self, theta: Tensors, x: Tensor, statistics: Statistics | None
    ) -> tuple[Tensor, Statistics]:
        return theta["head.bias"].expand(len(x), 1), {}


def scalar(**settings: Any) -> tuple[Scalar, Tensors, Episode]:
    """A regression: θ = 1; the support set wants a = 3, the queries b = 5; α = ⅛."""
    network = NetworkConfig(kind="mlp", hidden=(), normalisation="none")
    config = MAMLConfig(network=network, inner_lr=0.125, **settings)
    learner = Scalar(config, VECTOR, 5, Asks(targets=1))
    params = learner.init(generator())
    params["theta.head.bias"] = torch.tensor([1.0])
    x = torch.zeros(1, 3)
    return (
        learner,
        params,
        Episode(x, torch.tensor([[3.0]]), x, torch.tensor([[5.0]]), torch.arange(1)),
    )


@each(
    ("settings", "slope"),
    # L = (θ − a)², θ′ = θ − 2α(θ − a) = 1.5, and dL/dθ = 2(1 − 2α)(θ′ − b); first order: 2(θ′ − b)
    [({}, -5.25), ({"first_order": True}, -7.0)],
)
def test_the_scalar_task_by_hand(settings: dict[str, Any], slope: float) -> None:
    learner, params, episode = scalar(inner_steps=1, **settings)
    support = Support(episode.support_x, episode.support_y)
    state = adapt(learner, params, support)
    torch.testing.assert_close(state["theta.head.bias"], torch.tensor([1.5]))
    batch = Episode(*(t[None] for t in episode))
    gradient, loss, _ = meta_gradient(
        learner, params, ("theta.head.bias",), batch, {}, progress=1.0, chunk=1
    )
    torch.testing.assert_close(gradient["theta.head.bias"], torch.tensor([slope]))
    torch.testing.assert_close(loss, torch.tensor(12.25))  # 3.5²


def test_two_steps_of_the_scalar_task_by_hand() -> None:
    # 1 → 1.5 → 1.875; losses on the way 2² = 4 and 1.5² = 2.25
    learner, params, episode = scalar(inner_steps=2)
    seen: list[tuple[str, int, list[float]]] = []
    adapt(
        learner,
        params,
        Support(episode.support_x, episode.support_y),
        observe=lambda stage, i, t: seen.append(
            (stage, i, [t["theta.head.bias"].item(), *(t["loss"].item() for _ in range(i > 0))])
        ),
    )
    assert seen == [("inner", 0, [1.0]), ("inner", 1, [1.5, 4.0]), ("inner", 2, [1.875, 2.25])]


VARIANTS: list[dict[str, Any]] = [
    {},
    {"rates": "coordinate"},
    {"rates": "step"},
    {"head": "shared"},
]


# every normalisation with the plain step, and every other step under one
@each(
    "normalisation, settings",
    [(kind, {}) for kind in ("support", "task", "layer", "none")]
    + [("support", settings) for settings in VARIANTS[1:]],
)
def test_gradients_of_the_inner_step_in_all_entries(
    normalisation: Normalisation, settings: dict[str, Any]
) -> None:
    learner, params, episode = tiny(normalisation, **settings)
    support = Support(episode.support_x, episode.support_y)
    start = {n: t.detach() for n, t in learner.start(params, {}, support, {}).items()}
    moving = [n for n in start if n != "step_count"]
    names = [n for n in params if n not in moving]  # γ, β and the learned rates

    def step(*values: Tensor) -> tuple[Tensor, ...]:
        inputs = {**params, **dict(zip(names, values[: len(names)], strict=True))}
        state = {**start, **dict(zip(moving, values[len(names) :], strict=True))}
        stage_state, loss = learner.step(inputs, state, support)
        return (*(stage_state[n] for n in moving), loss)

    leaves = [*(params[n] for n in names), *(start[n] for n in moving)]
    assert gradcheck(step, [t.clone().requires_grad_() for t in leaves])


def meta_loss_check(learner: MAML, params: Tensors, episode: Episode, progress: float) -> bool:
    names = list(params)

    def whole(*values: Tensor) -> Tensor:
        inputs = dict(zip(names, values, strict=True))
        return learner.meta_loss(inputs, episode, {}, progress)[0]

    return gradcheck(whole, [params[n].clone().requires_grad_() for n in names])


@each("settings", [*VARIANTS, {"multi_step_loss": 1.0}])
def test_gradients_of_the_meta_loss_in_all_entries(settings: dict[str, Any]) -> None:
    learner, params, episode = tiny("support", inner_steps=2, **settings)
    assert meta_loss_check(learner, params, episode, progress=0.5)


def test_the_first_order_meta_loss_fails_the_same_check() -> None:
    learner, params, episode = tiny("support", inner_steps=2, first_order=True)
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        meta_loss_check(learner, params, episode, progress=0.5)


def test_the_first_order_step_fails_the_same_check() -> None:
    learner, params, episode = tiny("none", first_order=True)
    support = Support(episode.support_x, episode.support_y)
    start = learner.start(params, {}, support, {})

    def step(*values: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            learner.step(params, dict(zip(start, values, strict=True)), support)[0].values()
        )

    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradcheck(step, [t.detach().clone().requires_grad_() for t in start.values()])


def test_first_order_adapts_as_second_order_does() -> None:
    second, params, episode = tiny("support", inner_steps=3)
    first, _, _ = tiny("support", inner_steps=3, first_order=True)
    support = Support(episode.support_x, episode.support_y)
    one, two = adapt(first, params, support), adapt(second, params, support)
    for name in two:  # first order takes torch's batch norm, second order the written one
        torch.testing.assert_close(one[name], two[name], rtol=1e-12, atol=1e-12)
