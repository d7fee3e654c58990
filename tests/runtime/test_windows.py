"""Windows of a recording and of a stream: the rule by hand, and that both cut alike."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import InputError
from handful.runtime.inputs import series as module

from ..each import each


def starts(count: int, length: int, hop: int | None = None) -> list[list[int]]:
    found: list[list[int]] = handful.windows(np.arange(count), length, hop).tolist()
    return found


def test_the_rule_by_hand() -> None:
    assert starts(6, 4) == [[0, 1, 2, 3], [2, 3, 4, 5]]  # half a window on
    assert starts(7, 4) == starts(6, 4)  # the last reading fills no window
    assert starts(6, 4, 1) == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    assert starts(9, 2, 4) == [[0, 1], [4, 5]]  # some readings are in no window
    assert starts(4, 4) == [[0, 1, 2, 3]]
    assert starts(2, 4) == [[0, 1, 1, 1]]  # its last reading again
    assert starts(1, 1) == [[0]]


def test_readings_keep_their_type_and_channels() -> None:
    recording = np.arange(24, dtype=np.int16).reshape(8, 3)
    cut = handful.windows(recording, 4)
    assert cut.dtype == np.int16
    assert cut.shape == (3, 4, 3)
    np.testing.assert_array_equal(cut[1], recording[2:6])
    assert handful.windows(recording[:2], 4).dtype == np.int16
    cut[0] = 0  # a copy: the recording is left alone
    assert recording[0].tolist() == [0, 1, 2]


@each("hop", [1, 2, 3, 5, 8])
@each("count", [1, 3, 4, 5, 17, 40])
def test_a_stream_gives_the_windows_of_the_whole_however_it_is_divided(
    hop: int, count: int
) -> None:
    rng = np.random.default_rng(hop * 100 + count)
    recording = rng.integers(-100, 100, (count, 2))
    for _ in range(5):
        stream, found, at = handful.Windows(4, hop), [], 0
        while at < count:
            size = int(rng.integers(0, 7))
            found += stream.feed(recording[at : at + size])
            at += size
        rest = stream.rest()
        found += [] if rest is None else [rest]
        np.testing.assert_array_equal(np.stack(found), handful.windows(recording, 4, hop))


def test_a_stream_keeps_no_more_than_a_window() -> None:
    stream = handful.Windows(50)
    tracemalloc.start()
    for _ in range(100):
        stream.feed(np.zeros((1000, 3), np.int16))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 20_000
    assert stream.rest() is None
    assert handful.Windows(3).rest() is None
    assert handful.Windows(3).feed([]) == []


NONE = "a recording has the shape {}, wanted readings [n, …]"
LEAST = "the {} of a window is {}, wanted 1 reading or more"
REFUSED: list[tuple[Any, str, str | None]] = [
    (lambda: handful.windows([], 4), NONE.format([0]), None),
    (lambda: handful.windows(3, 4), NONE.format([]), None),
    (lambda: handful.windows([1], 0), LEAST.format("length", "0"), None),
    (lambda: handful.windows([1], 4, -1), LEAST.format("hop", "-1"), None),
    (lambda: handful.Windows(4, True), LEAST.format("hop", "True"), None),
    (lambda: handful.Windows(2.5), LEAST.format("length", "2.5"), None),  # type: ignore[arg-type]
    (lambda: handful.Windows(2).feed(1.0), "a block has no axis, wanted readings [n, …]",
     "one reading is a block of one"),
]  # fmt: skip


@each(("call", "words", "hint"), REFUSED)
def test_what_cannot_be_cut(call: Any, words: str, hint: str | None) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == words
    assert caught.value.hint == hint


def test_a_stream_has_one_kind_of_readings() -> None:
    stream = handful.Windows(4)
    stream.feed([[1, 2]])
    with pytest.raises(InputError) as caught:
        stream.feed([[1, 2, 3]])
    assert str(caught.value) == "a block has readings of shape [3], those before had [2]"


def test_windows_that_take_too_much_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 90)
    assert handful.windows(np.zeros((12, 3)), 10, 1).size == 90
    with pytest.raises(InputError) as caught:
        handful.windows(np.zeros((13, 3)), 10, 1)
    assert str(caught.value) == "4 windows have 120 values, at most 90 are cut"
    assert caught.value.hint == "cut the recording into parts, or use a larger hop"
