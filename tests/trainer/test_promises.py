"""A package's confidence beside what it promises: the runtime's rules on given logits, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handful.runtime.confidence import Sizes
from handful.runtime.errors import AdaptError
from handful.runtime.package.manifest import Confidence, PredictionSet, Threshold
from handful.trainer.episodes import TaskSize
from handful.trainer.evaluation.confidence import AskedLogits, Kept, Sure, as_text, promises

from .test_confidence import limited

MEASURED = Confidence(
    way=2,
    shot=1,
    classes=9,
    queries=100,
    others=0.0,
    temperature=2.0,
    calibration_error=0.0,
    thresholds=(
        Threshold(false_accepts=0.05, score=4.0, known_kept=0.9),
        Threshold(false_accepts=0.2, score=1.0, known_kept=0.95),
    ),
    sets=(PredictionSet(coverage=0.9, probability=0.5, size=1.0),),
)
SIZES = Sizes(replace(limited(), confidence=(MEASURED,)))


def test_promises_by_hand() -> None:
    twice = 2 * np.log(9.0)  # at the temperature 2 the probabilities are 0.9 and 0.1
    known = np.array([[twice, 0], [0, twice], [twice, 0], [twice, 0], [2, 2 - twice]], np.float32)
    unknown = np.array([[5, 0], [0, 3], [0.5, 0], [0, -7]], np.float32)
    found = promises(SIZES, AskedLogits(known, np.zeros(5, int), unknown), np.ones(2))
    # four of five answers are right, each with a probability of 0.9
    assert found.calibration_error == pytest.approx(0.1, abs=1e-6)
    assert found.rates == (
        Kept(promised=0.05, false_accepts=0.25, known_kept=0.8),  # above 4: 5; all but the 2
        Kept(promised=0.2, false_accepts=0.5, known_kept=1.0),  # above 1: 5 and 3; all
    )


def test_tasks_beyond_the_thresholds_are_refused() -> None:
    logits = np.zeros((1, 5), np.float32)
    assert (SIZES.reach(4), SIZES.reach(5)) == (True, False)
    with pytest.raises(AdaptError, match=r"^the thresholds of package a were measured with 2 to 2"):
        promises(SIZES, AskedLogits(logits, np.zeros(1, int), logits), np.ones(5))


def test_the_text_has_a_line_for_each_size_that_was_measured() -> None:
    sure = Sure(
        calibration_error=0.0123,
        rates=(
            Kept(promised=0.05, false_accepts=0.0391, known_kept=0.945),
            Kept(promised=0.2, false_accepts=0.19, known_kept=0.99),  # shown in the JSON alone
        ),
    )
    sizes = TaskSize(5, 1, 15), TaskSize(50, 1, 15), TaskSize(20, 5, 15)
    assert as_text(zip(sizes, (sure, None, sure), strict=True)) == (
        "way  shot  calibration error %  false accepts at 5 %  known kept at 5 %\n"
        "  5     1  1.23                 3.9                   94.5\n"
        " 20     5  1.23                 3.9                   94.5"
    )
    assert as_text([(sizes[1], None)]) == ""
