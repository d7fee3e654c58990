"""What export measures of confidence: each number by hand, and its tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import handful
from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import Bounds, InputSpec, Limits, Manifest
from handful.trainer.commands.export import Request, export_command, sizes_of
from handful.trainer.data.labelled import LabelledSet, label_examples
from handful.trainer.episodes import TaskSize
from handful.trainer.evaluation.confidence import (
    COVERAGES,
    RATES,
    AskedLogits,
    calibration_error,
    fit,
    fit_temperature,
    measure_confidence,
    softmax_in_float64,
    thresholds,
    with_unknown,
)
from handful.trainer.training.run import train

from ..each import each
from .test_export_command import config
from .test_run_data import count


def drawn(temperature: float, queries: int = 20_000) -> tuple[Any, Any]:
    """Logits [Q, 5] and classes [Q] drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 6, (queries, 5)).astype(np.float32)
    ahead = np.cumsum(softmax_in_float64(logits, temperature), axis=1)
    return logits, (rng.random((queries, 1)) > ahead).sum(axis=1)


@each("temperature", [0.25, 1.0, 5.0])
def test_the_temperature_that_made_the_answers_is_found(temperature: float) -> None:
    logits, y = drawn(temperature)
    found = fit_temperature(logits, y)
    assert found == pytest.approx(temperature, rel=0.05)
    assert calibration_error(softmax_in_float64(logits, found), y) < 0.01
    assert calibration_error(softmax_in_float64(logits, found * 3), y) > 0.05


def test_the_temperature_is_where_the_likelihood_is_flat() -> None:
    # two queries with a margin of 1, one with 1 wrong: sigmoid(1 / T) = 2 / 3 there
    logits = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    found = fit_temperature(logits, np.array([0, 0, 1]))
    assert found == pytest.approx(1 / np.log(2), rel=1e-3)


def test_answers_that_are_all_right_do_not_drive_it_to_zero() -> None:
    logits = np.array([[9, 0], [9, 0], [1, 0]], np.float32)
    all_right = fit_temperature(logits, np.array([0, 0, 0]))
    assert all_right == fit_temperature(logits, np.array([0, 0, 1]))  # the margin of 1 counts wrong


def test_calibration_error_by_hand() -> None:
    # in the bin of 0.9: one of two right, 0.4 off; in that of 0.6: one of one right, 0.4 off
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])
    error = calibration_error(probabilities, np.array([0, 0, 0]))
    assert error == pytest.approx((0.8 + 0.4) / 3)
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_thresholds_by_hand() -> None:
    unknown = np.stack([np.arange(101), np.full(101, -4)], axis=1).astype(np.float32)
    known = np.array([[94, 93], [96, 0], [99.5, 0], [3, 2]], np.float32)
    found = {t.false_accepts: t for t in thresholds(AskedLogits(known, np.zeros(4), unknown), 0.0)}
    assert found[0.05].score == pytest.approx(95)
    assert found[0.05].known_kept == 0.5  # 96 and 99.5
    assert found[0.5].score == pytest.approx(50)
    assert found[0.5].known_kept == 0.75
    less = {t.false_accepts: t for t in thresholds(AskedLogits(known, np.zeros(4), unknown), 0.5)}
    assert less[0.05].score == pytest.approx(95 + 0.5 * 4)
    assert less[0.05].known_kept == 0.25  # 99.5 alone; 96 is not above 97


def test_sets_have_the_rank_of_split_conformal_prediction() -> None:
    # the right label's probabilities are 0.01, 0.02, … 0.99: of 99, ⌊100 · 0.05⌋ = 5 lie below
    right = np.arange(1, 100) / 100
    logits = np.log(np.stack([right, 1 - right], axis=1)).astype(np.float32)
    fitted = fit(AskedLogits(logits, np.zeros(99, int), logits))
    scaled = np.sort(softmax_in_float64(logits, fitted.temperature)[:, 0])
    by_coverage = {labels.coverage: labels for labels in fitted.sets}
    assert list(by_coverage) == list(COVERAGES)
    for coverage, rank in ((0.9, 9), (0.95, 4), (0.98, 1), (0.99, 0)):
        assert by_coverage[coverage].probability == pytest.approx(scaled[rank], rel=1e-5)
    covered = (
        softmax_in_float64(logits, fitted.temperature)[:, 0] >= by_coverage[0.95].probability
    ).mean()
    assert covered >= 0.95


def test_the_score_that_keeps_most_at_five_percent_is_taken() -> None:
    rng = np.random.default_rng(1)

    def found(shared: float) -> float:
        """The weight where an offset that is the same for all classes moves a query's logits."""
        known, unknown = (rng.normal(0, 1, (4000, 5)) for _ in range(2))
        known[:, 0] += 8
        logits = [x + shared * rng.normal(0, 1, (4000, 1)) for x in (known, unknown)]
        wide = [x.astype(np.float32) for x in logits]
        entries = measure_confidence(
            {(5, 1): AskedLogits(wide[0], np.zeros(4000, int), wide[1])}, 9
        )
        return entries[0].others

    assert found(shared=30) == 1  # only differences of logits tell anything
    assert found(shared=0) == 0


def spots(counts: list[int]) -> LabelledSet:
    """Classes whose examples say which they are."""
    x = {f"{c}": torch.full((n, 2), float(c)) for c, n in enumerate(counts)}
    return label_examples(x, InputSpec(kind="array", shape=(2,)), where="here")


def test_unknown_queries_are_of_all_the_other_classes_and_no_others() -> None:
    data = spots([9] * 7)
    episodes, known = with_unknown(data, TaskSize(4, 2, 3), episodes=200, seed=0)
    assert known == 12
    x = data.x[:, 0].numpy()
    met = set()
    for e in range(200):
        of_task = set(x[episodes.support[e]])
        unknown = x[episodes.query[e, known:]]
        assert len(of_task) == 4
        assert set(x[episodes.query[e, :known]]) == of_task
        assert not of_task & set(unknown)
        assert len(unknown) == known
        assert (episodes.query_y[e, known:] == -1).all()
        met |= set(unknown)
    assert len(met) == 7
    again, _ = with_unknown(data, TaskSize(4, 2, 3), episodes=200, seed=0)
    np.testing.assert_array_equal(episodes.query, again.query)


def limited(way: int | None = None, support: int | None = None, shot: int = 1) -> Manifest:
    spec = InputSpec(kind="array", shape=(2,))
    return Manifest(
        name="a", learner="a", task="classification", input=spec, embed=None, graphs={}, stages=(),
        predict="predict", licence="MIT",
        limits=Limits(Bounds(2, way), Bounds(shot), Bounds(1, support)),
    )  # fmt: skip


@each(
    ("manifest", "data", "ways", "shots", "queries"),
    [
        (limited(), spots([20] * 30), [2, 5, 10, 20], [1, 2, 5, 10], 5),
        (limited(), spots([20] * 6), [2, 5], [1, 2, 5, 10], 5),
        (limited(), spots([20] * 5), [2, 4], [1, 2, 5, 10], 5),  # all but one class
        (limited(), spots([4] * 30), [2, 5, 10, 20], [1, 2], 2),
        (limited(way=5), spots([20] * 30), [2, 5], [1, 2, 5, 10], 5),
        (limited(way=7), spots([20] * 30), [2, 5, 7], [1, 2, 5, 10], 5),
        (limited(support=50), spots([20] * 30), [2, 5, 10, 20], [1, 2], 5),
        (limited(support=12), spots([20] * 30), [2, 5, 10], [1], 5),
        (limited(shot=2), spots([20] * 30), [2, 5, 10, 20], [2, 5, 10], 5),
        (limited(), spots([20] * 2), [], [], 0),
        (limited(), spots([1] * 30), [], [], 0),
    ],
)
def test_a_grid_of_what_the_package_and_the_classes_allow(
    manifest: Manifest, data: LabelledSet, ways: list[int], shots: list[int], queries: int
) -> None:
    assert sizes_of(manifest, data) == [
        TaskSize(way, shot, queries) for way in ways for shot in shots
    ]


def test_export_measures_and_the_package_keeps_to_it(tmp_path: Path) -> None:
    train(config(tmp_path), tmp_path / "run")
    manifest = export_command(tmp_path / "run", tmp_path / "out", Request(episodes=40), count)
    assert manifest == read_manifest(tmp_path / "out")
    sizes = [(entry.way, entry.shot) for entry in manifest.confidence]
    assert sizes == [(way, shot) for way in (2, 5, 9) for shot in (1, 2, 5)]
    assert {entry.classes for entry in manifest.confidence} == {10}
    assert [t.false_accepts for t in manifest.confidence[0].thresholds] == list(RATES)
    assert "## Confidence and unknown inputs" in (tmp_path / "out" / "README.md").read_text()
    learner = handful.load(tmp_path / "out")
    data = np.load(tmp_path / "points.npz")
    split = json.loads((tmp_path / "split.json").read_text())
    x = {name: data["x"][data["y"] == name] for name in split["val"]}
    rng = np.random.default_rng(0)
    accepted = []
    for _ in range(60):
        names = list(rng.permutation(split["val"]))
        task = learner.adapt({name: rng.permutation(x[name])[:2] for name in names[:5]})
        for name in names[5:]:
            accepted += [label is not None for label in task.predict(x[name], unknown=0.2)]
    assert 0.14 < np.mean(accepted) < 0.26
