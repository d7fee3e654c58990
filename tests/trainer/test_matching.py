"""Matching networks by hand: cosine attention, and logits that are the logarithms of p(y | x)."""

from __future__ import annotations

import math

import pytest
import torch

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.learners import Support, adapt
from handful.trainer.learners.matching import Matching, MatchingConfig
from handful.trainer.learners.memory import best_of_class, log_probability
from handful.trainer.networks import NetworkConfig

from .small import case, uneven

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


@pytest.mark.parametrize("name", ["matching", "matching-squared"])
def test_the_logits_of_a_query_are_log_probabilities(name: str) -> None:
    subject = case(name)
    logits = subject.answer(*uneven(subject.data, [1, 3, 2]))
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(6))


def test_the_loss_is_minus_the_log_probability_of_the_right_class() -> None:
    learner = matching()
    query, right = torch.tensor([[5.0, 0.0], [0.0, 0.1]]), torch.eye(2)
    loss, outcome = learner.meta_loss({}, Episode(X, Y, query, right), {}, 0.0)
    logits = learner.predict({}, adapt(learner, {}, Support(X, Y)), query)
    torch.testing.assert_close(loss, -(logits[0, 0] + logits[1, 1]) / 2)
    assert float(outcome.metrics["accuracy"]) == 0.5


def test_what_the_examples_of_a_class_give_it() -> None:
    scores = torch.tensor([[0.1, 0.7, 0.2]])
    torch.testing.assert_close(best_of_class(scores, Y), torch.tensor([[0.7, 0.2]]))
    torch.testing.assert_close(log_probability(scores.log(), Y).exp(), torch.tensor([[0.8, 0.2]]))
