"""Statistics over episodes, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from handful.runtime.tools.evaluate import compare, mean_of


def test_a_mean_and_its_interval() -> None:
    # mean 0.75, deviations ±0.25: s² = 4 · 0.0625 / 3, s / √4 = 0.14434, times Student's 3.182
    value, interval = mean_of(np.array([0.5, 1.0, 0.5, 1.0]))
    assert value == 0.75
    assert interval == pytest.approx(0.45929, abs=1e-5)
    assert mean_of(np.array([0.5])) == (0.5, 0.0)
    many = np.arange(100) % 2
    assert mean_of(many).interval == pytest.approx(1.96 * many.std(ddof=1) / 10)


def test_the_interval_of_a_comparison_is_that_of_the_paired_differences() -> None:
    # the differences are 0.1, 0.1, 0.1, 0.3: mean 0.15, s² = 0.03 / 3, s / √4 = 0.05
    ours, theirs = np.array([0.9, 0.5, 0.2, 0.8]), np.array([0.8, 0.4, 0.1, 0.5])
    compared = compare("theirs", ours, theirs)
    assert compared.name == "theirs"
    assert compared.accuracy == pytest.approx(0.45)
    assert compared.difference == pytest.approx(0.15)
    assert compared.interval == pytest.approx(3.182 * 0.05)
    # far narrower than the interval of either, which the hard third episode widens
    assert mean_of(ours).interval > 3 * compared.interval


def test_an_accuracy_beside_itself_has_no_difference() -> None:
    same = np.array([0.3, 0.9, 0.6])
    compared = compare("itself", same, same)
    assert (compared.difference, compared.interval) == (0.0, 0.0)
