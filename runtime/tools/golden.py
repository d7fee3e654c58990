"""conformance.npz: golden examples and vectors, checked before a graph runs.

Beside the vectors of the graphs it may hold what comes before them: decoded pixels, recorded sounds
or readings of a series, each with the examples that the rules of docs/package-format.md make of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from handful.runtime.arrays import Array, Floats
from handful.runtime.errors import InputError, PackageError
from handful.runtime.inputs.pictures import prepare_pixels
from handful.runtime.inputs.resize import Pixels, is_too_narrow, scaled_size
from handful.runtime.inputs.series import resample, take_whole, windows
from handful.runtime.inputs.sounds import MAX_CHANNELS, MAX_RATE, MIN_RATE, Sound, prepare_sound
from handful.runtime.package.archive import Files
from handful.runtime.package.manifest import GOLDEN, InputSpec, Manifest, StageSpec
from handful.runtime.package.npz import read_npz
from handful.runtime.support import is_one_hot

FILE = GOLDEN
HINT = "export the package again"
MAX_BYTES = 2**26
MAX_EXAMPLES = 1000  # of the support set, and of the queries: each is answered alone as well
EXAMPLES = ("support_x", "support_y", "query_x")
SOUNDS, SCALE = ("support_x", "query_x"), 2**15  # which may be 16-bit samples, of this scale
START = "start/"  # begins the names of what is of a task without examples
AGAIN = "again/"  # of what is of a policy that goes on, by the same readings
TOLERANCE = "/tolerance"  # ends the name of a number beside a vector: how far others may be from it
MOST_OF_ANSWERS = 0.1  # that such a number may be of the answers: beyond it they are noise
THINNED = re.compile(r"(?P<name>[^\[]+)\[::(?P<every>[1-9][0-9]{0,8})\]")


class GoldenFile(NamedTuple):
    """All that conformance.npz holds: vectors, and what preprocessing makes of raw examples."""

    vectors: Golden
    pictures: list[tuple[Pixels, Array]]
    sounds: list[tuple[str, Sound, Array, int]]
    series: list[Series]
    bytes: int


def read_golden(files: Files, manifest: Manifest) -> GoldenFile:
    """The golden file of a package, every array checked; PackageError where it is broken."""
    absent = "a package runs without it, but nobody can tell what it should give: export it again"
    data = files.read(FILE, limit=MAX_BYTES, absent=absent)
    arrays = read_npz(data, limit=MAX_BYTES, name=FILE, error=PackageError, deflated=True)
    pictures = take_pictures(arrays, manifest, FILE)
    sounds = take_sounds(arrays, manifest, FILE)
    series = take_series(arrays, manifest, FILE)
    return GoldenFile(Golden(manifest, arrays), pictures, sounds, series, len(data))


class Golden:
    """Examples to adapt to and to ask, and what the trainer got on the way.

    `vectors` has every golden vector with its step k: it holds every k-th value, flattened.
    `tolerances` has the vectors that may differ by more than the default, and by how much.
    """

    def __init__(self, manifest: Manifest, arrays: dict[str, Array]) -> None:
        """PackageError where an array is missing, unknown, or not what the manifest says."""
        self.manifest = manifest
        self.answer = "logits" if manifest.task == "classification" else "outputs"
        self.vectors: dict[str, tuple[Array, int]] = {}
        self.tolerances: dict[str, float] = {}
        for key, value in arrays.items():
            if key.endswith(TOLERANCE):
                self.tolerances[key.removesuffix(TOLERANCE)] = self._tolerance(key, value)
                continue
            match = THINNED.fullmatch(key)
            name, every = (match["name"], int(match["every"])) if match else (key, 1)
            if name in self.vectors or "[" in name:
                raise _unknown(key)
            self.vectors[name] = value, every
        self._names()
        beside = self.vectors.keys() - EXAMPLES
        for name in self.tolerances:
            if name not in beside:
                raise _unknown(tolerance_key(name))
        self.support_x, self.query_x = (self._examples(name) for name in ("support_x", "query_x"))
        self.support_y = self._labels()

    def _tolerance(self, key: str, value: Array) -> float:
        most = MOST_OF_ANSWERS if key == tolerance_key(self.answer) else np.inf
        if value.dtype != np.float32 or value.shape or not 0 < value <= most or np.isinf(value):
            wanted = "finite" if np.isinf(most) else f"at most {most:g}"
            raise PackageError(
                f"{FILE}: `{key[:60]}` is {_describe(value)}, wanted one float32 above 0, {wanted}",
                hint=HINT,
            )
        return float(value)

    def _names(self) -> None:
        """Every vector is there, and no other: compared one by one, no list is made of them."""
        wanted = 0
        for name, dtype in self._expected():
            wanted += 1
            if name not in self.vectors:
                raise PackageError(f"{FILE} has no `{name}`", hint=HINT)
            value, every = self.vectors[name]
            sound = name in SOUNDS and self.manifest.input.kind == "audio"
            samples = sound and value.dtype == np.int16
            if (value.dtype != dtype and not samples) or (every > 1 and value.ndim != 1):
                shape = "one axis" if every > 1 else "its own shape"
                raise PackageError(
                    f"{FILE}: `{name}` is {value.dtype} {list(value.shape)}, "
                    f"wanted {dtype} of {shape}",
                    hint=HINT,
                )
        if len(self.vectors) > wanted:
            known = {name for name, _ in self._expected()}
            raise _unknown(next(name for name in self.vectors if name not in known))

    def _expected(self) -> Iterator[tuple[str, str]]:
        """The names in the order in which they come about, with their element types."""
        yield from ((name, "float32") for name in EXAMPLES)
        prefixes = ("",) if self.manifest.classes is None else ("", START)
        for prefix in prefixes:
            for stage in self.manifest.stages:
                for name, dtype in _of_stage(stage, self.manifest):
                    yield prefix + name, dtype
            yield prefix + self.answer, "float32"
        if self.manifest.task == "policy":
            first = self.manifest.stages[0]
            for stage in self.manifest.stages:
                for name, dtype in _of_stage(stage, self.manifest, begun=stage is first):
                    yield AGAIN + name, dtype
            yield AGAIN + self.answer, "float32"

    def _examples(self, name: str) -> Floats:
        value, every = self.vectors.pop(name)
        shape = self.manifest.input.shape
        if every != 1 or value.shape[1:] != shape or not 0 < len(value) <= MAX_EXAMPLES:
            raise PackageError(
                f"{FILE}: `{name}` is {list(value.shape)}, wanted 1 to {MAX_EXAMPLES} examples "
                f"of {list(shape)}",
                hint=HINT,
            )
        if value.dtype == np.int16:
            return value.astype(np.float32) / np.float32(SCALE)
        if not np.isfinite(value).all():
            raise PackageError(f"{FILE}: `{name}` has values that are not finite", hint=HINT)
        return value

    def _labels(self) -> Floats:
        value, every = self.vectors.pop("support_y")
        count = len(self.support_x)
        if every != 1 or value.ndim != 2 or len(value) != count or not value.shape[1]:
            raise PackageError(
                f"{FILE}: `support_y` is {list(value.shape)}, wanted a row for each of "
                f"{count} examples",
                hint=HINT,
            )
        if (width := self.manifest.targets) is not None:
            ok = bool(np.isfinite(value).all()) and value.shape[1] == width
            wanted = f"finite targets, {width} for each example"
        else:
            ok = is_one_hot(value, len(self.manifest.classes or ()))
            wanted = "a single 1 in every row, and one in every column"
            if self.manifest.classes is not None:
                ok = ok and value.shape[1] == len(self.manifest.classes)
                wanted = f"a single 1 in every row of {len(self.manifest.classes)}"
        if not ok:
            raise PackageError(f"{FILE}: `support_y` has other values than {wanted}", hint=HINT)
        return value


def _of_stage(
    stage: StageSpec, manifest: Manifest, *, begun: bool = False
) -> Iterator[tuple[str, str]]:
    outputs = manifest.graphs[stage.init].outputs
    for i in range(1 if begun else 0, stage.steps + 1):
        for tensor in outputs:
            yield f"{stage.name}/{i}/{tensor.name}", tensor.dtype
        if i:
            yield f"{stage.name}/{i}/loss", "float32"


def tolerance_key(name: str) -> str:
    """The name of the number beside a vector that says how far others may be from it."""
    return name + TOLERANCE


def _describe(value: Array) -> str:
    number = value.dtype == np.float32 and not value.shape
    return f"{float(value):g}" if number else f"{value.dtype} {list(value.shape)}"


def _unknown(key: str) -> PackageError:
    return PackageError(f"{FILE} has an unknown `{key[:60]}`", hint=HINT)


def thin(value: Array, every: int) -> Array:
    """Every k-th value, flattened in C order from the first; the array itself where k is 1."""
    return value if every == 1 else value.reshape(-1)[::every]


COUNT = 2
PICTURE_TOLERANCE = 1e-6  # two roundings of float32; a grey level is a thousand times more
MAX_PIXELS = 2**23  # of a picture
SHRUNK = ((3, 2), (9, 4))  # by how much the pictures are shrunk: less and more than twice
SMALL, LARGE = 128, 1024  # pixels of the resized side: the package is to stay small


def take_pictures(
    golden: dict[str, Array], manifest: Manifest, file: str
) -> list[tuple[Pixels, Array]]:
    """Remove the pictures from `golden`: the pixels of each, and what is to be made of them.

    Packages of arrays and of sound have none.
    """
    if manifest.input.kind != "image":
        return []
    pairs = []
    for name, prepared_name in ((f"picture/{i}", f"picture/{i}/x") for i in range(COUNT)):
        for key in (name, prepared_name):
            if key not in golden:
                raise PackageError(f"{file} has no `{key}`", hint=HINT)
        pixels = golden.pop(name)
        right = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        if not right or not 0 < pixels.size <= 3 * MAX_PIXELS:
            raise PackageError(
                f"`{name}` in {file} is {pixels.dtype} {list(pixels.shape)},"
                f" wanted uint8 [H, W, 3] with at most {MAX_PIXELS} pixels",
                hint=HINT,
            )
        height, width, _ = pixels.shape
        if is_too_narrow((width, height), manifest.input):
            raise PackageError(
                f"`{name}` in {file} is {width} × {height}, too long and narrow to resize",
                hint=HINT,
            )
        pairs.append((pixels, golden.pop(prepared_name)))
    return pairs


def replay_pictures(spec: InputSpec, pairs: list[tuple[Pixels, Array]]) -> dict[str, float]:
    """max|a − b| / max(max|b|, 1e-3) of each picture."""
    return {
        f"picture/{i}/x": _difference(prepare_pixels(pixels, spec), prepared)
        for i, (pixels, prepared) in enumerate(pairs)
    }


def draw_pictures(spec: InputSpec) -> dict[str, Array]:
    """The golden pictures of an image package: gradients, edges and noise, always the same."""
    golden: dict[str, Array] = {}
    for i, (short, long) in enumerate(_sizes(spec)):
        height, width = (short, long) if i % 2 else (long, short)
        pixels = _picture(height, width, np.random.default_rng(i))
        golden[f"picture/{i}"] = pixels
        golden[f"picture/{i}/x"] = prepare_pixels(pixels, spec)
    return golden


def _sizes(spec: InputSpec) -> list[tuple[int, int]]:
    """The shorter and the longer side of each picture: no multiples of what they become."""
    side = scaled_size((1, 1), spec.resize)[0]
    if side > LARGE:
        return [(700, 901), (900, 1201)]
    if side > SMALL:
        return [(side + 1, side + side // 3), (side + side // 7, side + side // 2)]
    return [(side * a // b + 1, side * a * 4 // (b * 3) + 2) for a, b in SHRUNK]


def _picture(height: int, width: int, rng: np.random.Generator) -> Pixels:
    y, x = np.mgrid[:height, :width]
    ramps = np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)], axis=-1)
    noise = rng.integers(-20, 21, (height, width, 3))
    pixels = np.clip(ramps + noise, 0, 255).astype(np.uint8)
    pixels[(x // 5 + y // 7) % 4 == 0] = (255, 255, 255)  # edges, where filters overshoot
    pixels[(x // 3 + y // 5) % 7 == 0] = (0, 0, 0)
    return pixels


def _difference(prepared: Any, golden: Array) -> float:
    a, b = np.asarray(prepared, np.float64), np.asarray(golden, np.float64)
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-3))


SOUND_TOLERANCE = 1e-6  # two roundings of float32; the step of a 16-bit sample is thirty times more
MAX_SAMPLES = 2**20  # of a recording, all channels together
LONGEST = 2**13  # samples of the recording that is padded: the package is to stay small
OFFSET = 655  # of the first recording, 0.02 of full scale
THIN_ABOVE = 2**12  # samples of a new sound, of which more keep every k-th


def take_sounds(
    golden: dict[str, Array], manifest: Manifest, file: str
) -> list[tuple[str, Sound, Array, int]]:
    """Remove the sounds from `golden`: name, recording, what is to be made of it, of which 1 in k.

    A package may have none; it has both or none.
    """
    if manifest.input.kind != "audio" or not any(name.startswith("sound/") for name in golden):
        return []
    return [_take(golden, f"sound/{i}", file) for i in range(COUNT)]


def _take(golden: dict[str, Array], name: str, file: str) -> tuple[str, Sound, Array, int]:
    thin = next((key for key in golden if _plain(key) == f"{name}/x"), f"{name}/x")
    for key in (name, f"{name}/rate", thin):
        if key not in golden:
            raise PackageError(f"{file} has no `{key}`", hint=HINT)
    samples, rate, x = (golden.pop(key) for key in (name, f"{name}/rate", thin))
    right = samples.dtype == np.int16 and samples.ndim == 2 and samples.shape[1] <= MAX_CHANNELS
    if not right or not 0 < samples.size <= MAX_SAMPLES:
        raise PackageError(
            f"`{name}` in {file} is {samples.dtype} {list(samples.shape)}, wanted int16 [n, C]"
            f" of at most {MAX_CHANNELS} channels and {MAX_SAMPLES} samples",
            hint=HINT,
        )
    if rate.dtype != np.int64 or rate.shape or not MIN_RATE <= rate <= MAX_RATE:
        raise PackageError(
            f"`{name}/rate` in {file} is {rate.dtype} {list(rate.shape)}, wanted one int64 from"
            f" {MIN_RATE} to {MAX_RATE}",
            hint=HINT,
        )
    match = THINNED.fullmatch(thin)
    return f"{name}/x", Sound(samples, int(rate)), x, int(match["every"]) if match else 1


def _plain(key: str) -> str:
    match = THINNED.fullmatch(key)
    return match["name"] if match else key


def replay_sounds(
    spec: InputSpec, sounds: list[tuple[str, Sound, Array, int]]
) -> dict[str, tuple[Array, Array]]:
    """What this runtime makes of each recording, and what the file says, by the vector's name."""
    return {
        name: (thin(prepare_sound(sound, spec, name), every), wanted)
        for name, sound, wanted, every in sounds
    }


def draw_sounds(spec: InputSpec) -> dict[str, Array]:
    """The golden sounds of an audio package, always the same: each other rate, length and edge.

    The first has two channels, a constant offset, a higher rate and too few samples; the second is
    at the rate of a telephone, longer than an example, and so loud that its edges go beyond ±1.
    """
    rate, length = spec.hertz, spec.shape[0]
    higher, lower = 44100 if rate != 44100 else 48000, 8000 if rate != 8000 else 11025
    short = min(LONGEST, length * higher // rate * 3 // 10 + 1)
    golden: dict[str, Array] = {}
    for i, (samples, at) in enumerate(
        [(_chirps(short, higher), higher), (_loud(length * lower // rate * 13 // 10 + 1), lower)]
    ):
        x = prepare_sound(Sound(samples, at), spec, "a golden sound")
        every = _coprime(-(-length // THIN_ABOVE))
        name = f"sound/{i}/x" if every == 1 else f"sound/{i}/x[::{every}]"
        golden |= {f"sound/{i}": samples, f"sound/{i}/rate": np.array(at), name: thin(x, every)}
    return golden


def _coprime(least: int) -> int:
    """The first k from `least` on that shares no factor with the usual rates.

    So every k-th new sample still lies at all places between two old ones.
    """
    return next(k for k in count(least) if gcd(k, 2 * 3 * 5 * 7) == 1)


def _chirps(size: int, rate: int) -> Array:
    """Two channels that rise through all pitches, with noise: what a filter has to keep apart."""
    rng = np.random.default_rng(0)
    seconds = np.arange(size) / rate
    rising = np.pi * rate * seconds**2 / (2 * max(seconds[-1], 1 / rate))
    both = np.stack([0.7 * np.sin(rising), 0.5 * np.cos(rising / 2)], axis=1)
    return np.round(8191 * (both + rng.uniform(-0.2, 0.2, both.shape)) + OFFSET).astype(np.int16)


def _loud(size: int) -> Array:
    """One channel of edges at full scale between quiet noise: its middle is not the recording's."""
    rng = np.random.default_rng(1)
    places = np.arange(size)
    quiet = rng.integers(-300, 301, size)
    edges = np.where(places // 23 % 2, 32767, -32768)
    loud = (places > 0.4 * size) & (places < 0.7 * size)
    return np.where(loud, edges, quiet).astype(np.int16)[:, None]


SERIES_TOLERANCE = 1e-6  # two roundings of float32
MAX_READINGS = 2**18  # values of a golden recording
TICKS = 1e6  # of the times, in a second
Series = tuple[str, Array, Array | None, Array]  # name, readings, seconds, examples


def take_series(golden: dict[str, Array], manifest: Manifest, file: str) -> list[Series]:
    """Remove the series from `golden`: readings and times, and the examples to be made of them.

    A package may have none; it has both or none.
    """
    spec = manifest.input
    reads = spec.kind == "array" and (spec.whole or spec.rate)
    if not reads or not any(name.startswith("series/") for name in golden):
        return []
    return [_series(golden, f"series/{i}", spec, file) for i in range(COUNT)]


def _series(golden: dict[str, Array], name: str, spec: InputSpec, file: str) -> Series:
    for key in (name, f"{name}/x"):
        if key not in golden:
            raise PackageError(f"{file} has no `{key}`", hint=HINT)
    x, examples, times = golden.pop(name), golden.pop(f"{name}/x"), None
    right = x.dtype == np.float32 and x.shape[1:] == spec.shape[1:] and np.isfinite(x).all()
    if not right or not 0 < x.size <= MAX_READINGS:
        raise PackageError(
            f"`{name}` in {file} is {x.dtype} {list(x.shape)}, wanted finite float32"
            f" [n, {spec.shape[1]}] of at most {MAX_READINGS} values",
            hint=HINT,
        )
    if f"{name}/times" in golden or spec.rate:
        times = golden.pop(f"{name}/times", np.zeros(0))
        right = times.dtype == np.int64 and times.shape == x.shape[:1] and times[0] == 0
        still = bool(spec.rate) and right and not times[-1]  # it would have no rate of its own
        if not right or still or (np.diff(times) < 0).any() or times[-1] > 2**53:
            raise PackageError(
                f"`{name}/times` in {file} is {times.dtype} {list(times.shape)}, wanted an int64"
                " for each reading, from 0 on and never falling, at most 2⁵³, not all 0 at a rate",
                hint=HINT,
            )
    return name, x, None if times is None else times / TICKS, examples


def replay_series(spec: InputSpec, series: list[Series]) -> dict[str, tuple[Array, Array]]:
    """What this runtime makes of each recording, and what the file says, by the vector's name."""
    return {
        f"{name}/x": (_make(spec, x, seconds, name), wanted) for name, x, seconds, wanted in series
    }


def _make(spec: InputSpec, x: Array, seconds: Array | None, name: str) -> Array:
    try:
        if spec.whole:
            return take_whole(x, spec, seconds, name)[None]
        assert seconds is not None
        assert spec.rate is not None
        if seconds[-1] * spec.rate * x.shape[1] > MAX_READINGS:
            raise InputError(f"more than {MAX_READINGS} values at {spec.rate:g} readings a second")
        return windows(resample(x, spec, seconds, name), spec.shape[0])
    except InputError as error:
        raise PackageError(f"`{name}` in {FILE}: {error}", hint=HINT) from error


def draw_series(spec: InputSpec) -> dict[str, Array]:
    """The golden series of a package that reads recordings between their readings, always the same.

    The first has more readings than an example, the second fewer; in both some follow each other at
    one place, and at one time. Times are uneven.
    """
    if spec.kind != "array" or not (spec.whole or spec.rate):
        return {}
    golden: dict[str, Array] = {}
    for i, share in enumerate((2.6, 0.6)):
        rng = np.random.default_rng(i)
        count = max(2, round(spec.shape[0] * share))
        x = rng.normal(size=(count, spec.shape[1])).cumsum(axis=0)
        for c, channel in enumerate(spec.channels or ()):
            if channel.kind == "state":
                x[:, c] = rng.random(count) < 0.7
        still = np.flatnonzero(rng.random(count - 1) < 0.1)
        x[still + 1] = x[still]
        x = x.astype(np.float32)
        seconds = None
        golden[f"series/{i}"] = x
        if spec.rate or (spec.whole == "time" and i):
            steps = rng.uniform(0.2, 1.8, count - 1) * (rng.random(count - 1) < 0.9)
            pace = spec.rate or 100
            rate = pace * (1.7 if i else 0.8)
            times = np.concatenate([[0], np.cumsum(np.round(steps / rate * TICKS))])
            times[-1] += 1  # so that not all of them are one
            golden[f"series/{i}/times"] = times.astype(np.int64)
            seconds = golden[f"series/{i}/times"] / TICKS
        golden[f"series/{i}/x"] = _make(spec, x, seconds, f"series/{i}")
    return golden
