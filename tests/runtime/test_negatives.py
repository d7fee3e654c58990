"""Examples of none of the classes: they reject what is like them, and raise the thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.confidence import Sizes
from handful.runtime.errors import AdaptError, SupportSetError, TaskFileError
from handful.runtime.package.npz import pack_npz

from ..each import each
from . import edit
from .confident import grid, sure

NEAR, FAR = [1.0, 0, 0, 0], [0, 4.0, 0, 0]
BETWEEN = [2.0, 0, 0, 0]  # at 1 from `near`, and 20 from `far`


@pytest.fixture
def learner(packages: Any, tmp_path: Path) -> handful.Learner:
    """Class means whose thresholds are −1 at 1 %, −4 at 10 % and −9 at 50 %."""
    return sure(packages.copy("prototypes", tmp_path), grid())


@pytest.fixture
def task(learner: handful.Learner) -> handful.Task:
    return learner.adapt({"near": [NEAR], "far": [FAR]})


def thresholds(task: handful.Task) -> Any:
    """At 10 %."""
    assert task._negatives is not None
    return task._negatives.thresholds(Sizes(task.learner.manifest), 0.1, task._shots)


def _passed(task: handful.Task) -> Any:
    """The scores of the negatives that the others do not reject."""
    given = task._negatives
    assert given is not None
    return Sizes(task.learner.manifest).score(given.logits[0])[given.passes]


def test_a_query_that_is_most_like_a_negative_is_none_of_the_classes(task: handful.Task) -> None:
    query = [1.6, 0, 0, 0]  # at 0.36 from `near`, at 0.16 from the negative
    assert task.predict(query, unknown=0.1) == "near"
    with_one = task.with_negatives([BETWEEN])
    assert with_one.predict(query, unknown=0.1) is None
    assert with_one.predict([1.4, 0, 0, 0], unknown=0.1) == "near"
    assert with_one.predict([query, NEAR], unknown=0.1) == [None, "near"]
    assert with_one.predict(query) == "near"  # only `unknown` reads them
    assert with_one.classes == task.classes


def test_thresholds_are_raised_by_how_high_negatives_score(task: handful.Task) -> None:
    # scores −1, −1 and −4: the first two are most like each other and are rejected without help
    given = task.with_negatives([BETWEEN, [2.0, 0, 0, 0.1], [1.0, 0, 2.0, 0]])
    np.testing.assert_array_equal(_passed(given), [-4])
    # 1 of 3 passes: with the prior of 2 a share of 3/5, so the rate is 0.1 / 0.6; the median −4 is
    # 5 above the usual middle, of which 1 / (1 + 2) counts
    at = -4 - 5 * np.log(0.1 / 0.6 / 0.1) / np.log(5)
    np.testing.assert_allclose(thresholds(given), at + 5 / 3)


def test_a_threshold_is_never_lowered(task: handful.Task) -> None:
    far_off = [[0, 0, 90.0 + 10 * i, 0] for i in range(5)]  # all rejected or scored far below
    given = task.with_negatives(far_off)
    np.testing.assert_array_equal(thresholds(given), [-4, -4])
    twins = task.with_negatives([BETWEEN, BETWEEN])  # none of them passes
    np.testing.assert_array_equal(thresholds(twins), [-4, -4])


def test_added_classes_and_more_negatives_keep_what_was_given(task: handful.Task) -> None:
    given = task.with_negatives([BETWEEN])
    more = given.add({"third": [[0, 0, 9.0, 0]]})
    query = [1.6, 0, 0, 0]
    assert more.predict(query, unknown=0.1) is None
    assert more.remove("third").predict(query, unknown=0.1) is None
    both = given.with_negatives([[0, 5.0, 0, 0]])
    assert both.predict([query, [0, 4.8, 0, 0]], unknown=0.1) == [None, None]
    assert task._negatives is None


def test_saved_and_loaded_with_the_task(
    learner: handful.Learner, task: handful.Task, tmp_path: Path
) -> None:
    given = task.with_negatives([BETWEEN, [3.0, 0, 0, 0]])
    given.save(tmp_path / "task.npz")
    loaded = learner.load_task(tmp_path / "task.npz")
    queries = np.random.default_rng(0).normal(1, 1, (40, 4)).astype(np.float32)
    answers = loaded.predict(list(queries), unknown=0.1)
    assert answers == given.predict(list(queries), unknown=0.1)
    assert answers != task.predict(list(queries), unknown=0.1)
    assert loaded.add([NEAR], ["near"])._negatives is not None


@each(
    ("negatives", "words"),
    [
        (np.zeros((0, 4), np.float32),
         "task.npz has 0 negatives, wanted 1 to 1000, of classification"),
        (np.zeros((1001, 4), np.float32),
         "task.npz has 1001 negatives, wanted 1 to 1000, of classification"),
        (np.zeros((2, 5), np.float32),
         "task.npz: `negatives` is float32 [2, 5], wanted float32 [2, 4]"),
        (np.zeros(4, np.float32), "task.npz: `negatives` is float32 [4], wanted float32 [4, 4]"),
        (np.float32(0), "task.npz: `negatives` is float32 [], wanted float32 [0, 4]"),
        (np.full((1, 4), np.nan, np.float32),
         "task.npz: `negatives` has values that are not finite"),
    ],
)  # fmt: skip
def test_altered_negatives_are_refused(
    learner: handful.Learner, task: handful.Task, tmp_path: Path, negatives: Any, words: str
) -> None:
    file = tmp_path / "task.npz"
    task.with_negatives([BETWEEN]).save(file)
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive}
    file.write_bytes(pack_npz(arrays | {"negatives": negatives}))
    with pytest.raises(TaskFileError) as error:
        learner.load_task(file)
    assert str(error.value) == words


def test_within_the_limits_negatives_are_compared_in_groups(learner: handful.Learner) -> None:
    def limited(most: int) -> handful.Task:
        folder = learner.path
        assert folder is not None
        edit.manifest(folder, lambda content: content["limits"]["support"].update(max=most))
        task = handful.load(folder).adapt({"near": [NEAR], "far": [FAR]})
        return task.with_negatives([BETWEEN] * 7)

    query = [1.6, 0, 0, 0]
    three, none = limited(5), limited(2)
    assert three._negatives is not None
    assert [len(range(7)[own]) for _, own in three._negatives.beside] == [3, 3, 1]
    np.testing.assert_array_equal(three._negatives.passes, [False] * 6 + [True])
    assert three.predict(query, unknown=0.1) is None  # by comparison
    assert none._negatives is not None
    assert none._negatives.beside == ()
    np.testing.assert_array_equal(_passed(none), [-1] * 7)
    # all pass, and their median −1 is 8 above the middle: more than the strictest threshold allows
    np.testing.assert_array_equal(thresholds(none), [-1, -1])
    assert none.predict([query, [2.1, 0, 0, 0]], unknown=0.1) == ["near", None]


Z = np.array([3.0, 4, 5, 6, 7])
OTHERS = [[0, 0, z, 0] for z in Z]


def test_a_package_without_thresholds_has_them_of_negatives_alone(packages: Any) -> None:
    task = handful.load(packages("prototypes")).adapt({"near": [NEAR], "far": [FAR]})
    given = task.with_negatives(OTHERS)
    scores = -1 - Z**2  # from `near`, the nearer; no example can be left out of its class
    assert given._negatives is not None
    np.testing.assert_allclose(
        given._negatives.spread, (0.0, scores.mean(), scores.std(ddof=1)), rtol=1e-6
    )
    # at 20 % 0.941 deviations (Student's t of 4 degrees of freedom), and a fifth of the variance
    # more since the mean is that of five
    least = scores.mean() + 0.94096 * np.sqrt(1.2) * scores.std(ddof=1)
    side = np.sqrt(-least)
    queries = [[1.0, 0, 0, side - 1e-3], [1.0, 0, 0, side + 1e-3]]
    assert given.predict(queries, unknown=0.2) == ["near", None]
    assert given.predict([0, 0, 5.1, 0], unknown=0.5) is None  # compared with them as well
    np.testing.assert_array_equal(given.predict_proba(queries), task.predict_proba(queries))
    with pytest.raises(AdaptError) as error:
        given.predict(queries, unknown=0.001)
    assert str(error.value) == (
        "unknown is 0.001, a task of package prototypes with negatives has 0.01 to 0.5"
    )


def test_examples_left_out_say_how_far_scores_spread(packages: Any, tmp_path: Path) -> None:
    learner = handful.load(packages("prototypes"))
    task = learner.adapt(
        {"near": [[1, 0, 0, 0], [0, 0, 0, 0]], "far": [[0, 8, 0, 0], [0, 9, 0, 0]]}
    )
    given = task.with_negatives(OTHERS)
    assert given._negatives is not None
    # each example without itself is 1 from its class; the middles are at ½ and at 8½
    known = -np.array([[1, 1 + 8.5**2], [1, 8.5**2], [1, 0.25 + 8**2], [1, 0.25 + 9**2]])
    other = -np.stack([0.25 + Z**2, 8.5**2 + Z**2], axis=1)
    best = (-np.inf, 0.0, 0.0, 0.0)
    for weight in (0, 0.5, 1):
        own, others = (x.max(axis=1) - weight * x.min(axis=1) for x in (known, other))
        deviation = np.sqrt((own.var(ddof=1) + others.var(ddof=1)) / 2)
        best = max(
            best, ((own.mean() - others.mean()) / deviation, weight, others.mean(), deviation)
        )
    np.testing.assert_allclose(given._negatives.spread, best[1:], rtol=1e-5)
    given.save(tmp_path / "task.npz")
    loaded = learner.load_task(tmp_path / "task.npz")
    queries = np.random.default_rng(0).normal(0, 4, (40, 4)).astype(np.float32)
    answers = loaded.predict(list(queries), unknown=0.1)
    assert answers == given.predict(list(queries), unknown=0.1)
    assert {None, "near"} <= set(answers)
    assert given.add({"third": [[0, 0, 0, 9]]})._negatives is not None


def test_four_negatives_make_no_thresholds(packages: Any) -> None:
    task = handful.load(packages("prototypes")).adapt({"near": [NEAR], "far": [FAR]})
    with pytest.raises(SupportSetError) as error:
        task.with_negatives(OTHERS[:4])
    assert str(error.value) == "4 negatives, wanted 5 to 1000"
    assert error.value.hint == "the package has no thresholds, they are made of these"


@pytest.mark.parametrize("count", [0, 1001])
def test_no_negatives_or_too_many(task: handful.Task, count: int) -> None:
    with pytest.raises(SupportSetError) as error:
        task.with_negatives(np.zeros((count, 4), np.float32))
    assert str(error.value) == f"{count} negatives, wanted 1 to 1000"
