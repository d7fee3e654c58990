"""Matching networks by hand: cosine attention, and logits that are the logarithms of p(y | x)."""

from __future__ import annotations

import math

import torch

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import adapt, part
from handful.trainer.form.stage import Support
from handful.trainer.learners.matching import (
    SUPPORT,
    Matching,
    MatchingConfig,
    init_context,
    query_in_context,
    support_in_context,
)
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.lstm import lstm
from handful.trainer.parts.memory import best_of_class, log_probability

from ..each import each
from .cases import case
from .small import generator, uneven

IDENTITY = NetworkConfig(kind="mlp", hidden=())
X = torch.tensor([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]])
Y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def matching(**settings: object) -> Matching:
    """A learner on two numbers, embedded as they are."""
    config = MatchingConfig(network=IDENTITY, **settings)  # type: ignore[arg-type]
    return Matching(config, InputSpec(kind="array", shape=(2,)), 5)


def answer(learner: Matching, *query: float) -> torch.Tensor:
    state = adapt(learner, {}, Support(X, Y))
    return learner.predict({}, state, torch.tensor([query]))[0]


def test_the_probabilities_are_the_attention_to_each_class() -> None:
    """Cosines of (5, 0): 0.6 and 0 with the first class, −1 with the second."""
    e = [math.exp(0.6), 1.0, math.exp(-1)]
    wanted = torch.tensor([(e[0] + e[1]) / sum(e), e[2] / sum(e)])
    torch.testing.assert_close(answer(matching(), 5.0, 0.0).exp(), wanted)


def test_the_scale_sharpens_the_attention() -> None:
    e = [math.exp(2 * 0.6), 1.0, math.exp(-2)]
    wanted = torch.tensor([(e[0] + e[1]) / sum(e), e[2] / sum(e)])
    torch.testing.assert_close(answer(matching(scale=2.0), 5.0, 0.0).exp(), wanted)


def test_squared_distances_in_place_of_cosines() -> None:
    """Of (0, 1): 18 and 1 to the first class, 2 to the second."""
    e = [math.exp(-18), math.exp(-1), math.exp(-2)]
    wanted = torch.tensor([(e[0] + e[1]) / sum(e), e[2] / sum(e)])
    torch.testing.assert_close(answer(matching(metric="squared"), 0.0, 1.0).exp(), wanted)


def test_a_probability_that_float32_cannot_hold_still_has_its_logarithm() -> None:
    """At a scale of 1000 the second class has e^−1600 of the first: its logit says so."""
    logits = answer(matching(scale=1000.0), 5.0, 0.0)
    torch.testing.assert_close(logits, torch.tensor([0.0, -1600.0]))


@each("name", ["matching", "matching-squared"])
def test_the_logits_of_a_query_are_log_probabilities(name: str) -> None:
    subject = case(name)
    logits = subject.answer(*uneven(subject.data, [1, 3, 2]))
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(6))


def test_the_loss_is_minus_the_log_probability_of_the_right_class() -> None:
    learner = matching()
    query, right = torch.tensor([[5.0, 0.0], [0.0, 0.1]]), torch.eye(2)
    loss, outcome = learner.meta_loss({}, Episode(X, Y, query, right, torch.arange(2)), {}, 0.0)
    logits = learner.predict({}, adapt(learner, {}, Support(X, Y)), query)
    torch.testing.assert_close(loss, -(logits[0, 0] + logits[1, 1]) / 2)
    assert float(outcome.metrics["accuracy"]) == 0.5


def test_what_the_examples_of_a_class_give_it() -> None:
    scores = torch.tensor([[0.1, 0.7, 0.2]])
    torch.testing.assert_close(best_of_class(scores, Y), torch.tensor([[0.7, 0.2]]))
    torch.testing.assert_close(log_probability(scores.log(), Y).exp(), torch.tensor([[0.8, 0.2]]))


def test_the_support_set_in_its_context_is_what_torchs_lstm_adds() -> None:
    """Both directions and the embedding; only backwards does the last example reach the others."""
    params = init_context(3, generator())
    x = torch.randn(5, 3, generator=generator(1))
    g = support_in_context(params, x)
    states = lstm(part(params, SUPPORT), x)
    torch.testing.assert_close(g, x + states[:, 0] + states[:, 1])
    changed = torch.cat([x[:4], torch.zeros(1, 3)])
    forward, backward = (lstm(part(params, SUPPORT), t) for t in (x, changed))
    torch.testing.assert_close(forward[:4, 0], backward[:4, 0])
    assert bool((forward[:, 1] != backward[:, 1]).all())


def test_a_query_in_its_context_by_hand() -> None:
    """Two steps, with torch's own cell reading [f′, r] and h."""
    params = init_context(3, generator())
    x, g = (torch.randn(n, 3, generator=generator(n)) for n in (4, 5))
    weight, bias = params["query.weight"], params["query.bias"]
    from_x, from_h, from_r = weight[:3], weight[3:6], weight[6:]
    cell = torch.nn.LSTMCell(6, 3).requires_grad_(False)
    i, o, f, z = (torch.arange(3) + 3 * n for n in range(4))
    order = torch.cat([i, f, z, o])
    cell.weight_ih.copy_(torch.cat([from_x, from_r]).T[order])
    cell.weight_hh.copy_(from_h.T[order])
    cell.bias_ih.copy_(bias[order])
    cell.bias_hh.zero_()

    h, c = torch.zeros(4, 3), torch.zeros(4, 3)
    r = g.mean(dim=0).expand(4, 3)
    for _ in range(2):
        hidden, c = cell(torch.cat([x, r], dim=1), (h, c))
        h = hidden + x
        r = torch.softmax(h @ g.T, dim=1) @ g
    torch.testing.assert_close(query_in_context(params, x, g, 2), h)


def test_each_training_task_reads_its_support_set_in_an_order_of_its_own() -> None:
    subject = case("matching-context")
    x, y, query = uneven(subject.data, [2, 2, 2])
    right = torch.eye(3).repeat_interleave(2, dim=0)
    episode = Episode(x, y, query, right, torch.arange(3))
    tasks = Episode(*(torch.stack([t] * 4) for t in episode))
    orders = subject.learner.training_noise(tasks, generator())["order"]
    assert torch.equal(orders.sort(dim=1).values, torch.arange(6).expand(4, 6))
    assert not torch.equal(orders[0], orders[1])
    noise = {"order": orders[0]}
    turned = Episode(x[orders[0]], y[orders[0]], query, right, torch.arange(3))
    loss, wanted = (
        subject.learner.meta_loss(subject.params, task, draws, 0.0)[0]
        for task, draws in ((episode, noise), (turned, {}))
    )
    torch.testing.assert_close(loss, wanted)
    assert not torch.isclose(loss, subject.learner.meta_loss(subject.params, episode, {}, 0.0)[0])
