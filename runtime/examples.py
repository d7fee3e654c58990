"""Examples as an application has them → the float32 batch that the graphs read.

An example is an array of the package's shape, a file's path, or, where the package takes pictures,
a picture of any size: a PIL.Image, or a camera's frame, uint8 [h, w, 3] in the order R, G, B.
"""

import os
import sys
from typing import Any

import numpy as np

from handful.runtime.package.manifest import InputSpec

from .arrays import Array, Floats
from .errors import InputError
from .images import prepare, prepare_image, read_image
from .readings import opened
from .sounds import sound_batch

MAX_EXAMPLES = 1_000_000
SLACK = 1e-5  # of the range's width: resampled floats may overshoot by a rounding
FILLED = "fill it in with .filled(value), or leave the examples with masked values out"
NUMBERS = "integers or floats"
PIXELS = "convert with .astype(np.uint8) for pixels 0 to 255, or .astype(np.float32)"
SCALED = "uint8 pixels are brought into range by the package; float examples are taken as they are"


def to_batch(examples: Any, spec: InputSpec, what: str) -> tuple[Floats, bool]:
    """float32 [B, ...] in the package's shape, and whether `examples` was a single one.

    Pictures of any size are resized and cut by the manifest's preprocessing; paths of .npy and
    .csv files become arrays, see `readings.opened`; of audio `examples` may be paths and Sounds,
    see `sound_batch`. An array of the package's own shape is an example already: uint8, and where
    the kind is "array" any integers, are scaled as the manifest says, floats are checked and taken
    as they are; the channel axis of a one-channel image may be missing. A list may mix all of
    these. `what` names the examples in errors: `query`. InputError where they are not what the
    manifest says, and for masked arrays: a graph sees no mask.
    """
    if spec.kind == "audio":
        _unmasked(examples, what)
        x, single = sound_batch(examples, spec, what)
        _count(len(x), what)
        return x, single
    if spec.kind == "array":
        examples = opened(examples, spec)
    if isinstance(examples, list | tuple):
        _count(len(examples), what)
        items = [_given(item, spec, f"{what} {i}") for i, item in enumerate(examples)]
        if not items or items[0].ndim:
            shaped = [_one(item, spec, f"{what} {i}") for i, item in enumerate(items)]
            empty = np.zeros((0, *spec.shape), np.float32)
            return np.stack(shaped) if shaped else empty, False
    array = _given(examples, spec, what)
    single = array.shape in _shapes(spec)
    if not single and array.shape[1:] not in _shapes(spec):
        raise _wrong_shape(array, spec, what)
    array = array.reshape((1 if single else len(array), *spec.shape))
    _count(len(array), what)
    return _floats(array, spec, what, single), single


def _one(array: Array, spec: InputSpec, what: str) -> Floats:
    if array.shape not in _shapes(spec):
        raise _wrong_shape(array, spec, what)
    example: Floats = _floats(array.reshape((1, *spec.shape)), spec, what, True)[0]
    return example


def _given(value: Any, spec: InputSpec, what: str) -> Array:
    """An array as it is; a picture, or a batch of frames, as the graphs see it."""
    pillow = sys.modules.get("PIL.Image")  # without it no value can be one of its images
    if pillow is not None and isinstance(value, pillow.Image):
        return prepare_image(value, spec)
    if (path := _path(value)) is not None:
        return read_image(path, spec)
    array = _array(value, what)
    shapes = _shapes(spec)
    is_pixels = array.dtype == np.uint8 and array.shape[-1:] == (3,) and array.size > 0
    if spec.kind != "image" or not is_pixels or array.shape in shapes or array.shape[1:] in shapes:
        return array
    if array.ndim == 4:
        _count(len(array), what)
        return np.stack([prepare(frame, spec) for frame in array])
    return prepare(array, spec) if array.ndim == 3 else array


def _path(value: object) -> str | None:
    if not isinstance(value, str | os.PathLike):
        return None
    try:
        return os.fsdecode(value)
    except Exception:  # an application's object whose __fspath__ fails; it may be an array
        return None


def _array(value: Any, what: str) -> Array:
    _unmasked(value, what)
    try:
        return np.asarray(value)
    except Exception as error:  # an object's own __array__ raises what it likes
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"{what} of type {type(value).__name__} is not an array: {why}",
            hint="give a numpy array, or what numpy.asarray makes one of",
        ) from error


def _unmasked(value: Any, what: str) -> None:
    if is_masked(value):
        raise InputError(f"{what} is a masked array, whose mask no graph would see", hint=FILLED)


def is_masked(value: object) -> bool:
    """Whether it is one of numpy's masked arrays, or a list that has one in it."""
    masked = sys.modules.get("numpy.ma")  # numpy loads it with the first one, in some 10 ms
    if masked is None:
        return False
    if isinstance(value, list | tuple):
        return any(isinstance(item, masked.MaskedArray) for item in value)
    return isinstance(value, masked.MaskedArray)


def _shapes(spec: InputSpec) -> tuple[tuple[int, ...], ...]:
    if spec.kind == "image" and spec.colour == "grey":
        return spec.shape, spec.shape[:-1] if spec.layout == "HWC" else spec.shape[1:]
    return (spec.shape,)


def _wrong_shape(array: Array, spec: InputSpec, what: str) -> InputError:
    hint = "one example a call, or a list or a batch of them, all of this shape"
    if len(spec.shape) == 2 and array.shape[1:] == spec.shape[1:]:
        hint = f"a recording is cut by handful.windows(x, {spec.shape[0]})"
    if spec.kind == "image":
        hint = (
            f"the layout is {spec.layout}; pictures of any size are given as paths, as PIL.Image,"
            " or as uint8 [h, w, 3]"
        )
    return InputError(
        f"{what} has shape {list(array.shape)}, wanted {list(spec.shape)} or a batch of them",
        hint=hint,
    )


def _count(number: int, what: str) -> None:
    if number > MAX_EXAMPLES:
        raise InputError(
            f"{number} examples in one call ({what}), at most {MAX_EXAMPLES} are taken",
            hint="give them in several calls",
        )


def _floats(array: Array, spec: InputSpec, what: str, single: bool) -> Floats:
    if array.dtype == np.uint8:
        scaled = array * np.float32(spec.scale) + np.float32(spec.offset)
        return np.ascontiguousarray(scaled, dtype=np.float32)
    if array.dtype.kind in "iu" and spec.kind == "array":
        array = array.astype(np.float32) * np.float32(spec.scale) + np.float32(spec.offset)
    if array.dtype.kind != "f":
        pixels = spec.kind == "image"
        raise InputError(
            f"{what} has dtype {array.dtype}, wanted {'uint8 or float32' if pixels else NUMBERS}",
            hint=PIXELS if pixels else "convert with .astype(np.float32)",
        )
    with np.errstate(over="ignore"):  # a float64 too large becomes infinite and is refused below
        floats = np.ascontiguousarray(array, dtype=np.float32)
    low, high = (floats.min(), floats.max()) if floats.size else (0.0, 0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        at = _which(~np.isfinite(floats), what, single)
        raise InputError(f"{at} has values that are not finite", hint="look for NaN in the source")
    if spec.range is not None and floats.size:
        slack = SLACK * (spec.range[1] - spec.range[0])
        outside = (floats < spec.range[0] - slack) | (floats > spec.range[1] + slack)
        if outside.any():
            raise InputError(
                f"{_which(outside, what, single)} has values from {low:g} to {high:g}, "
                f"wanted {spec.range[0]:g} to {spec.range[1]:g}",
                hint=SCALED,
            )
    return floats


def _which(bad: Array, what: str, single: bool) -> str:
    first = int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
    return what if single else f"{what} {first}"
