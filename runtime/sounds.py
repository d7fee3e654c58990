"""Sounds to examples, by the manifest's rate and length: files, folders of files, arrays."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.package.manifest import InputSpec
from handful.runtime.pictures.folders import SOUNDS, read_classes, shown
from handful.runtime.sound.fit import FORMS, prepare, unscaled
from handful.runtime.sound.wav import Sound, read_wav

from .arrays import Array, Floats
from .errors import InputError

__all__ = ["Sound", "prepare", "read_folder", "read_sound", "read_wav", "sound_batch"]

MAX_FILES = 100_000  # of a folder to adapt to


def read_sound(path: str | Path, spec: InputSpec) -> Floats:
    """The sound in a WAV file as the package wants an example: float32 [L].

    InputError where the file is none, is broken or too large, or the package takes no sound.
    """
    if spec.kind != "audio":
        raise InputError(
            f"the package takes {'pictures' if spec.kind == 'image' else 'arrays'}, not sound",
            hint="give adapt and predict what it was trained on",
        )
    return prepare(read_wav(Path(path)), spec, shown(path))


def read_folder(
    path: str | Path, spec: InputSpec, *, most: int = MAX_FILES
) -> dict[str, list[Floats]]:
    """{label: [sounds]} of a folder with one sub-folder a class, both in order of name.

    SupportSetError where the folder is not of this form or has more than `most` files, InputError
    with all files that cannot be read.
    """
    what, hint = "sounds", "leave some sounds out"
    read = partial(read_sound, spec=spec)
    return dict(read_classes(path, SOUNDS, read, most=most, what=what, hint=hint))


def is_one(value: Any) -> bool:
    """Whether it is a single sound, and no list or array of them."""
    return isinstance(value, str | Path | Sound) or getattr(value, "ndim", 0) == 1


def sound_batch(examples: Any, spec: InputSpec, what: str) -> tuple[Floats, bool]:
    """float32 [B, L], and whether `examples` was a single one.

    A sound is the path of a WAV file, a `Sound`, or samples [n] at the package's rate; many are a
    list of these, or an array [B, n]. All are cut or padded to the package's length.
    """
    if is_one(examples):
        return _one(examples, spec, what)[None], True
    if isinstance(examples, list | tuple):
        if examples and all(isinstance(value, int | float) for value in examples):
            return _one(_samples(examples, what), spec, what)[None], True
        rows = [_one(one, spec, f"{what} {i}") for i, one in enumerate(examples)]
        return np.stack(rows) if rows else np.zeros((0, *spec.shape), np.float32), False
    array = _samples(examples, what)
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
    samples = _samples(value, what)
    if samples.ndim != 1:
        raise InputError(
            f"{what} has samples of shape {list(samples.shape)}, wanted [n] at {spec.rate} hertz",
            hint="several channels, or another rate: handful.Sound(samples, rate)",
        )
    return prepare(Sound(unscaled(samples, what), spec.rate or 0), spec, what)


def _samples(value: Any, what: str) -> Array:
    try:
        array: Array = np.asarray(value)
    except Exception as error:  # an object's own __array__ raises what it likes
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"{what} of type {type(value).__name__} is not an array: {why}", hint=FORMS
        ) from error
    return array
