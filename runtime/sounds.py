"""Sounds to examples, by the manifest's rate and length: files, recordings, arrays."""

from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.package.manifest import InputSpec
from handful.runtime.pictures.folders import shown
from handful.runtime.sound.fit import FORMS, prepare, unscaled
from handful.runtime.sound.wav import Sound, read_wav

from .arrays import Floats, as_array
from .errors import InputError


def read_sound(path: str | Path, spec: InputSpec) -> Floats:
    """The sound in a WAV file as the package wants an example: float32 [L].

    InputError where the file is none, is broken or too large. The spec is of sounds.
    """
    return prepare(read_wav(Path(path)), spec, shown(path))


def is_one(value: Any) -> bool:
    """Whether it is a single sound, and no list or array of them."""
    return isinstance(value, str | Path | Sound) or getattr(value, "ndim", 0) == 1


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
        floats = unscaled(array, what).astype(np.float32)
        return np.ascontiguousarray(floats.clip(-1, 1)), False
    rows = [_one(row, spec, f"{what} {i}") for i, row in enumerate(array)]
    return np.stack(rows) if rows else np.zeros((0, *spec.shape), np.float32), False


def _one(value: Any, spec: InputSpec, what: str) -> Floats:
    if isinstance(value, str | Path):
        return read_sound(value, spec)
    if isinstance(value, Sound):
        return prepare(value, spec, what)
    samples = as_array(value, what, FORMS)
    if samples.ndim != 1:
        raise InputError(
            f"{what} has samples of shape {list(samples.shape)}, wanted [n] at {spec.rate} hertz",
            hint="several channels, or another rate: handful.Sound(samples, rate)",
        )
    return prepare(Sound(unscaled(samples, what), spec.rate or 0), spec, what)
