"""the kin of MAML: Meta-SGD, rates a step, multi-step loss, ANIL, heads, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from handful.trainer.episodes import TaskSize, sample
from handful.trainer.form.learner import adapt, part
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.form.steps import multi_step_weights
from handful.trainer.form.task import cross_entropy
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.gradient import meta_gradient

from ..each import each
from .cases import CASES, Case, tiny
from .cases import case as build
from .small import IMAGE, VECTOR, conv4, double, double_episode, generator, pictures, uneven


def slopes(learner: MAML, params: Tensors, support: Support) -> Tensors:
    """∇ of N times the mean support loss at the start, by torch.autograd alone."""
    start = learner.start(params, {}, support, {})
    leaves = {
        n.removeprefix("theta."): t.detach().requires_grad_()
        for n, t in start.items()
        if n.startswith("theta.")
    }
    theta = {n.removeprefix("theta."): p for n, p in params.items() if n.startswith("theta.")}
    theta = {n: p.detach() for n, p in theta.items()} | leaves
    h, _ = learner.network(theta, support.x)
    loss = 3 * cross_entropy(h @ theta["head.weight"] + theta["head.bias"], support.y)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True))


def test_meta_sgd_moves_each_weight_by_its_own_rate() -> None:
    learner, params, episode = tiny("support", rates="coordinate")
    support = Support(episode.support_x, episode.support_y)
    start = learner.start(params, {}, support, {})
    moved, _ = learner.step(params, start, support)
    gradients = slopes(learner, params, support)
    assert {n.removeprefix("theta.") for n in moved} == gradients.keys()
    for name, slope in gradients.items():
        rate = params[f"rate.{name}"]
        assert rate.shape == params[f"theta.{name}"].shape
        assert len(set(rate.flatten().tolist())) == rate.numel()
        torch.testing.assert_close(
            moved[f"theta.{name}"], start[f"theta.{name}"] - rate * slope, rtol=1e-9, atol=1e-12
        )


def test_rates_of_a_tensor_and_step_and_the_last_one_after_them() -> None:
    learner, params, episode = tiny("none", inner_steps=2, evaluation_steps=4, rates="step")
    support = Support(episode.support_x, episode.support_y)
    params["rate.head.bias"] = torch.tensor([0.1, 0.7], dtype=torch.float64)
    states: list[Tensors] = []
    adapt(learner, params, support, observe=lambda stage, i, t: states.append(t))
    assert [int(t["step_count"]) for t in states] == [0, 1, 2, 3, 4]
    for before, after, rate in zip(states, states[1:], (0.1, 0.7, 0.7, 0.7), strict=False):
        at = {**params, **{n: t for n, t in before.items() if n != "step_count"}}
        wanted = before["theta.head.bias"] - rate * slopes(learner, at, support)["head.bias"]
        torch.testing.assert_close(after["theta.head.bias"], wanted, rtol=1e-9, atol=1e-12)


def test_multi_step_weights_by_hand() -> None:
    assert multi_step_weights(5, 0.0) == pytest.approx([0.2] * 5)
    assert multi_step_weights(5, 0.5) == pytest.approx([0.1] * 4 + [0.6])  # 1/5 − 0.5/5
    assert multi_step_weights(5, 0.96) == pytest.approx([0.008] * 4 + [0.968])
    assert multi_step_weights(5, 0.98) == pytest.approx([0.006] * 4 + [0.976])  # 0.03/5, not 0.004
    assert multi_step_weights(5, 1.0) == pytest.approx([0.006] * 4 + [0.976])


def test_the_multi_step_loss_is_the_weighted_sum() -> None:
    learner, params, episode = tiny("support", inner_steps=3, multi_step_loss=0.4)
    loss, _ = learner.meta_loss(params, episode, {}, progress=0.1)
    losses = []
    support = Support(episode.support_x, episode.support_y)
    for steps in (1, 2, 3):
        shorter = MAML(replace(learner.config, inner_steps=steps), VECTOR, 3)
        logits = shorter.predict(params, adapt(shorter, params, support), episode.query_x)
        losses.append(cross_entropy(logits, episode.query_y))
    weights = multi_step_weights(3, 0.25)
    torch.testing.assert_close(loss, sum(w * t for w, t in zip(weights, losses, strict=True)))
    late, _ = learner.meta_loss(params, episode, {}, progress=0.4)
    torch.testing.assert_close(late, losses[-1])


def test_anil_leaves_the_body_alone() -> None:
    subject = build("anil")
    assert subject.learner.embedding is not None
    x, y, _ = uneven(subject.data, [1, 2, 1])
    h = subject.learner.embed(subject.params, x)
    state = adapt(subject.learner, subject.params, Support(h, y))
    assert state.keys() == {"theta.head.weight", "theta.head.bias"}
    rates = CASES["anil"]().params
    assert not [name for name in rates if name.startswith("rate.")]


def test_an_anil_step_is_a_linear_heads() -> None:
    subject = build("anil")
    assert isinstance(subject.learner, MAML)
    x, y, _ = uneven(subject.data, [1, 2, 1])
    support = Support(subject.learner.embed(subject.params, x), y)
    start = subject.learner.start(subject.params, {}, support, {})
    moved, _ = subject.learner.step(subject.params, start, support)
    weight = subject.params["theta.head.weight"].expand(-1, 3)
    bias = subject.params["theta.head.bias"].expand(3)
    wrong = (torch.softmax(support.x @ weight + bias, dim=1) - y) * (3 / len(y))
    torch.testing.assert_close(moved["theta.head.weight"], weight - 0.05 * support.x.T @ wrong)
    torch.testing.assert_close(moved["theta.head.bias"], bias - 0.05 * wrong.sum(dim=0))


def test_a_fixed_head_with_fewer_classes_is_the_smaller_head() -> None:
    subject = build("maml-support-fixed")
    assert subject.learner.max_way == 5
    x, y, query = uneven(subject.data, [1, 2, 1])
    smaller = MAML(subject.learner.config, IMAGE, 3)
    cut = {n: p[..., :3] if ".head." in n else p for n, p in subject.params.items()}
    wanted = Case(smaller, cut, subject.data).answer(x, y, query)
    answer = subject.answer(x, y, query)
    assert answer.shape == (6, 3)
    torch.testing.assert_close(answer, wanted)


def test_a_shared_head_starts_all_classes_from_one_row() -> None:
    subject = build("maml-task-shared-step")
    assert subject.learner.max_way is None
    assert subject.params["theta.head.weight"].shape == (32, 1)
    x, y, _ = uneven(subject.data, [1] * 7)
    start = subject.learner.stages()[0].init(subject.params, {}, Support(x, y), {})
    assert start["theta.head.weight"].shape == (32, 7)
    assert torch.equal(
        start["theta.head.weight"], subject.params["theta.head.weight"].expand(-1, 7)
    )


def test_more_steps_at_evaluation_than_in_training() -> None:
    subject = build("maml-layer-fixed-step")
    assert subject.learner.stages(training=True)[0].steps == 2
    assert subject.learner.stages()[0].steps == 3
    x, y, _ = uneven(subject.data, [1, 1])
    for training, steps in ((True, 2), (False, 3)):
        state = adapt(subject.learner, subject.params, Support(x, y), training=training)
        assert int(state["step_count"]) == steps


def test_the_norms_scale_and_shift_are_not_adapted() -> None:
    subject = build("maml-support-fixed")
    names = [n for n in subject.params if n.endswith((".gamma", ".beta"))]
    x, y, _ = uneven(subject.data, [1, 1])
    state = adapt(subject.learner, subject.params, Support(x, y))
    assert len(names) == 8
    assert not set(names) & state.keys()


def test_the_same_weights_under_the_query_batchs_statistics() -> None:
    subject = build("maml-support-fixed")
    assert isinstance(subject.learner, MAML)
    other = subject.learner.transductive_form()
    assert other.transductive
    assert not subject.learner.transductive
    x, y, query = uneven(subject.data, [1, 1, 1])
    # queries that are the support set have its statistics
    one = subject.answer(x, y, x)
    torch.testing.assert_close(Case(other, subject.params, subject.data).answer(x, y, x), one)
    apart = Case(other, subject.params, subject.data).answer(x, y, query)
    assert not torch.allclose(apart, subject.answer(x, y, query), atol=1e-3)


def test_support_statistics_are_those_under_the_adapted_weights() -> None:
    subject = build("maml-support-fixed")
    x, y, _ = uneven(subject.data, [2, 1, 1])
    state = adapt(subject.learner, subject.params, Support(x, y))
    theta = {n.removeprefix("theta."): t for n, t in {**subject.params, **state}.items()}
    learner = subject.learner
    assert isinstance(learner, MAML)
    _, wanted = learner.network(theta, x)
    for name, value in wanted.items():
        torch.testing.assert_close(state[f"statistics.{name}"], value)


def test_vmap_and_the_loop_take_the_same_gradient_under_msl() -> None:
    subject = build("maml-support-fixed")
    config = replace(subject.learner.config, multi_step_loss=1.0)
    learner = MAML(config, IMAGE, 5)
    episodes = double_episode(
        sample(subject.data, TaskSize(5, 1, 2), tasks=3, generator=generator())
    )
    params = double(subject.params)
    one, two = (
        meta_gradient(learner, params, tuple(params), episodes, {}, progress=0.3, chunk=chunk)[0]
        for chunk in (1, 3)
    )
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-8, atol=1e-10)


@each(
    ("settings", "text", "hint"),
    [
        ({"inner_steps": 0}, "inner_steps is 0, wanted 1 or more", None),
        ({"evaluation_steps": 0}, "evaluation_steps is 0, wanted 1 or more", None),
        (
            {"head_lr": (0.6, 0.1), "inner_steps": 2},
            "head_lr has 2 values, wanted one",
            'learner.rates = "step" allows as many as learner.inner_steps',
        ),
        (
            {"network": conv4("running")},
            'network.normalisation is "running", but every inner step changes the weights that the'
            " averages are of",
            "set learner.network.normalisation to support, task, group, layer or none",
        ),
        (
            {"adapt_only": "head", "network": conv4("support")},
            'network.normalisation is "support",'
            " but a frozen network embeds each example by itself",
            "set learner.network.normalisation to running, group, layer or none",
        ),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], text: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        MAMLConfig(**settings)
    assert str(caught.value) == text
    assert caught.value.hint == hint


def test_a_centred_head_reads_features_about_their_mean() -> None:
    network = NetworkConfig(filters=8, halving="max", normalisation="none")
    learner = MAML(MAMLConfig(network=network, centred=True, head="shared"), IMAGE, 3)
    data = pictures(classes=200)  # more than one batch
    x = data.as_float(data.x)
    params = learner.prepare(learner.init(generator()), x, data.labels, data.of_domain)
    h, _ = learner.network(part(params, "theta."), x)
    torch.testing.assert_close(params["theta.centre"], h.mean(dim=0))
    logits = learner.predict(params, {}, x[:2])
    about = h[:2] - h.mean(dim=0)
    scaled = 10 * about / about.norm(dim=1, keepdim=True)
    wanted = scaled @ params["theta.head.weight"] + params["theta.head.bias"]
    torch.testing.assert_close(logits, wanted)


def test_the_head_may_have_a_rate_of_its_own() -> None:
    for rates in ("fixed", "coordinate", "step"):
        learner = MAML(MAMLConfig(rates=rates, inner_lr=0.1, head_lr=(7.0,)), IMAGE, 3)
        params = learner.init(generator())
        state = {"step_count": torch.zeros((), dtype=torch.int64)}
        state |= {name: value for name, value in params.items() if name.startswith("theta.")}
        body = learner.rate(params, state, "conv0.weight")
        head = learner.rate(params, state, "head.weight")
        assert float(torch.as_tensor(body).mean()) == pytest.approx(0.1)
        assert float(torch.as_tensor(head).mean()) == pytest.approx(7.0)


def test_the_head_may_have_a_rate_for_every_step() -> None:
    learner = MAML(MAMLConfig(rates="step", inner_steps=2, head_lr=(0.6, 0.1)), IMAGE, 3)
    params = learner.init(generator())
    rates = []
    for count in (0, 1, 2):  # a third step at evaluation takes the second's
        state = {"step_count": torch.tensor(count)}
        rates.append(float(torch.as_tensor(learner.rate(params, state, "head.weight"))))
    assert rates == pytest.approx([0.6, 0.1, 0.1])
    assert params["rate.conv0.weight"].tolist() == pytest.approx([0.1, 0.1])
