"""Recordings of a series [n, C] to examples [T, C]: whole or windows, of files and streams.

Windows begin at the readings 0, hop, 2 hop, … for as long as a whole window is there; what comes
after the last one is left out. A recording that is shorter than a window is one window, filled up
with copies of its last reading. Where nothing else is said, the hop is half a window.

A whole recording is read between its readings, at T places u_m; docs/package-format.md has it.

    s_k = t_k − t_0 of times,  s_0 = 0, s_k = s_k−1 + the way from reading k − 1 to reading k
    u_m = s_n−1 · m / (T − 1)
    y_m = x_j−1 + (u_m − s_j−1) / (s_j − s_j−1) · (x_j − x_j−1),  j the first with s_j ≥ u_m
"""

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.arrays import Array, Floats, as_array
from handful.runtime.errors import InputError
from handful.runtime.package.files import read_regular
from handful.runtime.package.manifest import InputSpec

from .folders import quote_path
from .layout import READ
from .remarks import FILLED, RESAMPLED, WINDOWS, remark, say_once
from .tables import Recording, counts_readings, read_table

STILL = 1e-6  # of the largest value: how far readings that never change are apart
MAX_BYTES = 2**26  # of a file
TEXT = (".csv", ".tsv", ".txt")
SUFFIXES = (".npy", *TEXT)
UNITS = (1.0, 1e-3, 1e-6, 1e-9)  # seconds that a time without a unit may be counted in
EVEN = 1e-3  # of a step: times that differ by less are even, and so are rates


def read_array(path: str | Path) -> Array:
    """The numbers in a file, floats or integers, as they are: of a .csv file float64 [n, C].

    InputError where the file is none of these, is broken or too large, or holds no finite numbers.
    """
    return read_recording(path).values


def read_recording(path: str | Path, spec: InputSpec | None = None) -> Recording:
    """What `read_array` gives, with names and times; `spec` says which columns there have to be."""
    path = Path(path)
    name, kind = quote_path(path), path.suffix.lower()
    if not os.path.exists(path):
        raise InputError(f"no file {name}")
    if kind not in SUFFIXES:
        raise InputError(f"{name} is not named as a file of readings", hint=READ)
    real = Path(os.path.realpath(path))  # links are followed, as those to pictures are
    data = read_regular(real, limit=MAX_BYTES, error=InputError, absent="look at its name")
    if kind == ".npy":
        from handful.runtime.package.npz import read_npy  # zipfile takes 10 ms

        array = read_npy(data, name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argmin(np.isfinite(array.reshape(len(array), -1)).all(axis=1)))
            raise InputError(f"{name} has a value that is not finite in row {row + 1}")
        return Recording(array)
    channels = None if spec is None or spec.channels is None else channel_names(spec)
    found = read_table(
        data,
        name,
        lambda kind, words: remark(kind, name + words),
        channels=channels,
        count=spec.shape[-1] if spec is not None and len(spec.shape) < 3 else None,
        timed=spec is not None and (spec.whole == "time" or spec.rate is not None),
    )
    if found.names is None and counts_readings(found.values):
        first = channels[0] if channels else "a channel"
        remark("counts", f"{name} has a first column that counts its readings, taken as {first}")
    return found


def channel_names(spec: InputSpec) -> tuple[str, ...]:
    """Those of the manifest; none where it has none."""
    return tuple(channel.name for channel in spec.channels or ())


MAX_VALUES = 2**26  # of all windows of a recording: 256 MiB as float32


def windows(recording: Any, length: int, hop: int | None = None) -> Array:
    """Windows [W, T, …] of a recording [n, …], of its own type; T is `length`.

    InputError where there is no reading, where `length` or `hop` is not 1 or more, and where the
    windows would take more than 2²⁶ values.
    """
    array = np.asarray(recording)
    step = _check_hop(length, hop)
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
        self.length, self.hop = length, _check_hop(length, hop)
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


def _check_hop(length: int, hop: int | None) -> int:
    """The hop; InputError where it or the length is no number from 1 on."""
    step = max(1, length // 2) if hop is None and type(length) is int else hop
    for name, value in (("length", length), ("hop", step)):
        if type(value) is not int or value < 1:
            raise InputError(f"the {name} of a window is {value!r}, wanted 1 reading or more")
    assert step is not None
    return step


def take_whole(
    recording: Any, spec: InputSpec, times: Array | None = None, what: str = "it"
) -> Array:
    """A recording [n, C] as one example of a package that takes it whole: float32 [T, C].

    `times` are those of its readings. Integers are scaled as the manifest says, once they are read
    between. InputError where there is no reading, or where they are too far apart.
    """
    x = np.asarray(recording)
    if x.ndim != 2 or not len(x) or x.shape[1] != spec.shape[1]:
        raise InputError(
            f"{what} has the shape {list(x.shape)}, wanted readings [n, {spec.shape[1]}]"
        )
    s = _places(x.astype(np.float64), spec, times, what)
    length = spec.shape[0]
    u = s[-1] * np.arange(length) / (length - 1)
    u[-1] = s[-1]
    y = _interpolate(x.astype(np.float64), s, u, spec)
    return _scale(y, x, spec)


def resample(recording: Any, spec: InputSpec, seconds: Array, what: str = "it") -> Array:
    """A recording [n, C] with a time in seconds for each reading, at the package's rate: float32.

    From the first reading on, for as long as there are readings. InputError where this would take
    more than 2²⁶ values.
    """
    x = np.asarray(recording)
    assert spec.rate is not None
    if not seconds[-1] * spec.rate * x.shape[1] < MAX_VALUES:
        raise InputError(
            f"{what} lasts {seconds[-1]:g} s, too long at {spec.rate:g} readings a second",
            hint="cut the recording into parts; look at its times",
        )
    u = np.arange(math.floor(seconds[-1] * spec.rate) + 1) / spec.rate
    return _scale(_interpolate(x.astype(np.float64), seconds, u, spec), x, spec)


def _places(x: Array, spec: InputSpec, times: Array | None, what: str) -> Array:
    """How far along each reading is: s [n], from 0, never falling."""
    steps = np.arange(float(len(x)))
    if spec.whole == "time":
        s = steps if times is None else times
    else:
        squared = np.zeros(len(x))
        with np.errstate(over="ignore"):
            for c, channel in enumerate(spec.channels or ()):
                if channel.kind == "place":  # one after the other: sums have an order
                    squared[1:] += np.diff(x[:, c]) ** 2
            s = np.cumsum(np.sqrt(squared))
    if not np.isfinite(s[-1]):
        raise InputError(f"{what} has readings that are too far apart to measure the way")
    return s if s[-1] > 0 else steps  # a point, or readings of one time: each counts the same


def _interpolate(x: Array, s: Array, u: Array, spec: InputSpec) -> Array:
    """x [n, C] at s, read at u: on the straight line, or of a state as on the way to the next."""
    j = np.minimum(np.searchsorted(s, u, side="left"), len(s) - 1)
    before = np.maximum(j - 1, 0)
    there = s[j] <= u  # at the reading itself
    share = np.zeros(len(u))
    np.divide(u - s[before], s[j] - s[before], out=share, where=~there)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is refused later on
        y = x[before] + share[:, None] * (x[j] - x[before])
    y[there] = x[j[there]]
    states = [c for c, channel in enumerate(spec.channels or ()) if channel.kind == "state"]
    y[:, states] = x[j][:, states]
    return np.asarray(y)


def _scale(y: Array, x: Array, spec: InputSpec) -> Array:
    """float32, scaled where the readings x were integers."""
    with np.errstate(over="ignore"):
        floats = y.astype(np.float32)
    if x.dtype.kind in "iu":
        floats = floats * np.float32(spec.scale) + np.float32(spec.offset)
    return floats


def read_examples(path: str | Path, spec: InputSpec, *, hop: int | None = None) -> Array:
    """The examples [n, …shape] in a .npy or .csv file, of the numbers' own type or float32.

    A file holds one example, or many of them. Where examples are series [T, C] it may be a
    recording [n, C] as well. One that the package takes whole is read at T places. Another is
    brought to the package's rate, where both have one, and cut into windows, each `hop` readings
    after the one before, by default half a window; a shorter one is filled up with copies of its
    last reading. InputError where the file cannot be read, or has another shape; an InputWarning
    where it was cut or filled up without a hop that somebody asked for.
    """
    recording = read_recording(path, spec)
    array, shape, name = recording.values, tuple(spec.shape), quote_path(path)
    if array.shape[1:] == shape:
        return array
    if len(shape) == 2 and shape[1] == 1 and array.ndim == 1:
        array = array[:, None]
    if len(shape) == 2 and array.shape[1:] == shape[1:]:
        if spec.whole:
            by = "their time" if spec.whole == "time" else "their path"
            if len(array) != shape[0]:
                remark(RESAMPLED, f"{name}, {len(array)} readings, read as {shape[0]} along {by}")
            return take_whole(array, spec, recording.times, name)[None]
        array = _resample_recording(replace(recording, values=array), spec, name)
        cut = windows(array, shape[0], hop)
        if hop is None:
            _say_cut(len(array), len(cut), shape[0], name)
        return cut
    if array.shape == shape:
        return array[None]
    if shape == (1,) and array.ndim == 1:
        return array[:, None]
    recordings = f", readings [n, {shape[1]}]" if len(shape) == 2 else ""
    raise InputError(
        f"{name} holds the shape {list(array.shape)}, wanted {list(shape)}{recordings}"
        " or a batch of them",
        hint="a line of a .csv file is a reading, and has a number for each channel",
    )


def _say_cut(readings: int, count: int, length: int, name: str) -> None:
    if readings < length:
        remark(FILLED, f"{name}, {readings} readings, filled up to {length} with the last one")
    elif readings > length:
        cut = "1 window" if count == 1 else f"{count} windows"
        remark(WINDOWS, f"{name}, {readings} readings, cut into {cut} of {length}")


def _resample_recording(recording: Recording, spec: InputSpec, name: str) -> Array:
    """The readings at the package's rate, where the recording has times and another one."""
    times = recording.times
    if spec.rate is None or times is None or len(times) < 2 or not times[-1]:
        return recording.values
    own = (len(times) - 1) / times[-1]  # readings in a unit of time
    unit = recording.unit
    if unit is None:
        unit = min(UNITS, key=lambda unit: abs(math.log(own / unit / spec.rate)))
        words = {1.0: "seconds", 1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds"}
        remark("unit", f"{name} has times without a unit, taken as {words[unit]}")
    even = np.abs(np.diff(times) * own - 1).max() < EVEN
    if even and abs(own / unit / spec.rate - 1) < EVEN:
        return recording.values
    remark(RESAMPLED, f"{name}, {own / unit:.4g} readings a second, read at {spec.rate:g}")
    return resample(recording.values, spec, times * unit, name)


def open_files(examples: Any, spec: InputSpec) -> Any:
    """`examples`, with what is in a file in place of its path, alone or in a list.

    A file of one example is one; what a longer one holds follows each other.
    """
    if _is_path(examples):
        found = read_examples(examples, spec)
        return found[0] if len(found) == 1 else found
    if isinstance(examples, list | tuple) and any(map(_is_path, examples)):
        items: list[Any] = []
        with say_once():
            for item in examples:
                items += list(read_examples(item, spec)) if _is_path(item) else [item]
        return items
    return examples


def to_array(value: Any, spec: InputSpec, what: str) -> Array:
    """A value as an array; a recording of another length as the example that it is, whole."""
    array = as_array(value, what)
    if spec.whole and array.ndim == 2 and array.dtype.kind in "iuf":
        length, channels = spec.shape
        if array.shape[1] == channels and array.shape[0] not in (0, length):
            return take_whole(array, spec, what=what)
    return array


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def shape_hint(spec: InputSpec, array: Array) -> str:
    """What to do where an array has another shape."""
    if len(spec.shape) == 2 and array.shape[1:] == spec.shape[1:] and not spec.whole:
        return f"a recording is cut by handful.windows(x, {spec.shape[0]})"
    return "one example a call, or a list or a batch of them, all of this shape"


def find_still(x: Floats) -> Array:
    """Which examples [B, T, ...] of two axes or more never change along the first: bool [B].

    An example of one axis is a list of numbers, which may be equal.
    """
    if x.ndim < 3 or x.shape[1] < 2:
        return np.zeros(len(x), bool)
    axes = tuple(range(1, x.ndim))
    moved = np.asarray(np.ptp(x, axis=1)).reshape(len(x), -1).max(axis=1)
    return np.asarray(moved <= STILL * np.abs(x).max(axis=axes))


def forms(spec: InputSpec) -> str:
    """In which form S examples are given."""
    sizes = ", ".join(map(str, spec.shape))
    recordings = f", or recordings [n, {spec.shape[1]}]: paths, arrays" if spec.whole else ""
    return f"examples [S, {sizes}]{recordings}"


MOST_DRAWN = 16  # channels


def draw_lines(example: Array, spec: InputSpec) -> list[Array]:
    """Lines [n, 2] of a series [T, C]: a path through places, or a line for each channel.

    Places are from 0 to 1, to the right and downwards. The path is that of the first two channels
    that the package calls places, x to the right, y upwards. A state that has two values lifts the
    pen on the way to a reading where it has the smaller one. Nothing is drawn of a single reading.
    """
    if example.ndim != 2 or len(example) < 2 or example.shape[1] > MOST_DRAWN:
        return []
    x = example.astype(np.float64)
    places, states = (
        [at for at, channel in enumerate(spec.channels or ()) if channel.kind == kind]
        for kind in ("place", "state")
    )
    if len(places) < 2:
        low, high = x.min(), x.max()
        heights = (high - x) / ((high - low) or 1.0)
        across = np.linspace(0, 1, len(x))
        return [np.stack([across, channel], axis=1) for channel in heights.T]
    place = x[:, places[:2]] * [1, -1]
    low, high = place.min(axis=0), place.max(axis=0)
    place = 0.5 + (place - (low + high) / 2) / ((high - low).max() or 1.0)
    pen = x[:, states[0]] if states else np.zeros(len(x))
    lifted: Any = np.flatnonzero(pen < pen.max()) if len(np.unique(pen)) == 2 else []
    return [stroke for stroke in np.split(place, lifted) if len(stroke) > 1]
