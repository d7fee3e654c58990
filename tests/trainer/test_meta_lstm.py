"""Meta-Learner LSTM: the pre-processing and the rule by hand, the layer against torch's LSTM."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from handful.trainer.episodes import Asks
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners.meta_lstm import (
    MetaLSTM,
    MetaLSTMConfig,
    cells,
    preprocess,
    update,
)
from handful.trainer.networks import NetworkConfig
from handful.trainer.operations.normalise import Statistics
from handful.trainer.settings.errors import ConfigError, SettingError
from handful.trainer.training.config import from_toml

from ..each import each
from .cases import case
from .small import IMAGE, VECTOR, double, generator, uneven


def test_the_preprocessing_by_hand() -> None:
    x = torch.tensor([1.0, -math.exp(-5), math.exp(-10), -math.exp(-11), 0.0, 5.0])
    wanted = [
        [0.0, 1.0], [-0.5, -1.0], [-1.0, 1.0], [-1.0, -math.exp(-1)], [-1.0, 0.0],
        [math.log(5) / 10, 1.0],
    ]  # fmt: skip
    torch.testing.assert_close(preprocess(x, 10.0), torch.tensor(wanted))


class Scalar(MetaLSTM):
    """f_θ(x) = θ, a single number, whatever the example: everything else is the learner's own."""

    def logits(
        self, theta: Tensors, x: Tensor, statistics: Statistics | None
    ) -> tuple[Tensor, Statistics]:
        return theta["head.bias"].expand(len(x), 1), {}


def test_two_steps_of_the_rule_by_hand() -> None:
    """A regression, L = (θ − 3)², with h = 0: f reads θ, i its own last value."""
    network = NetworkConfig(kind="mlp", hidden=(1,), normalisation="none")
    config = MetaLSTMConfig(network=network, hidden=3, inner_steps=2)
    learner = Scalar(config, VECTOR, 5, Asks(targets=1))
    params = {n: torch.zeros_like(p) for n, p in learner.init(generator()).items()}
    params["theta.head.bias"] = torch.tensor([1.0])
    params["gates.weight"][-2] = torch.tensor([2.0, 0.0])  # of θ: f reads it
    params["gates.weight"][-1] = torch.tensor([0.0, -3.0])  # of the gate itself: i reads it
    params["gates.bias"] = torch.tensor([0.5, 1.0])
    seen: list[list[float]] = []
    adapt(
        learner,
        params,
        Support(torch.zeros(1, 3), torch.tensor([[3.0]])),
        observe=lambda stage, i, t: seen.append(
            [*t["head"][-1].tolist(), *t["head.gates"][-1, 0].tolist()] if stage == "inner" else []
        ),
    )

    def sigma(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    # ∇ = 2 (θ − 3); f = 2 θ + ½ and i = −3 i + 1, both before σ, from i = 0
    first = sigma(2.5) * 1 - sigma(1.0) * 2 * (1 - 3)
    second = sigma(2 * first + 0.5) * first - sigma(-2.0) * 2 * (first - 3)
    by_hand = [[1.0, 0.0, 0.0], [first, 2.5, 1.0], [second, 2 * first + 0.5, -2.0]]
    torch.testing.assert_close(torch.tensor(seen[:3]), torch.tensor(by_hand))


def test_the_first_layer_is_torchs_lstm_on_every_coordinate() -> None:
    subject = case("meta-lstm-shared")
    params, hidden = double(subject.params), 6
    layer = torch.nn.LSTMCell(4, hidden, dtype=torch.float64)
    weight = params["lstm.weight"].detach()
    # torch's gates stand in the same order: enter, forget, candidate, leave
    order = torch.cat([torch.arange(hidden) + hidden * k for k in (0, 1, 3, 2)])
    with torch.no_grad():
        layer.weight_ih.copy_(weight[:4].T[order])
        layer.weight_hh.copy_(weight[4:].T[order])
        layer.bias_ih.copy_(params["lstm.bias"][order])
        layer.bias_hh.zero_()
    x, y, _ = (t.double() for t in uneven(subject.data, [2, 1]))
    state = adapt(subject.learner, params, Support(x, y))
    before = cells(state, "body")
    draw = generator(4)
    gradient = torch.randn(before.theta.shape, generator=draw, dtype=torch.float64)
    loss = torch.tensor(0.7).double()
    after = update(params, before, gradient, loss, 7.0)
    features = torch.cat(
        [preprocess(gradient, 7.0), preprocess(loss, 7.0).expand(len(gradient), 2)], dim=1
    )
    h, c = layer(features, (before.hidden, before.cell))
    torch.testing.assert_close(after.hidden, h.detach())
    torch.testing.assert_close(after.cell, c.detach())


def test_every_coordinate_keeps_a_state_of_its_own() -> None:
    """Another gradient at one coordinate changes that coordinate alone."""
    subject = case("meta-lstm-shared")
    x, y, _ = uneven(subject.data, [2, 1])
    before = cells(adapt(subject.learner, subject.params, Support(x, y)), "head")
    gradient = torch.randn(before.theta.shape, generator=generator(1))
    other = gradient.clone()
    other[3, 1] += 1.0
    loss = torch.tensor(0.7)
    one, two = (update(subject.params, before, g, loss, 7.0) for g in (gradient, other))
    for left, right in zip(one, two, strict=True):
        changed = (left != right).reshape(*before.theta.shape, -1).any(dim=-1)
        assert changed.nonzero().tolist() == [[3, 1]]


def test_the_body_and_the_head_come_back_under_their_names() -> None:
    subject = case("meta-lstm")
    learner, params = subject.learner, subject.params
    assert isinstance(learner, MetaLSTM)
    support = Support(torch.rand(4, *IMAGE.shape), torch.eye(4))
    state = learner.start(params, {}, support, {})
    theta = learner.theta(params, state)
    assert {f"theta.{name}" for name in theta} == {n for n in params if n.startswith("theta.")}
    for name, value in theta.items():
        assert torch.equal(value, learner.columns(name, params[f"theta.{name}"], support))


def test_no_gradient_passes_through_the_gradient() -> None:
    """With f = 1 and i of a constant, dθ′/dc₀ is 1: ∇ depends on c₀ and is taken as a number."""
    subject = case("meta-lstm-shared")
    learner, params = subject.learner, dict(subject.params)
    params["gates.weight"] = torch.zeros_like(params["gates.weight"])
    params["gates.bias"] = torch.tensor([50.0, 0.0])
    start = params["theta.dense0.beta"].clone().requires_grad_()
    x, y, _ = uneven(subject.data, [2, 1])
    state = adapt(learner, {**params, "theta.dense0.beta": start}, Support(x, y))
    assert isinstance(learner, MetaLSTM)
    beta = learner.theta(params, state)["dense0.beta"]
    (slope,) = torch.autograd.grad(beta.sum(), start)
    assert torch.equal(slope, torch.ones_like(slope))
    assert not torch.allclose(beta, start)


def test_where_it_starts() -> None:
    network = NetworkConfig(kind="mlp", hidden=(32,), normalisation="layer")
    learner = MetaLSTM(MetaLSTMConfig(network=network), VECTOR, 5)
    params = learner.init(generator())
    assert params["lstm.weight"].shape == (24, 80)
    assert params["gates.weight"].shape == (22, 2)
    for name in ("lstm.weight", "lstm.bias", "gates.weight"):
        assert 0.008 < params[name].abs().max() <= 0.01
    forget, enter = params["gates.bias"].tolist()
    assert (4 <= forget <= 5, -5 <= enter <= -4) == (True, True)


def test_what_is_too_large_is_refused() -> None:
    network = NetworkConfig(kind="mlp", hidden=(3000, 1200), normalisation="none")
    with pytest.raises(SettingError) as caught:
        MetaLSTM(MetaLSTMConfig(network=network), VECTOR, 5)
    assert str(caught.value) == (
        "learner.network has 3619205 weights, and a state of learner.hidden = 20 numbers for each,"
        " wanted at most 67108864 in all"
    )
    assert caught.value.hint == "set fewer learner.network.filters, or smaller hidden layers"


@each(
    ("settings", "message"),
    [
        ("network.normalisation = 'running'",
         'mine.toml: learner.network.normalisation is "running", but every inner step changes the'
         " weights that the averages are of"),
        ("p = 0", "mine.toml: learner.p is 0.0, wanted more than 0"),
    ],
)  # fmt: skip
def test_what_is_refused(settings: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_toml(f"[learner]\nname = 'meta-lstm'\n{settings}", where="mine.toml")
    assert str(caught.value) == message
