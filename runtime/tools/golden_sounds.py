"""Golden sounds: recordings in conformance.npz, and the examples that the rules make of them."""

from itertools import count
from math import gcd

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import PackageError
from handful.runtime.package.manifest import InputSpec, Manifest
from handful.runtime.sound.fit import prepare
from handful.runtime.sound.wav import MAX_CHANNELS, MAX_RATE, MIN_RATE, Sound

from .golden import HINT, THINNED, thinned

COUNT = 2
TOLERANCE = 1e-6  # two roundings of float32; the step of a 16-bit sample is thirty times more
MAX_SAMPLES = 2**20  # of a recording, all channels together
LONGEST = 2**13  # samples of the recording that is padded: the package is to stay small
THIN_ABOVE = 2**12  # samples of a new sound, of which more keep every k-th


def take_sounds(
    golden: dict[str, Array], manifest: Manifest, file: str
) -> list[tuple[str, Sound, Array, int]]:
    """Remove the sounds from `golden`: name, recording, what is to be made of it, of which 1 in k.

    A package may have none; it has both or none.
    """
    if manifest.input.kind != "audio" or not any(name.startswith("sound/") for name in golden):
        return []
    return [_taken(golden, f"sound/{i}", file) for i in range(COUNT)]


def _taken(golden: dict[str, Array], name: str, file: str) -> tuple[str, Sound, Array, int]:
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
        name: (thinned(prepare(sound, spec, name), every), wanted)
        for name, sound, wanted, every in sounds
    }


def draw_sounds(spec: InputSpec) -> dict[str, Array]:
    """The golden sounds of an audio package, always the same: each other rate, length and edge.

    The first has two channels, a higher rate and too few samples; the second is at the rate of a
    telephone, longer than an example, and so loud that its edges go beyond ±1.
    """
    rate, length = spec.rate or MIN_RATE, spec.shape[0]
    higher, lower = 44100 if rate != 44100 else 48000, 8000 if rate != 8000 else 11025
    short = min(LONGEST, length * higher // rate * 3 // 10 + 1)
    golden: dict[str, Array] = {}
    for i, (samples, at) in enumerate(
        [(_chirps(short, higher), higher), (_loud(length * lower // rate * 13 // 10 + 1), lower)]
    ):
        x = prepare(Sound(samples, at), spec, "a golden sound")
        every = _coprime(-(-length // THIN_ABOVE))
        name = f"sound/{i}/x" if every == 1 else f"sound/{i}/x[::{every}]"
        golden |= {f"sound/{i}": samples, f"sound/{i}/rate": np.array(at), name: thinned(x, every)}
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
    return np.round(8191 * (both + rng.uniform(-0.2, 0.2, both.shape))).astype(np.int16)


def _loud(size: int) -> Array:
    """One channel of edges at full scale between quiet noise: its middle is not the recording's."""
    rng = np.random.default_rng(1)
    places = np.arange(size)
    quiet = rng.integers(-300, 301, size)
    edges = np.where(places // 23 % 2, 32767, -32768)
    loud = (places > 0.4 * size) & (places < 0.7 * size)
    return np.where(loud, edges, quiet).astype(np.int16)[:, None]
