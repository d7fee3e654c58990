"""Proto-MAML: its start, its exemplars and its step, each worked out a second way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners.proto_maml import TENTHS, ProtoMAML, ProtoMAMLConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.views import ViewsConfig
from handful.trainer.settings.errors import SettingError

from ..each import each
from .small import double, generator, series

CLOSE: Any = {"rtol": 1e-5, "atol": 1e-5}  # the parameters are float32 numbers
SPEC = InputSpec(kind="array", shape=(4,))
Y = torch.eye(3, dtype=torch.float64).repeat_interleave(torch.tensor([2, 1, 3]), dim=0)


def head(
    scales: Mapping[str, float] | None = None, *, e: float = 0.75, **settings: Any
) -> tuple[ProtoMAML, Tensors]:
    """A learner on features of size 4 in float64, its centre and its spread not at their start.

    `scales` are τ, γ and g by the names of their parameters; e is the shots' exponent.
    """
    learner = ProtoMAML(ProtoMAMLConfig(network=None, **settings), SPEC, 3)
    params = double(learner.init(generator()))
    for name, value in (scales or {}).items():
        params[f"log.{name}"] = torch.tensor(math.log(value) / 10).double()
    params["shot_exponent"] = torch.tensor(e / 10).double()
    params["centre"] += 0.3
    params["spread"] *= 1.7
    return learner, params


def examples(count: int, *, views: int = 1, seed: int = 1) -> Tensor:
    """h [count, V, 4]."""
    return torch.randn(count, views, 4, generator=generator(seed), dtype=torch.float64)


def phi(h: Tensor, power: float) -> Tensor:
    z = (h - 0.3) / 1.7
    lengths: Tensor = z.norm(dim=-1, keepdim=True)
    return z / lengths**power


def test_without_a_step_it_is_the_nearest_class_mean() -> None:
    learner, params = head({"temperature": 1.5, "answer_scale": 2.5}, exemplars=0.0, power=0.0)
    h, query = examples(6), examples(5, seed=2)
    memory, start = learner.stages()
    state = memory.begin(params, {}, Support(h, Y))
    state |= start.begin(params, state, Support(h, Y))
    means = torch.stack([phi(h[rows, 0], 0).mean(dim=0) for rows in ([0, 1], [2], [3, 4, 5])])
    distances = torch.cdist(phi(query[:, 0], 0), means) ** 2
    torch.testing.assert_close(
        learner.predict(params, state, query).log_softmax(dim=1),
        (-2.5 * 1.5 * distances).log_softmax(dim=1),
        **CLOSE,
    )


def test_an_answer_is_the_linear_head_and_the_soft_nearest_neighbour() -> None:
    learner, params = head({"sharpness": 3.0, "answer_scale": 1.0}, exemplars=0.7)
    h, query = examples(6, views=2), examples(4, views=2, seed=2)
    state = adapt(learner, params, Support(h, Y))
    for q, answer in zip(query, learner.predict(params, state, query), strict=True):
        expected = []
        for n, rows in enumerate(([0, 1], [2], [3, 4, 5])):
            linear = phi(q.mean(dim=0), 0.5) @ state["w"][n] + state["b"][n]
            mean = phi(h[rows].mean(dim=1), 0.5).mean(dim=0)
            around = [*phi(h[rows], 0.5).flatten(0, 1), mean]
            near = [
                math.exp(-3 * float((phi(view, 0.5) - e).square().sum()))
                for view in q
                for e in around
            ]
            expected.append(float(linear) + 0.7 / 3 * math.log(sum(near) / len(near)))
        expected_answer = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(answer.log_softmax(0), expected_answer.log_softmax(0), **CLOSE)


def test_a_support_example_is_not_its_own_neighbour() -> None:
    learner, params = head({"sharpness": 2.0}, exemplars=1.0, power=0.0)
    h = examples(6, views=2)
    k = learner.remember(params, {}, Support(h, Y), {})["k"]
    of_class = ([0, 1], [2], [3, 4, 5])
    for i in range(6):
        for v in range(2):
            logs = []
            for rows in of_class:
                mean = phi(h[rows].mean(dim=1), 0).mean(dim=0)
                around = [*(phi(h[j, u], 0) for j in rows if j != i for u in range(2)), mean]
                near = [math.exp(-2 * float((phi(h[i, v], 0) - e).square().sum())) for e in around]
                logs.append(math.log(sum(near) / len(near)) / 2)
            expected = torch.tensor(logs, dtype=torch.float64)
            torch.testing.assert_close(k[i, v].log_softmax(0), expected.log_softmax(0), **CLOSE)


def test_a_step_is_no_longer_than_the_clip_and_keeps_its_direction() -> None:
    """By hand: g = K^e N ∇L over w and b together, of a length of at most clip √3."""
    support = Support(examples(6), Y)
    moved = {}
    for clip in (None, 1e3, 0.01):
        learner, params = head(exemplars=0.0, inner_steps=1, inner_lr=1.0, clip=clip)
        start = learner.stages()[1]
        memory = learner.remember(params, {}, support, {})
        before = {**memory, **start.begin(params, memory, support)}
        after = adapt(learner, params, support)
        moved[clip] = torch.cat([(after[n] - before[n]).flatten() for n in ("w", "b")])
    unbounded = moved[None]
    torch.testing.assert_close(moved[1e3], unbounded, rtol=1e-12, atol=0)
    bounded = unbounded * (0.01 * math.sqrt(3) / unbounded.norm())
    torch.testing.assert_close(moved[0.01], bounded, **CLOSE)
    assert float(unbounded.norm()) > 0.1
    at_rest = Support(torch.zeros_like(support.x), Y)  # where the gradient of w is 0
    learner, params = head(exemplars=0.0, clip=0.01)
    assert all(bool(t.isfinite().all()) for t in adapt(learner, params, at_rest).values())


@each("exemplars", [0.0, 1.0])
def test_steps_descend_the_loss_of_all_views_at_rates_of_their_own(exemplars: float) -> None:
    learner, params = head(e=0.5, exemplars=exemplars, inner_steps=2, inner_lr=0.4)
    params["log.rate.w"] += torch.tensor([0.0, 0.05])
    support = Support(examples(6, views=2), Y)
    state = adapt(learner, params, support)
    memory, start = learner.stages()
    by_hand = memory.begin(params, {}, support)
    by_hand |= start.begin(params, by_hand, support)
    w, b = by_hand["w"].requires_grad_(), by_hand["b"].requires_grad_()
    rates = [(0.4, 0.4), (0.4 * math.exp(0.05 * TENTHS), 0.4)]
    for rate_w, rate_b in rates:
        logits = phi(support.x, 0.5) @ w.T + b + by_hand.get("k", 0.0)
        answers = torch.tensor([0, 0, 1, 2, 2, 2]).repeat_interleave(2)
        loss = 3 * torch.nn.functional.cross_entropy(logits.flatten(0, 1), answers)
        to_w, to_b = torch.autograd.grad(loss, [w, b])
        shots = 2**0.5  # six examples of three classes, to the power of a half
        w = (w - rate_w * shots * to_w).detach().requires_grad_()
        b = (b - rate_b * shots * to_b).detach().requires_grad_()
    torch.testing.assert_close(state["w"], w.detach(), **CLOSE)
    torch.testing.assert_close(state["b"], b.detach(), **CLOSE)


def on_series(**settings: Any) -> tuple[ProtoMAML, Tensors, Tensor]:
    data = series(classes=4, each=3)
    network = NetworkConfig(kind="conv1d", filters=8)
    learner = ProtoMAML(ProtoMAMLConfig(network=network, **settings), data.input, 4)
    return learner, learner.init(generator()), data.x


def test_the_centre_and_the_spread_are_of_meta_training_examples() -> None:
    learner, params, x = on_series(views=ViewsConfig(reverse=True))
    h = learner.embed(params, x)
    assert h.shape == (12, 2, 8)
    prepared = learner.prepare(params, h, torch.zeros(12), torch.zeros(12))
    torch.testing.assert_close(prepared["centre"], h.flatten(0, 1).mean(dim=0))
    distances = (h.flatten(0, 1) - prepared["centre"]).norm(dim=1)
    torch.testing.assert_close(prepared["spread"], distances.square().mean().sqrt())


def test_the_yardsticks_see_what_the_views_have_in_common() -> None:
    learner, params, x = on_series(views=ViewsConfig(shifts=(2,)))
    features = learner.yardstick_features(params, x, x)
    torch.testing.assert_close(features, learner.embed(params, x).mean(dim=1))


def test_all_but_the_spread_is_meta_trained() -> None:
    learner, params, _ = on_series()
    trained = {name for name in params if not learner.is_frozen(name)}
    weights = {name for name in params if name.startswith("embed.") and ".running_" not in name}
    assert weights <= trained
    assert {"centre", "power", "shot_exponent", "log.rate.w", "log.temperature"} <= trained
    assert "spread" not in trained


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(SettingError) as caught:
        ProtoMAMLConfig(inner_lr=0.0)
    assert str(caught.value) == "inner_lr is 0.0, wanted more than 0"


@each(
    ("settings", "most"),
    [({}, 3872), ({"views": ViewsConfig(shifts=(-1, 0, 1))}, 968), ({"exemplars": 0.0}, None)],
)
def test_the_limit_of_the_support_set_is_that_of_its_pairs_of_views(
    settings: dict[str, Any], most: int | None
) -> None:
    """Four tensors [S V, S V] of float32 in 240 MB, where exemplars are compared."""
    data = series()
    learner = ProtoMAML(ProtoMAMLConfig(network=None, **settings), data.input, 5)
    assert learner.max_support == most
