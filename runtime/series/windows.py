"""Windows of T readings, cut from a recording or from a stream by one rule.

Windows begin at the readings 0, hop, 2 hop, … for as long as a whole window is there; what comes
after the last one is left out. A recording that is shorter than a window is one window, filled up
with copies of its last reading. Where nothing else is said, the hop is half a window.
"""

from typing import Any

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError

MAX_VALUES = 2**26  # of all windows of a recording: 256 MiB as float32


def windows(recording: Any, length: int, hop: int | None = None) -> Array:
    """Windows [W, T, …] of a recording [n, …], of its own type; T is `length`.

    InputError where there is no reading, where `length` or `hop` is not 1 or more, and where the
    windows would take more than 2²⁶ values.
    """
    array = np.asarray(recording)
    step = _checked(length, hop)
    if not array.ndim or not len(array):
        raise InputError(f"a recording has the shape {list(array.shape)}, wanted readings [n, …]")
    if len(array) < length:
        return np.concatenate([array, np.repeat(array[-1:], length - len(array), axis=0)])[None]
    count = 1 + (len(array) - length) // step
    values = count * length * (array.size // len(array))
    if values > MAX_VALUES:
        raise InputError(
            f"{count} windows have {values} values, at most {MAX_VALUES} are cut",
            hint="cut the recording into parts, or use a larger hop",
        )
    views = np.lib.stride_tricks.sliding_window_view(array, length, axis=0)[::step]
    return np.ascontiguousarray(np.moveaxis(views, -1, 1))


class Windows:
    """A stream of readings, in as it comes, and out the windows that are full.

    However the readings are divided into blocks, the windows are those of `windows`. Not to be
    shared between threads.
    """

    def __init__(self, length: int, hop: int | None = None) -> None:
        """Windows of `length` readings, each beginning `hop` after the one before."""
        self.length, self.hop = length, _checked(length, hop)
        self._kept: Array | None = None  # from the next window's beginning on
        self._ahead = 0  # readings to pass over before it begins
        self._any = False  # whether a window was full already

    def feed(self, readings: Any) -> list[Array]:
        """The windows [T, …] that a block of readings [n, …] has filled, in their order.

        InputError where the block's readings are of another shape than those before.
        """
        block = np.asarray(readings)
        if not block.ndim:
            raise InputError(
                "a block has no axis, wanted readings [n, …]", hint="one reading is a block of one"
            )
        if self._kept is not None and block.shape[1:] != self._kept.shape[1:]:
            raise InputError(
                f"a block has readings of shape {list(block.shape[1:])},"
                f" those before had {list(self._kept.shape[1:])}"
            )
        if self._kept is None:
            self._kept = block[:0]
        passed = min(self._ahead, len(block))
        self._ahead -= passed
        kept = np.concatenate([self._kept, block[passed:]])
        full = []
        while len(kept) >= self.length:
            full.append(kept[: self.length].copy())
            self._ahead = max(0, self.hop - len(kept))
            kept = kept[self.hop :]
        self._kept = kept.copy()  # not a view, which would keep all that ever came
        self._any = self._any or bool(full)
        return full

    def rest(self) -> Array | None:
        """At the end: the one window of a stream that was too short for any, else None."""
        if self._any or self._kept is None or not len(self._kept):
            return None
        window: Array = windows(self._kept, self.length)[0]
        return window


def _checked(length: int, hop: int | None) -> int:
    """The hop; InputError where it or the length is no number from 1 on."""
    step = max(1, length // 2) if hop is None and type(length) is int else hop
    for name, value in (("length", length), ("hop", step)):
        if type(value) is not int or value < 1:
            raise InputError(f"the {name} of a window is {value!r}, wanted 1 reading or more")
    assert step is not None
    return step
