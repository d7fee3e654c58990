"""Examples that are nearly the same: which are, and in which words."""

import warnings

import numpy as np
import pytest

from handful.runtime.errors import InputWarning
from handful.runtime.tools.near import Near, Origin, near_pairs, warn_of_near


def test_the_share_is_of_the_median_distance() -> None:
    """Distances 1, 9, 10, 20, 29, 30: the median of them is 15."""
    x = np.array([[0.0], [1.0], [10.0], [30.0]], np.float32)
    (pair,) = near_pairs(x, ["a", "a", "b", "c"])
    assert (pair.first, pair.second) == (0, 1)
    assert pair.share == pytest.approx(1 / 15)


def test_two_classes_are_given_more_room_than_one() -> None:
    """2 of 15: between the two limits."""
    x = np.array([[0.0], [2.0], [10.0], [30.0]], np.float32)  # distances 2, 8, 10, 20, 28, 30
    assert near_pairs(x, ["a", "a", "b", "c"]) == []
    (pair,) = near_pairs(x, ["a", "b", "b", "c"])
    assert (pair.first, pair.second) == (0, 1)
    assert pair.share == pytest.approx(2 / 15)


@pytest.mark.parametrize("far_away", [0.0, 1e4])
def test_copies_are_found_however_many_and_wherever(far_away: float) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(far_away, 1, (2, 3, 4)).astype(np.float32)
    pairs = near_pairs(np.stack([one, one, one, other]), ["a", "b", "a", "b"])
    assert pairs == [Near(0, 1, 0.0), Near(0, 2, 0.0), Near(1, 2, 0.0)]
    assert near_pairs(np.stack([one, one]), ["a", "b"]) == [Near(0, 1, 0.0)]
    assert near_pairs(np.stack([one, other]), ["a", "b"]) == []
    assert near_pairs(one[None], ["a"]) == []


def test_many_examples_are_compared_in_blocks() -> None:
    x = np.random.default_rng(0).normal(size=(700, 64)).astype(np.float32)
    x[650] = x[3]
    x[699] = x[698]
    assert near_pairs(x, ["a", "b"] * 350) == [Near(3, 650, 0.0), Near(698, 699, 0.0)]


def said(count: int, *, since: int = 0, source: str = "") -> list[str]:
    """The warnings of so many copies of one picture, in turns of two classes, beside another."""
    x = np.zeros((count + 1, 2), np.float32)
    x[-1] = 1
    labels = [*(["cup", "plate"] * count)[:count], "hat"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        names = [f"{i}.png" for i in range(count + 1)]
        origins = [Origin(name, source or name) for name in names]
        warn_of_near(x, labels, origins, since=since)
    assert all(warning.category is InputWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def test_the_words() -> None:
    assert said(3) == [
        "0.png and 1.png are nearly the same to this package, but of the classes cup and plate",
        "1.png and 2.png are nearly the same to this package, but of the classes plate and cup",
        "0.png and 2.png, both of cup, are nearly the same: together they teach little more than"
        " one",
    ]
    many = said(10)  # 25 pairs of two classes, 20 of one
    assert (len(many), many[5], many[-1]) == (
        12,
        "20 more pairs of two classes are nearly the same",
        "15 more pairs of one class are nearly the same",
    )


def test_windows_of_a_recording_may_be_alike() -> None:
    assert len(said(3, source="walk.csv")) == 2


def test_what_was_looked_at_before_is_not_said_again() -> None:
    assert said(3, since=3) == []
    assert [line.split(",")[0] for line in said(3, since=2)] == [
        "1.png and 2.png are nearly the same to this package",
        "0.png and 2.png",
    ]
