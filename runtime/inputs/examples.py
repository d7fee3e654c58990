"""The kinds of input, one row a kind: what users call it, and how files and objects are examples.

Everything that depends on a package's kind of input asks this table. An example is an array of the
package's shape, a file's path, or an object of the kind: of pictures a PIL.Image or a camera's
frame, uint8 [h, w, 3] in the order R, G, B; of sounds a `Sound`.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from handful.runtime.arrays import Array, Floats, as_array, refuse_more
from handful.runtime.errors import InputError, SupportSetError
from handful.runtime.package.manifest import InputSpec
from handful.runtime.progress import Meter, Progress

from . import pictures, series, sounds
from .folders import MAX_FILES, Files, class_folders, quote_path, read_classes
from .remarks import say_once
from .resize import Pixels
from .sounds import Sound

PIECE = 8  # examples
SLACK = 1e-5  # of the range's width: resampled floats may overshoot by a rounding
PIXELS = "convert with .astype(np.uint8) for pixels 0 to 255, or .astype(np.float32)"
SCALED = "uint8 pixels are brought into range by the package; float examples are taken as they are"


class HasArray(Protocol):
    """What numpy makes an array of: a tensor, a column of a table."""

    def __array__(self, *args: Any, **how: Any) -> Any:
        """The values."""


class Picture(Protocol):
    """What a type checker asks of a `PIL.Image.Image`, so that Pillow need not be installed."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""

    @property
    def mode(self) -> str:
        """What a pixel is: `L`, `RGB`, …."""

    def load(self) -> Any:
        """Decode it."""


# one example or query, as a type checker sees it; a stack of them is an array as well
Example: TypeAlias = str | os.PathLike[str] | Array | HasArray | Picture | Sound
AnExample = TypeVar("AnExample", bound=Example)
# numbers in lists: an example of a package of arrays, or several
Numbers: TypeAlias = float | Sequence[float] | Sequence[Sequence[float]]
SomeNumbers = TypeVar("SomeNumbers", bound=Numbers)
Examples: TypeAlias = Example | Sequence[Example] | Sequence[Numbers]


@dataclass(frozen=True)
class Kind:
    """One kind of input, as `input.kind` of a manifest names it."""

    takes: str  # what a package of this kind takes, as an error says it
    forms: Callable[[InputSpec], str]  # in which S examples are given, as a model card says it
    files: Files  # their endings, and what they are called
    read: Callable[[str | Path, InputSpec], Array]  # the examples [n, …] in a file, cut to shape
    # which of the examples [B, …], as the graphs see them, have nothing in them: bool [B]
    empty: Callable[[Floats, InputSpec], Array]
    nothing: str  # what such an example is
    # float32 [B, …] of what an application has, and whether that was a single example
    batch: Callable[[Any, InputSpec, str], tuple[Floats, bool]]
    owns: Callable[[object], bool] = lambda value: False  # whether it is an object of this kind
    ready: Callable[[], None] = lambda: None  # InputError where its files cannot be read here
    # how an example is shown: its pixels, or lines [n, 2] from 0 to 1, to the right and downwards
    pixels: Callable[[Floats, InputSpec], Pixels] | None = None
    lines: Callable[[Floats, InputSpec], list[Array]] | None = None


@dataclass(frozen=True)
class _Arrays:
    """How the examples of a kind are given as arrays."""

    shapes: Callable[[InputSpec], tuple[tuple[int, ...], ...]]  # that one example may have
    hint: Callable[[InputSpec, Array], str]  # for an array of another shape
    integers: str  # the kinds of numpy's types that are scaled as the manifest says
    wanted: str  # the types that are taken
    convert: str  # what to do about another one
    # a value as an array, or as what becomes one
    to_array: Callable[[Any, InputSpec, str], Array] = lambda value, spec, what: as_array(
        value, what
    )


def to_batch(examples: Any, spec: InputSpec, what: str) -> tuple[Floats, bool]:
    """float32 [B, ...] in the package's shape, and whether `examples` was a single one.

    Pictures of any size are resized and cut by the manifest's preprocessing; paths of .npy and
    .csv files become arrays, see `series.open_files`; of audio `examples` may be paths and Sounds,
    see `sounds.batch`. An array of the package's own shape is an example already: uint8, and where
    the kind is "array" any integers, are scaled as the manifest says, floats are checked and taken
    as they are; the channel axis of a one-channel image may be missing. A list may mix all of
    these. `what` names the examples in errors: `query`. InputError where they are not what the
    manifest says, and for masked arrays: a graph sees no mask.
    """
    kind = KINDS[spec.kind]
    several = isinstance(examples, list | tuple)
    if several:
        refuse_more(len(examples), what)
    for value in examples if several else (examples,):
        for other in KINDS.values():
            if other is not kind and other.owns(value):
                raise InputError(
                    f"the package takes {kind.takes}, not {other.takes}",
                    hint="give adapt and predict what it was trained on",
                )
    with say_once():
        x, single = kind.batch(examples, spec, what)
    refuse_more(len(x), what)
    return x, single


def find_empty(x: Floats, spec: InputSpec) -> Array:
    """Which examples x [B, ...] have nothing in them, by the rules of docs/package-format.md."""
    found = [KINDS[spec.kind].empty(piece, spec) for piece in in_pieces(x)]
    return np.concatenate(found) if found else np.zeros(0, bool)


def in_pieces(x: Array) -> list[Array]:
    """Examples [B, ...] a few at a time, where a computation takes a multiple of their memory."""
    return [x[at : at + PIECE] for at in range(0, len(x), PIECE)]


def read_folder(
    path: str | Path,
    spec: InputSpec,
    *,
    most: int = MAX_FILES,
    progress: Progress | None = None,
) -> dict[str, list[Array]]:
    """{label: [examples]} of a folder with one sub-folder a class, both in order of name.

    SupportSetError where the folder is not of this form (see `class_folders`) or has more than
    `most` files or examples, InputError with all files that cannot be read. `progress` is told
    after each file which share of them is read, from 0 to 1.
    """
    kind = KINDS[spec.kind]
    kind.ready()
    meter = Meter(progress)
    found: dict[str, list[Array]] = {}
    count = 0
    with say_once():
        for label, arrays in read_classes(
            path, kind.files, lambda file: kind.read(file, spec), most=most, meter=meter
        ):
            found[label] = [example for array in arrays for example in array]
            count += len(found[label])
            if count > most:  # before the memory for more of them is taken
                raise SupportSetError(
                    f"the files in {quote_path(path)} hold more than {most} examples,"
                    " which is the most that is taken",
                    hint="leave some of them out: a recording gives one for each half a window",
                )
        meter.end()
    return found


def files_of(path: str | Path, spec: InputSpec) -> dict[str, list[Path]]:
    """{label: [files]} of such a folder, none of them opened; see `class_folders`."""
    return class_folders(path, KINDS[spec.kind].files)


def _array_batch(
    examples: Any, spec: InputSpec, what: str, *, arrays: _Arrays
) -> tuple[Floats, bool]:
    shapes = arrays.shapes(spec)
    if isinstance(examples, list | tuple):
        items = [arrays.to_array(item, spec, f"{what} {i}") for i, item in enumerate(examples)]
        if not items or items[0].ndim:
            shaped = [_one(item, spec, f"{what} {i}", arrays) for i, item in enumerate(items)]
            empty = np.zeros((0, *spec.shape), np.float32)
            return np.stack(shaped) if shaped else empty, False
    array = arrays.to_array(examples, spec, what)
    single = array.shape in shapes
    if not single and array.shape[1:] not in shapes:
        raise _wrong_shape(array, spec, what, arrays)
    array = array.reshape((1 if single else len(array), *spec.shape))
    refuse_more(len(array), what)
    return _floats(array, spec, what, single, arrays), single


def _one(array: Array, spec: InputSpec, what: str, arrays: _Arrays) -> Floats:
    if array.shape not in arrays.shapes(spec):
        raise _wrong_shape(array, spec, what, arrays)
    example: Floats = _floats(array.reshape((1, *spec.shape)), spec, what, True, arrays)[0]
    return example


def _wrong_shape(array: Array, spec: InputSpec, what: str, arrays: _Arrays) -> InputError:
    return InputError(
        f"{what} has shape {list(array.shape)}, wanted {list(spec.shape)} or a batch of them",
        hint=arrays.hint(spec, array),
    )


def _floats(array: Array, spec: InputSpec, what: str, single: bool, arrays: _Arrays) -> Floats:
    if array.dtype == np.uint8:
        scaled = array * np.float32(spec.scale) + np.float32(spec.offset)
        return np.ascontiguousarray(scaled, dtype=np.float32)
    if array.dtype.kind in arrays.integers:
        array = array.astype(np.float32) * np.float32(spec.scale) + np.float32(spec.offset)
    if array.dtype.kind != "f":
        raise InputError(
            f"{what} has dtype {array.dtype}, wanted {arrays.wanted}", hint=arrays.convert
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


def _with_files(
    examples: Any, spec: InputSpec, what: str, *, arrays: _Arrays
) -> tuple[Floats, bool]:
    return _array_batch(series.open_files(examples, spec), spec, what, arrays=arrays)


def _many(spec: InputSpec) -> str:
    return f"[S, {', '.join(map(str, spec.shape))}]"


KINDS: Mapping[str, Kind] = {
    # a picture of any size is resized, and its centre cut out
    "image": Kind(
        takes="pictures",
        forms=lambda spec: f"examples {_many(spec)}, or pictures: paths, PIL images, frames",
        files=Files("picture", pictures.SUFFIXES, convert=pictures.CONVERT),
        read=lambda path, spec: pictures.read_image(path, spec)[None],
        empty=pictures.find_blank,
        nothing="one colour all over (what is transparent is white paper)",
        batch=partial(
            _array_batch,
            arrays=_Arrays(
                shapes=pictures.shapes,
                hint=pictures.shape_hint,
                integers="",  # uint8 alone
                wanted="uint8 or float32",
                convert=PIXELS,
                to_array=pictures.to_array,
            ),
        ),
        owns=pictures.is_picture,
        ready=pictures.require_pillow,
        pixels=pictures.levels,
    ),
    # a sound is resampled, and cut about its middle or padded with silence
    "audio": Kind(
        takes="sound",
        forms=lambda spec: f"WAV files, or samples {_many(spec)} at {spec.rate} Hz",
        files=Files("sound", sounds.SUFFIXES, convert=sounds.CONVERT),
        read=lambda path, spec: sounds.read_sound(path, spec)[None],
        empty=lambda x, spec: sounds.find_silent(x),
        nothing="silence (channels that cancel out are silent together)",
        batch=sounds.batch,
        owns=lambda value: isinstance(value, Sound),
        lines=sounds.waveform,
    ),
    # a recording is one example, or is cut into windows and may give several
    "array": Kind(
        takes="arrays",
        forms=series.forms,
        files=Files("readings", series.SUFFIXES, "files of readings"),
        read=series.read_examples,
        empty=lambda x, spec: series.find_still(x),
        nothing="readings that never change",
        batch=partial(
            _with_files,
            arrays=_Arrays(
                shapes=lambda spec: (spec.shape,),
                hint=series.shape_hint,
                integers="iu",
                wanted="integers or floats",
                convert="convert with .astype(np.float32)",
                to_array=series.to_array,
            ),
        ),
        lines=series.draw_lines,
    ),
}
