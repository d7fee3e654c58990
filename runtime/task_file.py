"""Saved tasks: an npz without pickles, bound to its package by the hash of the manifest."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from handful.runtime.package.files import read_regular, write_atomic
from handful.runtime.package.manifest import Manifest, TensorSpec

from .arrays import Array
from .engine import State, resolve
from .errors import HandfulError, TaskFileError
from .sessions import to_numpy
from .support import Support, outputs, within

FORMAT = 1
ABSENT = "`Task.save` writes it, `Learner.load_task` reads it"
MAX_BYTES = 2**30
FIELDS = {"format", "package", "classes", "seed", "samples"}


class Saved(NamedTuple):
    """What a task is made of, but for its learner."""

    support: Support
    states: tuple[State, ...]
    seed: int | None


def write(path: Path, saved: Saved, identity: str) -> None:
    """Write a task to `path`, whole or not at all."""
    from handful.runtime.package.npz import (
        pack_npz,  # zipfile takes 10 ms to import; most processes save nothing
    )

    about = {
        "format": FORMAT,
        "package": identity,
        "classes": saved.support.classes,
        "seed": saved.seed,
        "samples": len(saved.states),
    }
    arrays: dict[str, Array] = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "support_x": saved.support.x,
        "support_y": saved.support.y,
    }
    for i, state in enumerate(saved.states):
        arrays |= {f"state/{i}/{name}": to_numpy(value) for name, value in state.items()}
    try:
        write_atomic(path, pack_npz(arrays))
    except OSError as cause:
        raise TaskFileError(f"cannot write {path}: {cause.strerror}") from cause


def read(path: Path, manifest: Manifest, identity: str) -> Saved:
    """The task in `path`, every array checked against the manifest."""
    from handful.runtime.package.npz import read_npz

    data = read_regular(path, limit=MAX_BYTES, error=TaskFileError, absent=ABSENT)
    arrays = read_npz(data, limit=MAX_BYTES, name=path.name, error=TaskFileError)
    about = _about(path, arrays.pop("about", None))
    if about["package"] != identity:
        raise TaskFileError(
            f"{path.name} was saved with another package than {manifest.name} as it is now",
            hint="load it with the package that made it, or adapt again",
        )
    support = _support(path, arrays, about["classes"], manifest)
    sizes = {"S": len(support.x), "N": support.y.shape[1]}
    states: list[State] = []
    for i in range(about["samples"]):
        state = {
            tensor.name: _take(path, arrays, f"state/{i}/{tensor.name}", tensor, sizes)
            for tensor in manifest.graphs[manifest.predict].inputs
            if tensor.name != "query_x"
        }
        states.append(state)
    if arrays:
        raise TaskFileError(f"{path.name} has an unknown array {min(arrays)[:60]!r}")
    return Saved(support, tuple(states), about["seed"])


def package_hash(path: Path) -> str:
    """The identity of the package that the task in `path` was saved with."""
    from handful.runtime.package.npz import read_npz

    data = read_regular(path, limit=MAX_BYTES, error=TaskFileError, absent=ABSENT)
    arrays = read_npz(data, limit=MAX_BYTES, name=path.name, error=TaskFileError)
    return str(_about(path, arrays.get("about"))["package"])


def _about(path: Path, found: Array | None) -> dict[str, Any]:
    wrong = TaskFileError(f"{path.name} is not a saved task", hint="`Task.save` writes them")
    if found is None or found.dtype != np.uint8 or found.ndim != 1:
        raise wrong
    try:
        about = json.loads(found.tobytes())
    except (ValueError, RecursionError) as cause:
        raise wrong from cause
    if not isinstance(about, dict) or about.keys() != FIELDS:
        raise wrong
    if about["format"] != FORMAT:
        raise TaskFileError(
            f"{path.name} has format {str(about['format'])[:40]}, this runtime reads {FORMAT}",
            hint="load it with the handful that saved it, or adapt again",
        )
    classes, seed, samples = about["classes"], about["seed"], about["samples"]
    ok = isinstance(classes, list) and all(isinstance(label, str) for label in classes)
    ok = ok and len(set(classes)) == len(classes) and type(samples) is int
    ok = ok and 1 <= samples <= 1000 and (samples == 1 if seed is None else _seed(seed))
    if not ok:
        raise wrong
    return about


def _seed(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _support(
    path: Path, arrays: dict[str, Array], classes: list[str], manifest: Manifest
) -> Support:
    if manifest.embed is not None:
        inner = manifest.graphs[manifest.embed].outputs[0].shape[1:]
    else:
        inner = manifest.input.shape
    found = arrays.get("support_y")
    count, any_width = found.shape if found is not None and found.ndim == 2 else (0, 0)
    width = len(classes) or outputs(manifest) or any_width
    sizes = {"S": count, "N": width}
    x = _take(path, arrays, "support_x", TensorSpec("", "float32", ("S", *inner)), sizes)
    y = _take(path, arrays, "support_y", TensorSpec("", "float32", ("S", "N")), sizes)
    regression = manifest.task == "regression"
    if regression == bool(classes) or not (regression or _one_hot(y)):
        raise TaskFileError(f"{path.name}: `support_y` does not fit the classes")
    support = Support(x, y, tuple(classes))
    try:
        within(support, manifest.limits)
    except HandfulError as cause:
        raise TaskFileError(f"{path.name}: {cause}") from cause
    return support


def _one_hot(y: Array) -> bool:
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all() and y.any(axis=0).all())


def _take(
    path: Path, arrays: dict[str, Array], key: str, spec: TensorSpec, sizes: dict[str, int]
) -> Array:
    if key not in arrays:
        raise TaskFileError(f"{path.name} has no array `{key}`")
    found, shape = arrays.pop(key), resolve(spec, sizes)
    if found.dtype != spec.dtype or found.shape != shape:
        raise TaskFileError(
            f"{path.name}: `{key}` is {found.dtype} {list(found.shape)}, "
            f"wanted {spec.dtype} {list(shape)}"
        )
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise TaskFileError(f"{path.name}: `{key}` has values that are not finite")
    return found
