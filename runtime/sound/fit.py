"""From recorded samples to an example: one channel, the package's rate and length, −1 to 1."""

import numpy as np

from handful.runtime.arrays import Array, Floats
from handful.runtime.errors import InputError
from handful.runtime.package.manifest import InputSpec

from .resample import resampled
from .wav import MAX_CHANNELS, MAX_RATE, MIN_RATE, Sound

# 24 bits are read as the upper bits of 32
SCALES = {"uint8": (128.0, 128.0), "int16": (0.0, 2.0**15), "int32": (0.0, 2.0**31)}
MAX_SAMPLES = 2**23  # of all channels, and at the new rate: minutes, in at most 300 MiB
SLACK = 1e-5  # floats may be beyond ±1 by a rounding
FORMS = "samples are [n] or [n, channels]: floats from -1 to 1, int16, int32 or uint8"


def prepare(sound: Sound, spec: InputSpec, what: str) -> Floats:
    """A sound as the package wants an example: float32 [L]; `what` names it in errors.

    Its channels are averaged, the mean resampled, and cut or padded with silence.
    """
    if type(sound.rate) is not int or not MIN_RATE <= sound.rate <= MAX_RATE:
        raise InputError(
            f"{what} has the rate {sound.rate!r}, wanted {MIN_RATE} to {MAX_RATE} samples a second"
        )
    x = np.asarray(sound.samples)
    if x.ndim not in (1, 2) or not x.size or x.shape[1:] > (MAX_CHANNELS,):
        raise InputError(f"{what} has samples of shape {list(x.shape)}", hint=FORMS)
    new = -(-len(x) * (spec.rate or sound.rate) // sound.rate)
    if max(x.size, new) > MAX_SAMPLES:
        raise InputError(
            f"{what} has {x.size} samples, {new} at {spec.rate} hertz; at most {MAX_SAMPLES}",
            hint="cut the example out of it; handful.runtime.listener hears streams",
        )
    mono = unscaled(x, what, beyond=True)
    mono = mono if mono.ndim == 1 else mono.mean(axis=1)
    x = cut(resampled(mono, sound.rate, spec.rate or sound.rate), spec.shape[0])
    return x.clip(-1, 1).astype(np.float32)


def unscaled(x: Array, what: str, *, beyond: bool = False) -> Array:
    """Samples as floats from −1 to 1; `beyond`: floats that are beyond will be limited."""
    name = x.dtype.newbyteorder("=").name
    if name in SCALES:
        middle, scale = SCALES[name]
        scaled: Array = (x.astype(np.float64) - middle) / scale
        return scaled
    if x.dtype.kind != "f":
        raise InputError(f"{what} has dtype {x.dtype}", hint=FORMS)
    if not np.isfinite(x).all():
        raise InputError(f"{what} has values that are not finite", hint="look for NaN in it")
    if not beyond and x.size and np.abs(x).max() > 1 + SLACK:
        raise InputError(
            f"{what} has values from {x.min():g} to {x.max():g}, wanted -1 to 1",
            hint="divide 16-bit samples by 32768, or give them as int16",
        )
    return x


def cut(x: Array, length: int) -> Array:
    """`length` samples of x [n]: those about the middle of its energy, or all and silence."""
    if len(x) < length:
        before = (length - len(x)) // 2
        return np.pad(x, (before, length - len(x) - before))
    start = int(np.floor(middle(x) - (length - 1) / 2 + 0.5))
    start = min(max(start, 0), len(x) - length)
    return x[start : start + length]


def middle(x: Array) -> float:
    """The mean place of x's energy, Σ k x_k² / Σ x_k²; of silence, its middle."""
    energy = np.square(x, dtype=np.float64)
    whole = float(energy.sum())
    return float(energy @ np.arange(len(x))) / whole if whole > 0 else (len(x) - 1) / 2
