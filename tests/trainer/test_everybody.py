"""The cheap rules beside learners of named classes, by hand, and that all see the same queries."""

from __future__ import annotations

import numpy as np
import torch

from handful.trainer.data.domains import DomainSet
from handful.trainer.episodes import Asks, TaskSize, rows_of
from handful.trainer.evaluation.accuracy import without_examples
from handful.trainer.evaluation.everybody import Everybody, _from_head, _infer, _interpolate
from handful.trainer.evaluation.yardsticks import Features
from handful.trainer.learners.classifier import Classifier, ClassifierConfig
from handful.trainer.networks import NetworkConfig

from ..each import each
from .small import WAY, generator, of_persons, vectors

RULES = {
    "everybody's classifier, no examples",
    "class means of everybody's features",
    "class means of h, squared distance",
    "interpolated means of everybody's features",
    "posterior of the means of everybody's features",
    "logistic regression from everybody's head",
}


def everybody(normalisation: str) -> Everybody:
    """A classifier with random weights; its persons for all three parts."""
    data = of_persons(vectors())
    network = NetworkConfig(kind="mlp", hidden=(12,), normalisation=normalisation)  # type: ignore[arg-type]
    learner = Classifier(ClassifierConfig(network=network), data.input, WAY, Asks(named_way=WAY))
    params = learner.init(generator())
    parts = [data.take_domains([d]) for d in (0, 1, 2)]
    own = Features(parts[2], parts[2].x, parts[2].x.mean(dim=0), "h")
    return Everybody(learner, params, parts[0], parts[1], own)


@each("normalisation", ["layer", "running"])
def test_each_rule_answers_every_task(normalisation: str) -> None:
    rules = everybody(normalisation)
    for size in (TaskSize(WAY, 2, 3), TaskSize(WAY, 2, 3, given=2), TaskSize(WAY, 0, 3)):
        found = rules.measure(size, episodes=6, seed=2)
        batch = normalisation == "running" and size.shot
        assert set(found) == RULES | ({"re-estimated normalisation"} if batch else set())
        assert all(values.shape == (6,) for values in found.values())
    # vectors of a class are alike: what learns from two of each is right nearly always
    learnt = rules.measure(TaskSize(WAY, 2, 3), episodes=6, seed=2)
    assert learnt["class means of h, squared distance"].mean() > 0.9
    assert learnt["logistic regression from everybody's head"].mean() > 0.8
    assert learnt["everybody's classifier, no examples"].mean() < 0.7


def test_without_examples_the_same_queries_are_asked() -> None:
    data: DomainSet = of_persons(vectors())
    for size in (TaskSize(WAY, 3, 4), TaskSize(WAY, 3, 4, given=2)):
        with_examples, without = (
            rows_of(data, asked, episodes=5, seed=3) for asked in (size, without_examples(size))
        )
        assert torch.equal(with_examples.query, without.query)
        assert without.support.shape[1] == 0


def test_interpolated_means_by_hand() -> None:
    # class 0 has two examples, mean 2: it moved by 2, and class 1 with half of that
    x = torch.tensor([[[1.0], [3.0]]]).double()
    y = torch.tensor([[[1.0, 0], [1.0, 0]]]).double()
    p = torch.tensor([[0.0], [6.0]]).double()
    query = torch.tensor([[[4.2], [4.4]]]).double()
    scores = _interpolate(x, y, query, p=p, worth=2.0, shift=0.5)
    # c_0 = (2 · (0 + 1) + 4) / 4 = 1.5, c_1 = 6 + 1 = 7: half way between lies 4.25
    assert scores.argmax(dim=2).tolist() == [[0, 1]]


def test_the_posterior_of_the_means_by_hand() -> None:
    # between persons 1/2, within a person's class 1: two examples weigh as much as the prior
    x = torch.tensor([[[1.0], [3.0]]]).double()
    y = torch.tensor([[[1.0, 0], [1.0, 0]]]).double()
    p = torch.tensor([[0.0], [6.0]]).double()
    between, query = torch.tensor([0.5]).double(), torch.tensor([[[2.0], [5.0]]]).double()
    scores = _infer(x, y, query, p=p, between=between, shift=0.0)
    means, variances = torch.tensor([1.0, 6.0]), torch.tensor([1 + 1 / 4, 1 + 1 / 2])
    wanted = -((query[0] - means).square() / variances + variances.log()) / 2
    torch.testing.assert_close(scores[0], wanted.double(), rtol=1e-6, atol=1e-6)


def test_a_weak_regression_stays_with_the_head_and_a_strong_one_with_the_examples() -> None:
    head = torch.tensor([[2.0, 0.0]]).double()
    x = torch.cat([head, torch.tensor([[1.0]]).double()], dim=1)[None]
    y = torch.tensor([[[0.0, 1.0]]]).double()
    for c, wanted in ((1e-4, 0), (100.0, 1)):
        scores = _from_head(x, y, x, c=c, way=2)
        assert scores.argmax(dim=2).tolist() == [[wanted]]
    np.testing.assert_allclose(
        _from_head(x, y, x, c=1e-9, way=2)[0].numpy(), head.numpy(), atol=1e-6
    )
