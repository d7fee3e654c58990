"""Ridge regression by hand, against a factorisation, and its meta-gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners.ridge import (
    CONDITION,
    LEAST_RIDGE,
    LENGTH_FLOOR,
    MOST,
    Ridge,
    RidgeConfig,
)

from ..each import each
from .cases import case, on_features
from .small import double, generator, uneven

LINE = InputSpec(kind="array", shape=(1,))


def plain(ridge: float, intercept: float, spec: InputSpec = LINE) -> tuple[Ridge, Tensors]:
    """Features as they are, logits unscaled, λ and β as given."""
    learner = Ridge(RidgeConfig(metric="euclidean"), spec, 5)
    params = learner.init(generator())
    params |= {"log_scale": torch.tensor(0.0), "intercept": torch.tensor(intercept)}
    params["log_ridge"] = torch.tensor(math.log(ridge - LEAST_RIDGE))
    return learner, params


def test_two_examples_by_hand() -> None:
    # x = 1 and −1, classes 0 and 1: v = 1, K = [[1, −1], [−1, 1]], λ u = 2; K + 2 I has the inverse
    # [[3, 1], [1, 3]] / 8, so w = Xᵀ A = (¼, −¼)
    learner, params = plain(ridge=2.0, intercept=0.0)
    support = Support(torch.tensor([[1.0], [-1.0]]), torch.eye(2))
    state = adapt(learner, params, support)
    torch.testing.assert_close(state["w"], torch.tensor([[0.25], [-0.25]]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state["b"], torch.zeros(2))
    logits = learner.predict(params, state, torch.tensor([[3.0]]))
    torch.testing.assert_close(logits, torch.tensor([[0.75, -0.75]]), rtol=1e-5, atol=1e-5)


def test_centred_with_class_means_by_hand() -> None:
    # features 3, 5 and 8 of classes 0, 0 and 1: the class means' mean is a = (4 + 8) / 2 = 6, so
    # x = −3, −1, 2; u(m(h) − a/2) is the sign of h − 3: 0, 1 and 1, so c = (½, 1); K = 3 / 2
    learner = Ridge(RidgeConfig(metric="euclidean", centre_support=True, class_means=0.5), LINE, 5)
    params = {**learner.init(generator()), "log_scale": torch.tensor(0.0)}
    support = Support(torch.tensor([[3.0], [5.0], [8.0]]), torch.eye(2)[[0, 0, 1]])
    state = adapt(learner, params, support)
    torch.testing.assert_close(state["a"], torch.tensor([6.0]))
    torch.testing.assert_close(state["c"], torch.tensor([[0.5], [1.0]]))
    plain = Ridge(RidgeConfig(metric="euclidean"), LINE, 5)
    moved = adapt(plain, params, Support(support.x - 6, support.y))
    query = torch.tensor([[1.0], [10.0]])  # u of them: −1 and 1
    squares = torch.tensor([[2.25, 4.0], [0.25, 0.0]])
    wanted = plain.predict(params, moved, query - 6) - 0.5 * squares / (1 + 2 / 3)
    torch.testing.assert_close(learner.predict(params, state, query), wanted, rtol=1e-4, atol=1e-5)


@each("name", ["ridge", "ridge-learned"])
def test_it_is_the_solution_of_the_normal_equations(name: str) -> None:
    """w = argmin Σ ‖⟨x, w⟩ − y‖² + λ u ‖w‖² over examples with a constant coordinate β √v."""
    subject = case(name)
    learner, params = subject.learner, double(subject.params)
    raw, y, query = (t.double() for t in uneven(subject.data, [1, 3, 2, 5]))
    h, q = learner.embed(params, raw), learner.embed(params, query)
    state = adapt(learner, params, Support(h, y))
    assert isinstance(learner, Ridge)
    x, tested = learner.apply_metric(params, h), learner.apply_metric(params, q)
    v = (x * x).sum(dim=1).mean() + LENGTH_FLOOR
    constant = (params["intercept"] * v.sqrt()).expand(len(x), 1)
    x = torch.cat([x, constant], dim=1)
    ridge = (params["log_ridge"].exp() + LEAST_RIDGE) * (1 + params["intercept"] ** 2) * v
    w = torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1]), x.T @ y)
    wanted = torch.cat([tested, constant[:1].expand(len(tested), 1)], dim=1) @ w
    found = learner.predict(params, state, q)
    torch.testing.assert_close(found, params["log_scale"].exp() * wanted, rtol=1e-5, atol=1e-6)


def test_the_condition_is_bounded_for_any_features() -> None:
    """‖A‖_F ≤ CONDITION · λ u at the most examples, all equal, and with the least λ."""
    size = torch.tensor(float(MOST))
    for beta in (0.0, 1.0, 30.0):
        u = 1 + beta**2  # examples of length one, all the same: K + (β √v)² = u everywhere
        largest = torch.stack([size * u + LEAST_RIDGE * u, (size - 1).sqrt() * LEAST_RIDGE * u])
        assert float(largest.norm()) <= CONDITION * LEAST_RIDGE * u * (1 + 1e-6)


def test_the_intercept_tells_apart_what_one_direction_cannot() -> None:
    support = Support(
        torch.tensor([[1.0], [1.2], [3.0], [3.2]]), torch.eye(2).repeat_interleave(2, 0)
    )
    query = torch.tensor([[1.5], [2.9]])
    for beta, wanted in ((0.0, [1, 1]), (3.0, [0, 1])):
        learner, params = plain(ridge=0.01, intercept=beta)
        state = adapt(learner, params, support)
        assert learner.predict(params, state, query).argmax(dim=1).tolist() == wanted


def test_the_meta_gradient_is_that_of_central_differences() -> None:
    subject = case("ridge")
    assert set(subject.trainable) == {"log_scale", "log_ridge", "intercept"}
    params = double(subject.params)
    raw, y, query = (t.double() for t in uneven(subject.data, [2, 1, 3]))
    episode = Episode(raw, y, query, torch.eye(3).double().repeat_interleave(2, 0), torch.arange(3))

    def loss(changed: Tensors) -> Tensor:
        return subject.learner.meta_loss({**params, **changed}, episode, {}, 0.0)[0]

    gradient = torch.func.grad(loss)({name: params[name] for name in subject.trainable})
    for name in subject.trainable:
        up, down = (loss({name: params[name] + step}) for step in (1e-5, -1e-5))
        torch.testing.assert_close(gradient[name], (up - down) / 2e-5, rtol=1e-5, atol=1e-9)


def test_a_network_is_trained_through_the_solution() -> None:
    """The gradient of the features is not that of a solution held fixed: it goes through both."""
    subject = case("ridge-learned")
    learner, params = subject.learner, double(subject.params)
    raw, y, query = (t.double() for t in uneven(subject.data, [2, 2, 2]))
    episode = Episode(raw, y, query, torch.eye(3).double().repeat_interleave(2, 0), torch.arange(3))
    name = "embed.dense0.weight"
    assert name in subject.trainable

    def loss(weight: Tensor) -> Tensor:
        return learner.meta_loss({**params, name: weight}, episode, {}, 0.0)[0]

    weight = params[name].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(weight), weight)
    step = torch.zeros_like(weight)
    step[2, 3] = 1e-6
    difference = (loss(params[name] + step) - loss(params[name] - step)) / 2e-6
    torch.testing.assert_close(gradient[2, 3], difference, rtol=1e-4, atol=1e-8)
    _, outcome = learner.meta_loss(params, episode, {}, 0.0)
    assert {n for n in outcome.buffers} == {n for n in params if ".running_" in n}


def test_features_of_zeros_have_a_solution() -> None:
    learner, params = plain(ridge=0.1, intercept=1.0)
    state = adapt(learner, params, Support(torch.zeros(3, 1), torch.eye(3)))
    assert all(bool(value.isfinite().all()) for value in state.values())


def test_a_whitened_metric_serves_as_well() -> None:
    subject = on_features("ridge", metric="within")
    x, y, query = uneven(subject.data, [2, 2, 2], queries=4)
    right = subject.answer(x, y, query).argmax(dim=1) == torch.arange(3).repeat_interleave(4)
    assert float(right.double().mean()) > 0.8
