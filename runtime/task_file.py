"""Saved tasks: a stored npz without pickles, bound to its package by the hash of the manifest."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from handful.runtime.inputs.folders import label_of
from handful.runtime.package.files import read_regular, write_atomic
from handful.runtime.package.manifest import Manifest, TensorSpec

from .arrays import Array, Floats
from .engine import State, sizes_of
from .errors import HandfulError, TaskFileError, quote
from .negatives import LEAST, MAX_NEGATIVES
from .sessions import ANY, Sizes, resolve, to_numpy
from .support import Support, check_limits, is_one_hot, target_width

MAX_PATH_BYTES = 4096  # of a path; Linux takes no longer one
FORMAT = 1
ABSENT = "handful adapt PACKAGE FOLDER --out FILE writes one, and so does `Task.save`"
MAX_BYTES = 2**28
MAX_SAMPLES = 1000
MEMBER = 2**10  # bytes of an array's headers, more than it has
FIELDS = {"format", "package", "classes", "seed", "samples", "place"}


class Saved(NamedTuple):
    """What a task is made of, but for its learner."""

    support: Support
    states: tuple[State, ...]
    seed: int | None
    negatives: Floats | None = None  # [M, ...] embedded examples of none of the classes
    place: str | None = None  # where the package lay, an absolute path; None: not noted


def write(path: object, saved: Saved, manifest: Manifest, identity: str) -> None:
    """Write a task to `path`, whole or not at all; nothing that `read` would refuse."""
    from handful.runtime.package.npz import pack_npz  # zipfile takes 10 ms; most save nothing

    file = as_path(path, "task file", TaskFileError)
    arrays = _arrays(saved, identity)
    _check_size(arrays)
    _check_arrays(file.name, dict(arrays), manifest, identity)
    try:
        write_atomic(file, pack_npz(arrays))
    except OSError as cause:
        raise TaskFileError(f"cannot write {file}: {cause.strerror}") from cause


def as_path(path: object, what: str, error: type[HandfulError]) -> Path:
    """The path, or `error` where it is no path at all; `what` names it: `task file`."""
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except Exception:
        text = None
    if not isinstance(text, str):
        raise error(f"{what} is {quote(path)}, wanted a path: a string or a pathlib.Path")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        encoded = b"\0"
    if not 0 < len(encoded) <= MAX_PATH_BYTES or b"\0" in encoded:
        raise error(
            f"{what} is {quote(text)}, which no file can be called",
            hint=f"a path has 1 to {MAX_PATH_BYTES} bytes, no NUL and no half of a surrogate pair",
        )
    return Path(text)


def _arrays(saved: Saved, identity: str) -> dict[str, Array]:
    about = {
        "format": FORMAT,
        "package": identity,
        "classes": saved.support.classes,
        "seed": saved.seed,
        "samples": len(saved.states),
        "place": saved.place,
    }
    arrays: dict[str, Array] = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "support_x": saved.support.x,
        "support_y": saved.support.y,
    }
    for i, state in enumerate(saved.states):
        for name, value in state.tensors.items():
            arrays[f"state/{i}/{name}"] = to_numpy(value)
    if saved.negatives is not None:
        arrays["negatives"] = saved.negatives
    return arrays


def _check_size(arrays: dict[str, Array]) -> None:
    """Refuse a task that `read` would refuse for its size, before memory is taken for it."""
    from handful.runtime.package.npz import MAX_MEMBERS

    size = sum(array.nbytes + MEMBER for array in arrays.values())
    if len(arrays) > MAX_MEMBERS or size > MAX_BYTES:
        raise TaskFileError(
            f"the task has {len(arrays)} arrays of {size} bytes in all, "
            f"at most {MAX_MEMBERS} and {MAX_BYTES} are saved",
            hint="adapt with fewer samples, or to fewer examples",
        )


def _check_arrays(name: str, arrays: dict[str, Array], manifest: Manifest, identity: str) -> Saved:
    """What the arrays hold, every one checked; `write` and `read` have this one rule."""
    about = _about(name, arrays.pop("about", None))
    if about["package"] != identity:
        raise TaskFileError(
            f"{name} was saved with another package than {manifest.name} as it is now",
            hint="load it with the package that made it, or adapt again",
        )
    support = _support(name, arrays, about["classes"], manifest)
    sizes = sizes_of(support.y)
    states: list[State] = []
    for i in range(about["samples"]):
        tensors = {
            tensor.name: _take(name, arrays, f"state/{i}/{tensor.name}", tensor, sizes)
            for tensor in manifest.kept
        }
        states.append(State(tensors, sizes))
    negatives = _negatives(name, arrays, manifest) if "negatives" in arrays else None
    if arrays:
        raise TaskFileError(f"{name} has an unknown array {quote(min(arrays))}")
    return Saved(support, tuple(states), about["seed"], negatives, about["place"])


def _about(name: str, array: Array | None) -> dict[str, Any]:
    wrong = TaskFileError(f"{name} is not a saved task", hint="`Task.save` writes them")
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise wrong
    try:
        about = json.loads(array.tobytes().decode())
    except (ValueError, RecursionError) as cause:
        raise wrong from cause
    if not isinstance(about, dict) or "format" not in about:
        raise wrong
    if type(about["format"]) is not int or about["format"] != FORMAT:
        raise TaskFileError(
            f"{name} has format {quote(about['format'])}, this runtime reads {FORMAT}",
            hint="load it with the handful that saved it, or adapt again",
        )
    if about.keys() != FIELDS:
        raise wrong
    classes, seed, samples = about["classes"], about["seed"], about["samples"]
    ok = about["place"] is None or _path(about["place"])
    ok = ok and isinstance(classes, list) and all(isinstance(label, str) for label in classes)
    ok = ok and type(samples) is int
    ok = ok and 1 <= samples <= MAX_SAMPLES and (samples == 1 if seed is None else _seed(seed))
    if not ok:
        raise wrong
    about["classes"] = [label_of(label, f"{name}: a class", TaskFileError) for label in classes]
    if len(set(about["classes"])) < len(classes):
        raise wrong
    return about


def _path(value: object) -> bool:
    """Whether a file could be called so."""
    try:
        return isinstance(value, str) and bool(as_path(value, "place", TaskFileError))
    except TaskFileError:
        return False


def _seed(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _support(
    name: str, arrays: dict[str, Array], classes: list[str], manifest: Manifest
) -> Support:
    inner = _embedded_shape(manifest)
    targets = arrays.get("support_y")
    count, any_width = targets.shape if targets is not None and targets.ndim == 2 else (0, 0)
    width = len(classes) or target_width(manifest) or any_width
    sizes = {"S": count, "N": width}
    x = _take(name, arrays, "support_x", TensorSpec("", "float32", ("S", *inner)), sizes)
    y = _take(name, arrays, "support_y", TensorSpec("", "float32", ("S", "N")), sizes)
    numbers = manifest.task != "classification"
    named = manifest.classes or ()
    ours = tuple(classes[: len(named)]) == named
    fits = ours and (numbers or is_one_hot(y, len(named)))
    if numbers == bool(classes) or not fits:
        raise TaskFileError(f"{name}: `support_y` does not fit the classes")
    support = Support(x, y, tuple(classes), len(named))
    try:
        check_limits(support, manifest.limits)
    except HandfulError as cause:
        raise TaskFileError(f"{name}: {cause}") from cause
    return support


def _embedded_shape(manifest: Manifest) -> tuple[int | str, ...]:
    """The shape of one embedded example."""
    if manifest.embed is None:
        return manifest.input.shape
    return manifest.graphs[manifest.embed].outputs[0].shape[1:]


def _take(name: str, arrays: dict[str, Array], key: str, spec: TensorSpec, sizes: Sizes) -> Array:
    if key not in arrays:
        raise TaskFileError(f"{name} has no array `{key}`")
    array, shape = arrays.pop(key), resolve(spec, sizes)
    if array.dtype != spec.dtype or array.shape != shape or ANY in shape:
        raise TaskFileError(
            f"{name}: `{key}` is {array.dtype} {list(array.shape)}, "
            f"wanted {spec.dtype} {list(shape)}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise TaskFileError(f"{name}: `{key}` has values that are not finite")
    return np.require(array, requirements=["C", "ALIGNED"])  # whatever the header's length was


def _negatives(name: str, arrays: dict[str, Array], manifest: Manifest) -> Floats:
    """Embedded examples of none of the classes, enough for thresholds where there are none."""
    value = arrays["negatives"]
    count = len(value) if value.ndim else 0
    spec = TensorSpec("", "float32", ("S", *_embedded_shape(manifest)))
    negatives = _take(name, arrays, "negatives", spec, {"S": count})
    least = 1 if manifest.confidence else LEAST
    if not least <= count <= MAX_NEGATIVES or manifest.task != "classification":
        raise TaskFileError(
            f"{name} has {count} negatives, wanted {least} to {MAX_NEGATIVES}, of classification"
        )
    return negatives


def read(path: object, manifest: Manifest, identity: str) -> Saved:
    """The task in `path`, every array checked against the manifest."""
    file = as_path(path, "task file", TaskFileError)
    return _check_arrays(file.name, _read(file), manifest, identity)


def _read(file: Path) -> dict[str, Array]:
    """The arrays in the file, which is stored: what it takes in memory is what it takes on disk."""
    from handful.runtime.package.npz import read_npz

    data = read_regular(file, limit=MAX_BYTES, error=TaskFileError, absent=ABSENT)
    return read_npz(data, limit=len(data), name=file.name, error=TaskFileError)


class Maker(NamedTuple):
    """The package that a task was saved with."""

    identity: str  # its hash
    place: str | None  # where it lay then


def maker(path: Path) -> Maker:
    """The package that the task in `path` was saved with."""
    about = _about(path.name, _read(path).get("about"))
    return Maker(str(about["package"]), about["place"])
