"""Sounds to examples: a recording becomes one channel of the package's rate and length, −1 to 1.

A recording is a WAV file, of whose header every size is checked before it is used, or samples. Its
constant offset is taken off, and the rate changed by a windowed sinc; docs/package-format.md has
it.

    y_m = Σ_k x_k f(c (m r/s − k)) / Σ_k f(c (m r/s − k))     from r to s samples a second
    f(u) = sin(πu)/(πu) · cos²(πu / 2Z) for |u| < Z, else 0
    c    = 0.97 · min(1, s/r)
"""

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.arrays import Array, Floats, as_array
from handful.runtime.errors import InputError
from handful.runtime.errors import quote as quoted
from handful.runtime.package.files import read_regular
from handful.runtime.package.manifest import InputSpec

from .folders import quote_path
from .remarks import remark

ZEROS = 32  # Z, of the sinc on either side
CUT = 0.97  # of the lower of both Nyquist frequencies, where f has half its height
TABLE = 2**20  # weights that are kept: of rates whose ratio needs more, they are made as they go
PER_TIME = 2**16  # products at a time, which a CPU's cache holds
MAX_BYTES = 2**27  # of a file
MIN_RATE, MAX_RATE = 4000, 192_000  # samples a second
MAX_CHANNELS = 16
MAX_CHUNKS = 1000  # before the samples: each is a few bytes of the file, and a pass of a loop
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
LONG = (b"RF64", b"BW64")  # for files beyond 4 GB, which recorders write of any length
ELSEWHERE = 2**32 - 1  # a size that stands in the chunk ds64, if there is one
# the subtype of EXTENSIBLE begins with the format; this is the rest of it
GUID = bytes.fromhex("000000001000800000aa00389b71")
NAMES = {2: "ADPCM", 6: "A-law", 7: "μ-law", 0x11: "ADPCM", 0x55: "MP3"}
SUFFIXES = (".wav", ".wave")
WANTED = "a WAV file of 8, 16, 24 or 32 bits, or of floats: ffmpeg -i FILE -c:a pcm_s16le OUT.wav"
CONVERT = {
    **dict.fromkeys((".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a"), f"convert it to {WANTED}"),
    **dict.fromkeys((".aac", ".wma", ".aif", ".aiff", ".caf", ".amr"), f"convert it to {WANTED}"),
}
# 24 bits are read as the upper bits of 32
SCALES = {"uint8": (128.0, 128.0), "int16": (0.0, 2.0**15), "int32": (0.0, 2.0**31)}
NO_ENERGY = 1e-12  # of a sample, on average: what rounding leaves of a constant
SILENCE = 1e-4  # root mean square: the lowest three steps of 16 bits, a muted microphone's noise
MAX_SAMPLES = 2**23  # of all channels, and at the new rate: minutes, in at most 300 MiB
LARGEST = float(np.finfo(np.float32).max)  # of floats that will be limited
LOUDEST = 2.0  # of floats, which a recorder may let go beyond ±1: those of a larger scale are said
DIVIDE = "; divide 16-bit samples by 32768 before they are written as floats"
SLACK = 1e-5  # floats may be beyond ±1 by a rounding
FORMS = "samples are [n] or [n, channels]: floats from -1 to 1, int16, int32 or uint8"
COLUMNS = 96  # of a waveform that is drawn


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples as they were recorded, and how many of them there are to a second.

    `samples` are [n], or [n, C] of C channels: floats from −1 to 1, int16, int32 or uint8.
    """

    samples: Array
    rate: int


def read_sound(path: str | Path, spec: InputSpec) -> Floats:
    """The sound in a WAV file as the package wants an example: float32 [L].

    InputError where the file is none, is broken or too large. The spec is of sounds.
    """
    return prepare_sound(read_wav(Path(path)), spec, quote_path(path))


def read_wav(path: str | Path) -> Sound:
    """The samples of a WAV file, [n, C]: uint8, int16, int32 or float32; InputError otherwise."""
    if not os.path.exists(path):
        raise InputError(f"no file {quote_path(path)}")
    real = Path(os.path.realpath(path))  # links are followed, as those to pictures are
    data = read_regular(real, limit=MAX_BYTES, error=InputError, absent="look at its name")
    try:
        return parse(data)
    except InputError as error:
        raise InputError(f"{quote_path(path)} {error}", hint=error.hint) from None


def parse(data: bytes) -> Sound:
    """The samples in the bytes of a WAV file."""
    if data[:4] == b"RIFX":
        raise InputError("is RIFX, a form of WAV that is not read", hint=WANTED)
    if data[:4] not in (b"RIFF", *LONG) or data[8:12] != b"WAVE":
        raise InputError("is not a WAV file", hint=WANTED)
    form, long_size, at = None, ELSEWHERE, 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            raise InputError("has no samples: it ends before them", hint="record it again")
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"data":
            if form is None:
                raise InputError("has samples before their format", hint="record it again")
            return _read_samples(data, at, long_size if size == ELSEWHERE else size, form)
        if size > len(data) - at:
            raise InputError("is cut off in its header", hint="copy it again, as a whole")
        if name == b"ds64" and size >= 16:
            long_size = int.from_bytes(data[at + 8 : at + 16], "little")
        if name == b"fmt ":
            form = _form(data[at : at + size])
        at += size
        if data[at : at + 4] not in (b"fmt ", b"data"):  # some writers forget the byte between
            at += size % 2  # chunks begin at even places
    raise InputError(f"has more than {MAX_CHUNKS} parts before its samples", hint=WANTED)


@dataclass(frozen=True)
class _Form:
    """The format of the samples."""

    floats: bool
    channels: int
    rate: int
    size: int  # bytes of a sample


def _read_samples(data: bytes, at: int, size: int, form: _Form) -> Sound:
    size = _known_size(data, at, size)
    frame = form.size * form.channels
    raw = data[at : at + size - size % frame]
    if not raw:
        raise InputError("has no samples", hint="record it again")
    if form.size == 3:  # in the upper three bytes of 32 bits
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        samples: Array = wide.view("<i4").reshape(-1)
    else:
        kinds = {4: "<f4", 8: "<f8"} if form.floats else {1: "u1", 2: "<i2", 4: "<i4"}
        samples = np.frombuffer(raw, kinds[form.size])
    return Sound(samples.reshape(-1, form.channels), form.rate)


def _known_size(data: bytes, at: int, size: int) -> int:
    """Of the samples that begin at `at`: what the header says, or all there are.

    A program that writes to a pipe, or is killed, leaves 0, a number beyond the file, or the length
    that it was asked to record.
    """
    left = len(data) - at
    return left if size > left or (size == 0 and not _are_parts(data, at)) else size


def _are_parts(data: bytes, at: int) -> bool:
    """Whether whole parts follow up to the file's end: then a size of 0 was meant."""
    for _ in range(MAX_CHUNKS):
        if at == len(data):
            return True
        name, size = data[at : at + 4], data[at + 4 : at + 8]
        if not (name.isascii() and name.decode().isprintable() and len(size) == 4):
            return False
        at += 8 + (number := int.from_bytes(size, "little")) + number % 2
    return False


def _form(chunk: bytes) -> _Form:
    if len(chunk) < 16:
        raise InputError("is cut off in its header", hint="copy it again, as a whole")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE and len(chunk) >= 40 and chunk[26:40] == GUID:
        tag = int.from_bytes(chunk[24:26], "little")
    if tag not in (PCM, FLOAT):
        name = NAMES.get(tag, f"format {tag}")
        raise InputError(f"holds {name}, wanted plain samples", hint=WANTED)
    if bits not in ((32, 64) if tag == FLOAT else (8, 16, 24, 32)):
        kind = "floats" if tag == FLOAT else "samples"
        raise InputError(f"has {kind} of {bits} bits", hint=WANTED)
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(f"has {rate} samples a second, wanted {MIN_RATE} to {MAX_RATE}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(f"has {channels} channels, wanted 1 to {MAX_CHANNELS}")
    if block != channels * bits // 8:
        raise InputError(
            f"says {block} bytes for {channels} × {bits} bits, which is {channels * bits // 8}",
            hint="record it again",
        )
    return _Form(tag == FLOAT, channels, rate, bits // 8)


def batch(examples: Any, spec: InputSpec, what: str) -> tuple[Floats, bool]:
    """float32 [B, L], and whether `examples` was a single one.

    A sound is the path of a WAV file, a `Sound`, or samples [n] at the package's rate; many are a
    list of these, or an array [B, n]. All are cut or padded to the package's length.
    """
    if is_one(examples):
        return _one(examples, spec, what)[None], True
    if isinstance(examples, list | tuple):
        if examples and all(isinstance(value, int | float) for value in examples):
            return _one(as_array(examples, what, FORMS), spec, what)[None], True
        rows = [_one(one, spec, f"{what} {i}") for i, one in enumerate(examples)]
        return np.stack(rows) if rows else np.zeros((0, *spec.shape), np.float32), False
    array = as_array(examples, what, FORMS)
    if array.ndim == 1:
        return _one(array, spec, what)[None], True
    if array.ndim != 2:
        raise InputError(f"{what} has shape {list(array.shape)}, wanted [n] or [B, n]", hint=FORMS)
    if array.shape[1:] == spec.shape:
        floats = np.empty(array.shape, np.float32)
        for i, row in enumerate(to_float(array, what)):
            floats[i] = remove_offset(row).clip(-1, 1)
        return floats, False
    rows = [_one(row, spec, f"{what} {i}") for i, row in enumerate(array)]
    return np.stack(rows) if rows else np.zeros((0, *spec.shape), np.float32), False


def is_one(value: Any) -> bool:
    """Whether it is a single sound, and no list or array of them."""
    return isinstance(value, str | Path | Sound) or getattr(value, "ndim", 0) == 1


def _one(value: Any, spec: InputSpec, what: str) -> Floats:
    if isinstance(value, str | Path):
        return read_sound(value, spec)
    if isinstance(value, Sound):
        return prepare_sound(value, spec, what)
    samples = as_array(value, what, FORMS)
    if samples.ndim != 1:
        raise InputError(
            f"{what} has samples of shape {list(samples.shape)}, wanted [n] at {spec.rate} hertz",
            hint="several channels, or another rate: handful.Sound(samples, rate)",
        )
    return prepare_sound(Sound(to_float(samples, what), spec.hertz), spec, what)


def to_float(x: Array, what: str, *, beyond: bool = False) -> Array:
    """Samples as floats from −1 to 1; `beyond`: floats that are beyond will be limited."""
    name = x.dtype.newbyteorder("=").name
    if name in SCALES:
        middle, scale = SCALES[name]
        scaled: Array = (x.astype(np.float64) - middle) / scale
        return scaled
    if x.dtype.kind != "f":
        raise InputError(f"{what} has dtype {x.dtype}", hint=FORMS)
    with np.errstate(over="ignore"):  # long doubles
        largest = float(np.abs(x).max(initial=0))
    if not math.isfinite(largest):
        raise InputError(f"{what} has values that are not finite", hint="look for NaN in it")
    if largest > (LARGEST if beyond else 1 + SLACK):
        raise InputError(
            f"{what} has values from {x.min():g} to {x.max():g}, wanted -1 to 1",
            hint="divide 16-bit samples by 32768, or give them as int16",
        )
    return x


def middle(x: Array) -> float:
    """The mean place of x's energy, Σ k x_k² / Σ x_k²; of silence, its middle."""
    energy = np.square(x, dtype=np.float64)
    whole = float(energy.sum())
    if whole <= len(x) * NO_ENERGY:
        return (len(x) - 1) / 2
    return float(energy @ np.arange(len(x), dtype=np.float64)) / whole


def remove_offset(x: Array) -> Array:
    """Samples [n] less their mean: microphones and sound cards add a constant."""
    return np.asarray(x - x.mean(dtype=np.float64))


def prepare_sound(sound: Sound, spec: InputSpec, what: str) -> Floats:
    """A sound as the package wants an example: float32 [L]; `what` names it in errors.

    Its channels are averaged, a constant offset is taken out, the rest is resampled, and cut or
    padded with silence.
    """
    rate = check_rate(sound.rate, f"{what} has the rate ")
    x = as_array(sound.samples, what, FORMS)
    if x.ndim not in (1, 2) or not x.size or x.shape[1:] > (MAX_CHANNELS,):
        raise InputError(f"{what} has samples of shape {list(x.shape)}", hint=FORMS)
    new = -(-len(x) * (spec.hertz or rate) // rate)
    if max(x.size, new) > MAX_SAMPLES:
        raise InputError(
            f"{what} has {x.size} samples, {new} at {spec.rate} hertz; at most {MAX_SAMPLES}",
            hint="cut the example out of it; handful.runtime.listener hears streams",
        )
    x = to_float(x, what, beyond=True)
    if (largest := float(np.abs(x).max())) > LOUDEST:
        remark(
            "limited", f"{what} has values up to {largest:g}: beyond ±1 they are cut off", DIVIDE
        )
    x = remove_offset(mix_down(x))
    x = resample(x, rate, spec.hertz or rate)
    x = cut(x, spec.shape[0])
    return x.clip(-1, 1).astype(np.float32)


def check_rate(rate: object, words: str) -> int:
    """A number of samples a second; InputError beginning with `words` where it makes no sense."""
    whole = isinstance(rate, int | np.integer) and not isinstance(rate, bool)
    if not whole or not MIN_RATE <= rate <= MAX_RATE:  # type: ignore[operator]  # a whole number
        raise InputError(f"{words}{quoted(rate)}, wanted {MIN_RATE} to {MAX_RATE} samples a second")
    return int(rate)  # type: ignore[call-overload,no-any-return]  # as above


def mix_down(x: Array) -> Array:
    """The mean of all channels of samples [n] or [n, C], float64 [n]."""
    mono: Array = (
        x.astype(np.float64, copy=False) if x.ndim == 1 else x.mean(axis=1, dtype=np.float64)
    )
    return mono


def cut(x: Array, length: int) -> Array:
    """`length` samples of x [n]: those about the middle of its energy, or all and silence."""
    if len(x) < length:
        before = (length - len(x)) // 2
        return np.pad(x, (before, length - len(x) - before))
    start = int(np.floor(middle(x) - (length - 1) / 2 + 0.5))
    start = min(max(start, 0), len(x) - length)
    return x[start : start + length]


def resample(x: Array, old: int, new: int) -> Array:
    """x [n] from `old` to `new` samples a second: float64 [⌈n · new / old⌉]."""
    x = np.asarray(x, np.float64)
    if old == new:
        return x
    common = math.gcd(old, new)
    up, down = new // common, old // common
    sinc = _Sinc(CUT * min(1, up / down))
    padded = np.concatenate([np.zeros(sinc.reach), x, np.zeros(sinc.reach + 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, sinc.width)
    count = -(-len(x) * up // down)
    y = np.empty(count)
    per_time = max(1, PER_TIME // sinc.width)
    kept = up <= count and up * sinc.width <= TABLE
    table = sinc.weights(np.arange(up) / up) if kept else None
    for at in range(0, count, per_time):
        place = np.arange(at, min(at + per_time, count), dtype=np.int64) * down
        whole, phase = place // up, place % up
        weights = sinc.weights(phase / up) if table is None else table[phase]
        y[at : at + per_time] = np.einsum("mk,mk->m", windows[whole], weights)
    return y


class _Sinc:
    """The weights of the old samples about a new one, at any place between two of them.

    sin(πu) and cos(πu / Z) are of a difference, u = c · fraction − c · k. The sines and cosines of
    the places and of the old samples give those of all pairs, so that weights are made in the time
    of a few multiplications, and no ratio of rates needs a table of them.
    """

    def __init__(self, ratio: float) -> None:
        """`ratio` is c."""
        self.ratio = ratio
        self.reach = int(np.ceil(ZEROS / ratio))  # old samples on either side
        self.width = 2 * self.reach + 1
        self._k = np.arange(-self.reach, self.reach + 1)
        self._old = {turn: _cos_sin(turn * ratio * self._k) for turn in (np.pi, np.pi / ZEROS)}

    def weights(self, fraction: Array) -> Array:
        """Of old samples −reach … reach for places at these fractions of a sample, [P, width]."""
        u = self.ratio * (fraction[:, None] - self._k)
        half = np.pi / ZEROS  # cos²(πu / 2Z) = (1 + cos(πu / Z)) / 2
        cos, sin = _cos_sin(np.pi * self.ratio * fraction)
        weights: Array = np.stack([sin, -cos], axis=1) @ self._old[np.pi]
        window = _cos_sin(half * self.ratio * fraction).T @ self._old[half]
        window += 1
        weights *= window
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is replaced below
            weights /= u
        near = slice(self.reach, self.reach + 2)  # where the sines are nearly equal, few digits
        weights[:, near] = np.pi * np.sinc(u[:, near]) * (1 + np.cos(half * u[:, near]))
        for ends in (slice(0, 2), slice(-2, None)):  # all others lie within Z
            weights[:, ends][np.abs(u[:, ends]) >= ZEROS] = 0
        weights /= weights.sum(axis=1, keepdims=True)
        return weights


def _cos_sin(x: Array) -> Array:
    return np.stack([np.cos(x), np.sin(x)])


def find_silent(x: Floats) -> Array:
    """Which examples [B, L] have no sound in them: bool [B]."""
    return np.asarray(x.std(axis=1, dtype=np.float64) < SILENCE)


def waveform(example: Floats, spec: InputSpec) -> list[Array]:
    """One line [n, 2] through the least and the largest sample of each of 96 parts of a sound.

    Places are from 0 to 1, to the right and downwards; the loudest sample reaches an edge.
    """
    parts = np.array_split(example.astype(np.float64), min(COLUMNS, len(example)))
    ends = np.array([(part.max(), part.min()) for part in parts])
    loudest = np.abs(ends).max() or 1.0
    across = np.repeat((np.arange(len(ends)) + 0.5) / len(ends), 2)
    return [np.stack([across, 0.5 - ends.reshape(-1) / (2 * loudest)], axis=1)]
