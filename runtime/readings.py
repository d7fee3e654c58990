"""Files of readings to examples of a package that takes arrays: one file, or a list with some."""

import os
from pathlib import Path
from typing import Any

from handful.runtime.package.manifest import InputSpec
from handful.runtime.pictures.folders import shown
from handful.runtime.series.file import read_array
from handful.runtime.series.windows import windows

from .arrays import Array
from .errors import InputError


def read_examples(path: str | Path, spec: InputSpec, *, hop: int | None = None) -> Array:
    """The examples [n, …shape] in a .npy or .csv file, of the numbers' own type.

    A file holds one example, or many of them. Where examples are series [T, C] it may be a
    recording [n, C] as well: it is cut into windows, each `hop` readings after the one before, by
    default half a window; a shorter one is filled up with copies of its last reading. InputError
    where the file cannot be read, or has another shape.
    """
    array = read_array(path)
    shape = tuple(spec.shape)
    if array.shape == shape:
        return array[None]
    if array.shape[1:] == shape:
        return array
    if len(shape) == 2 and shape[1] == 1 and array.ndim == 1:
        array = array[:, None]
    if len(shape) == 2 and array.shape[1:] == shape[1:]:
        return windows(array, shape[0], hop)
    if shape == (1,) and array.ndim == 1:
        return array[:, None]
    recordings = f", readings [n, {shape[1]}]" if len(shape) == 2 else ""
    raise InputError(
        f"{shown(path)} holds the shape {list(array.shape)}, wanted {list(shape)}{recordings}"
        " or a batch of them",
        hint="a line of a .csv file is a reading, and has a number for each channel",
    )


def opened(examples: Any, spec: InputSpec) -> Any:
    """`examples`, with what is in a file in place of its path, alone or in a list.

    A file of one example is one; what a longer one holds follows each other.
    """
    if _is_path(examples):
        found = read_examples(examples, spec)
        return found[0] if len(found) == 1 else found
    if isinstance(examples, list | tuple) and any(map(_is_path, examples)):
        items: list[Any] = []
        for item in examples:
            items += list(read_examples(item, spec)) if _is_path(item) else [item]
        return items
    return examples


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def shape_hint(spec: InputSpec, array: Array) -> str:
    """What to do where an array has another shape."""
    if len(spec.shape) == 2 and array.shape[1:] == spec.shape[1:]:
        return f"a recording is cut by handful.windows(x, {spec.shape[0]})"
    return "one example a call, or a list or a batch of them, all of this shape"
