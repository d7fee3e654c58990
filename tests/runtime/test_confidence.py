"""The confidence of a task: temperature, thresholds, sets; by hand, and between measured sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.confidence import Sizes, score, softmax
from handful.runtime.errors import AdaptError

from ..each import each
from .confident import entry, grid, sure

NEAR, FAR = [1.0, 0, 0, 0], [0, 4.0, 0, 0]  # class means, at 0 from themselves


@pytest.fixture
def folder(packages: Any, tmp_path: Path) -> Path:
    """A copy of the package `prototypes`, whose logits are −‖x − c‖²."""
    folder: Path = packages.copy("prototypes", tmp_path)
    return folder


def task_of(learner: handful.Learner) -> handful.Task:
    return learner.adapt({"near": [NEAR], "far": [FAR]})


def at(x: float) -> list[float]:
    """A query at the distance |x − 1| from `near`."""
    return [float(x), 0, 0, 0]


def refused(call: Any, words: str, hint: str) -> None:
    with pytest.raises(AdaptError) as error:
        call()
    assert (str(error.value), error.value.hint) == (words, hint)


def test_what_is_too_far_from_every_class_is_none_of_them(folder: Path) -> None:
    task = task_of(sure(folder, grid()))  # at 10 % the square of the distance is less than 4
    assert task.predict(at(2.9), unknown=0.1) == "near"
    assert task.predict(at(3.1), unknown=0.1) is None
    assert task.predict(at(3.1)) == "near"
    assert task.predict(at(2.1), unknown=0.01) is None
    assert task.predict([at(2.9), at(3.1)], unknown=0.1) == ["near", None]
    assert task.predict(at(3.1), unknown=0.1, unknown_label="other") == "other"
    none: Any = np.zeros((0, 4), np.float32)
    assert task.predict(none, unknown=0.1) == []


def test_between_two_rates_a_threshold_is_linear_in_their_logarithm(folder: Path) -> None:
    sizes = Sizes(sure(folder, grid()).manifest)
    between = sizes.thresholds(np.sqrt(0.01 * 0.1), np.ones(2))  # halfway from −1 to −4
    np.testing.assert_allclose(between, -2.5, rtol=1e-12)


def test_between_sizes_it_is_linear_in_log_way_and_in_one_over_shot(folder: Path) -> None:
    scores = {(2, 1): -8.0, (2, 4): -4.0, (8, 1): -6.0, (8, 4): -2.0}
    entries = [entry(*size, scores=(s, s - 1, s - 2)) for size, s in scores.items()]
    sizes = Sizes(sure(folder, entries).manifest)

    def threshold(way: int, shot: int) -> float:
        found = sizes.thresholds(0.01, np.full(way, shot))
        assert (found == found[0]).all()
        return float(found[0])

    assert {size: threshold(*size) for size in scores} == scores
    assert threshold(4, 1) == pytest.approx(-7)  # log 4 is halfway from log 2 to log 8
    assert threshold(2, 2) == pytest.approx(-8 + 4 * 2 / 3)  # 1/2 is two thirds of 1 to 1/4
    assert threshold(4, 2) == pytest.approx(-7 + 4 * 2 / 3)
    assert threshold(2, 100) == -4  # as at the most examples that were measured
    assert threshold(16, 1) == pytest.approx(-5)  # continued to twice the most classes


def test_a_class_has_the_threshold_of_its_own_shots(folder: Path) -> None:
    entries = [
        entry(way, shot, scores=(-2.0 * shot, -2.0 * shot - 1, -20.0))
        for way in (2, 8)
        for shot in (1, 4)
    ]
    learner = sure(folder, entries)
    sizes = Sizes(learner.manifest)
    np.testing.assert_allclose(sizes.thresholds(0.01, np.array([1, 4])), [-2, -8])
    task = learner.adapt({"near": [NEAR], "far": [FAR] * 4})
    assert task.predict(at(3.0), unknown=0.01) is None  # 4 from `near`, which may be 2
    assert task.predict([0, 6.0, 0, 0], unknown=0.01) == "far"  # 4 from `far`, which may be 8


def test_the_score_may_have_a_share_of_the_other_logits_taken_off(folder: Path) -> None:
    learner = sure(folder, grid(others=0.5))
    task = task_of(learner)
    logits = task.logits(at(2.0))  # −1 to `near`, −20 to `far`
    np.testing.assert_array_equal(logits, [-1, -20])
    assert float(Sizes(learner.manifest).score(logits)) == -1 + 0.5 * 20


def test_probabilities_are_at_the_temperature_and_logits_are_not(folder: Path) -> None:
    entries = [
        entry(way, shot, temperature=t) for way, t in ((2, 4.0), (8, 1.0)) for shot in (1, 4)
    ]
    task = task_of(sure(folder, entries))
    np.testing.assert_array_equal(task.logits(at(2.0)), [-1, -20])
    expected = 1 / (1 + np.exp(-19 / 4))
    np.testing.assert_allclose(task.predict_proba(at(2.0))[0], expected, rtol=1e-6)
    four = task.add({"third": [at(9)], "fourth": [at(-9)]})  # 4 classes: the temperature is 2
    np.testing.assert_allclose(
        four.predict_proba(at(2.0)), softmax(four.logits(at(2.0)) / np.float32(2)), rtol=1e-5
    )


def test_probabilities_and_sets_are_those_of_the_fewest_examples(folder: Path) -> None:
    entries = [
        entry(way, shot, temperature=5.0 - shot, least=(0.9 - shot / 10, 0.2))
        for way in (2, 8)
        for shot in (1, 4)
    ]
    sizes = Sizes(sure(folder, entries).manifest)
    for fewest, temperature, least in ((1, 4.0, 0.8), (4, 1.0, 0.5)):
        shots = np.array([4, fewest])
        assert sizes.temperature(shots) == pytest.approx(temperature)
        assert sizes.probability(0.9, shots) == pytest.approx(least)


def test_a_set_holds_the_labels_above_its_probability_and_always_the_likeliest(
    folder: Path,
) -> None:
    task = task_of(sure(folder, grid(least=(0.9, 0.3))))
    doubtful = [0.5, 2.0, 0, 0]  # as far from either: 4.25
    assert task.predict_proba(doubtful).tolist() == [0.5, 0.5]
    assert task.predict_set(doubtful, coverage=0.99) == ("near", "far")
    assert task.predict_set(doubtful, coverage=0.9) == ("near",)
    assert task.predict_set([NEAR, FAR], coverage=0.99) == [("near",), ("far",)]
    halfway = 1 - np.sqrt(0.1 * 0.01)  # of what is left out, the logarithm counts
    assert Sizes(task.learner.manifest).probability(halfway, np.ones(2)) == pytest.approx(0.6)


def test_samples_are_scored_by_their_mean(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("head", tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1), np.uint8)

    def sampled(middle: float) -> handful.Task:
        learner = sure(folder, grid(scores=(middle + 1, middle, middle - 1)))
        rng = np.random.default_rng(1)
        return learner.adapt(images, ["a", "b", "a", "b"], samples=3, rng=rng)

    task = sampled(0)
    learner = task.learner
    h = learner._engine.embed((images / 255).astype(np.float32))
    scores = np.mean([learner._engine.predict(s, h).max(axis=1) for s in task._states], axis=0)
    answers = sampled(float(np.median(scores))).predict(list(images), unknown=0.1)
    known = [label is not None for label in answers]
    assert known == (scores > np.median(scores)).tolist()
    assert sum(known) == 2
    proba = np.mean([softmax(learner._engine.predict(s, h)) for s in task._states], axis=0)
    np.testing.assert_allclose(np.exp(task.logits(images)), proba, rtol=1e-4)


def test_a_package_without_thresholds_says_so(folder: Path) -> None:
    task = task_of(handful.load(folder))
    words = "package prototypes has no measured confidence"
    hint = (
        "task.with_negatives(others) makes thresholds for unknown queries, as"
        " `handful adapt --others FOLDER` does; `handful export` and"
        " `handful photos --others FOLDER` measure them"
    )
    refused(lambda: task.predict(NEAR, unknown=0.05), words, hint)
    refused(lambda: task.predict_set(NEAR), words, hint)
    np.testing.assert_allclose(task.predict_proba(NEAR), softmax(task.logits(NEAR)))


@each("rate", [0.001, 0.6, 5, -1, float("nan"), True, "5%", [0.05]])
def test_a_rate_that_is_not_offered_is_refused(folder: Path, rate: Any) -> None:
    task = task_of(sure(folder, grid()))
    refused(
        lambda: task.predict(NEAR, unknown=rate),
        f"unknown is {rate!r}, package prototypes has 0.01 to 0.5",
        "give a share, as unknown=0.1",
    )
    refused(
        lambda: task.predict_set(NEAR, coverage=rate),
        f"coverage is {rate!r}, package prototypes has 0.9 to 0.99",
        "give a share, as coverage=0.99",
    )


def test_far_beyond_the_measured_classes_nothing_is_promised(folder: Path) -> None:
    learner = sure(folder, grid())
    task = learner.adapt({f"class {i}": [at(i)] for i in range(17)})
    refused(
        lambda: task.predict(NEAR, unknown=0.1),
        "the thresholds of package prototypes were measured with 2 to 8 classes, the task has 17",
        "they are continued up to 16 classes",
    )
    assert task.remove("class 16").predict(NEAR, unknown=0.1) == "class 1"
    assert task.predict_proba(NEAR).shape == (17,)


def test_a_label_for_unknown_needs_a_rate_and_regressions_have_neither(
    folder: Path, packages: Any
) -> None:
    task = task_of(sure(folder, grid()))
    words, hint = "unknown_label alone", "give both: unknown=0.05, unknown_label=…"
    refused(lambda: task.predict(NEAR, unknown_label="other"), words, hint)
    one = [1.0, 0.0]
    line = handful.load(packages("line")).adapt([one, [0.0, 1.0]], [[1.0], [2.0]])
    refused(lambda: line.predict(one, unknown_label="other"), words, hint)
    hint = "predict gives a regression task's outputs"
    refused(lambda: line.predict(one, unknown=0.1), "unknown on a regression task", hint)
    refused(lambda: line.predict_set(one), "predict_set on a regression task", hint)
    refused(lambda: line.with_negatives([one]), "with_negatives on a regression task", hint)


def test_the_score_of_one_class_is_its_logit() -> None:
    assert score(np.array([[3.0]]), 1.0).tolist() == [3.0]
    assert score(np.array([[3.0, 1.0, 2.0]]), 1.0).tolist() == [1.5]
