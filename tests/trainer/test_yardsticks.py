"""What a learner has to beat: each rule by hand, on the features that the learner adapts on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from handful.trainer.episodes import Rows, TaskSize, rows_of
from handful.trainer.evaluation import Features, evaluate, yardsticks
from handful.trainer.evaluation.accuracy import embed_set, features_of
from handful.trainer.evaluation.yardsticks import logistic_regression, nearest_mean, on_tasks
from handful.trainer.form.learner import part
from handful.trainer.parts.features import unit_length

from ..each import each
from .cases import CASES, case
from .small import vectors

RULES = (
    "class means of the features, squared distance",
    "class means of the features, centred, unit length",
    "logistic regression on the features, centred",
)


def rows(*values: list[float]) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


# class 0: mean (4, 0); class 1: mean (0, 1), of two examples each
SUPPORT = rows([3, 0], [5, 0], [-1, 1], [1, 1])
LABELS = torch.eye(2).double().repeat_interleave(2, dim=0)
QUERIES = rows([1, 0.5], [3, 3.5])


def test_class_means_by_squared_distance() -> None:
    scores = nearest_mean(SUPPORT, LABELS, QUERIES)
    # −‖q − c‖² + ‖q‖²: (1, 0.5) is 9.25 and 1.25 away; (3, 3.5) is 13.25 and 15.25
    torch.testing.assert_close(scores, rows([1.25 - 9.25, 0.0], [21.25 - 13.25, 21.25 - 15.25]))
    assert scores.argmax(dim=2).tolist() == [[1, 0]]


def test_logistic_regression_separates_where_a_mean_cannot() -> None:
    """Class 0 has an outlier, which drags its mean past an example of class 1."""
    support = rows([0.2, 1.0], [0.2, -9.0], [-1.0, 0.0], [-1.0, 0.1])
    query = rows([0.2, 1.2])
    assert nearest_mean(support, LABELS, query).argmax(dim=2).tolist() == [[1]]
    assert logistic_regression(support, LABELS, query).argmax(dim=2).tolist() == [[0]]


def test_an_intercept_is_the_weight_of_a_constant_coordinate() -> None:
    """Two classes in one direction from the origin are told apart by an intercept alone."""
    support, query = rows([1.0], [1.0], [3.0], [3.0]), rows([1.5], [2.5])
    assert logistic_regression(support, LABELS, query).argmax(dim=2).tolist() == [[1, 1]]
    constant = torch.full((1, 4, 1), 3.0).double()
    scores = logistic_regression(
        torch.cat([support, constant], 2), LABELS, torch.cat([query, constant[:, :2]], 2)
    )
    assert scores.argmax(dim=2).tolist() == [[0, 1]]


def test_accuracy_on_tasks_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [4.0]])
    # two tasks of two classes, one shot, two queries: x[5] is nearer to the other class's example
    tasks = Rows(
        torch.tensor([[0, 3], [1, 4]]),
        torch.tensor([[0, 1], [0, 1]]),
        torch.tensor([[1, 2, 4, 5], [0, 2, 3, 3]]),
        torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]]),
        torch.tensor([[0, 1], [0, 1]]),
    )
    size = TaskSize(2, 1, 2)
    np.testing.assert_array_equal(on_tasks(nearest_mean, x, size, tasks), [0.75, 1.0])
    monkeypatch.setattr("handful.trainer.evaluation.yardsticks.VALUES", 1)  # one task at a time
    np.testing.assert_array_equal(on_tasks(nearest_mean, x, size, tasks), [0.75, 1.0])


def test_centred_features_are_less_the_centre_and_of_one_length() -> None:
    features = Features(
        vectors(), torch.tensor([[4.0, 5.0], [1.0, 3.0]]), torch.tensor([1.0, 1.0]), "h"
    )
    wanted = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    torch.testing.assert_close(features.centre_features(), wanted)
    # for logistic regression of length 3, with a constant as long
    intercept = torch.tensor([[3.0], [3.0]])
    torch.testing.assert_close(features.for_regression(), torch.cat([3 * wanted, intercept], 1))


def compared(name: str, size: TaskSize, episodes: int = 12) -> dict[str, tuple[float, float]]:
    """What evaluate sets beside a case's learner: name → accuracy, difference."""
    subject = case(name)
    data = embed_set(subject.learner, subject.params, subject.data)
    features = features_of(
        subject.learner, subject.params, subject.data, subject.data.as_float(subject.data.x[:40])
    )
    result = evaluate(
        subject.learner, subject.params, data, size, episodes=episodes, seed=5, yardsticks=features
    )
    for other in result.compared:  # one is the other's complement: they are paired
        assert other.difference == pytest.approx(result.value - other.value)
    return {other.name: (other.value, other.difference) for other in result.compared}


def test_rules_come_first_then_the_steps_in_order() -> None:
    assert tuple(compared("leo", TaskSize(5, 2, 3))) == (
        *RULES,
        "0 of 4 inner steps",
        "1 of 4 inner steps",
        "2 of 4 inner steps",
        "3 of 4 inner steps",
    )
    assert tuple(compared("prototypical", TaskSize(5, 2, 3))) == RULES


def test_without_features_nothing_is_compared() -> None:
    subject = case("nearest")
    data = embed_set(subject.learner, subject.params, subject.data)
    assert evaluate(subject.learner, {}, data, TaskSize(5, 1, 3), episodes=2, seed=0).compared == ()


def test_a_prototypical_network_is_its_own_first_yardstick() -> None:
    accuracy, difference = compared("prototypical", TaskSize(20, 2, 4))[RULES[0]]
    assert difference == 0.0
    assert 0.1 < accuracy < 1.0


def test_yardsticks_see_the_tasks_of_the_seed() -> None:
    subject, size = case("nearest"), TaskSize(4, 1, 3)
    features = features_of(subject.learner, {}, subject.data, subject.data.x[:9])
    first, again, other = (
        yardsticks.yardsticks(features, size, rows_of(subject.data, size, episodes=6, seed=seed))
        for seed in (1, 1, 2)
    )
    assert {name: list(a) for name, a in first.items()} == {n: list(a) for n, a in again.items()}
    assert any(list(first[name]) != list(other[name]) for name in first)


@each("name", sorted(CASES))
def test_yardsticks_read_every_learners_features_one_by_one(name: str) -> None:
    subject = case(name)
    sample, x = (subject.data.as_float(subject.data.x[at]) for at in (slice(80, 120), slice(12)))
    learner, params = subject.learner, subject.params
    features = learner.yardstick_features(params, x, sample)
    assert features.shape[0] == 12
    assert features.ndim == 2
    alone = torch.cat([learner.yardstick_features(params, one, sample) for one in x[:, None]])
    torch.testing.assert_close(features, alone, rtol=1e-4, atol=1e-5)


def test_leos_features_are_those_before_its_own_centring() -> None:
    for name in ("leo", "leo-pictures"):
        subject = case(name)
        x = subject.data.as_float(subject.data.x[:10])
        features = subject.learner.yardstick_features(subject.params, x, x)
        centred = unit_length(unit_length(features) - subject.params["centre"])
        torch.testing.assert_close(subject.learner.embed(subject.params, x), centred)
        assert float((features.norm(dim=1) - 1).abs().max()) > 0.1  # not of unit length themselves


def test_mamls_features_are_what_its_head_reads_at_the_start() -> None:
    subject = case("maml-none-fixed-coordinate")
    learner, params = subject.learner, subject.params
    x = subject.data.as_float(subject.data.x[:10])
    h = learner.yardstick_features(params, x, x)
    theta = part(params, "theta.")
    logits, _ = learner.logits(theta, x, None)  # type: ignore[attr-defined]
    torch.testing.assert_close(h @ theta["head.weight"] + theta["head.bias"], logits)
