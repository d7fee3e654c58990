"""conformance.npz: golden examples and vectors, checked before a graph runs."""

import re
from collections.abc import Iterator

import numpy as np

from handful.runtime.arrays import Array, Floats
from handful.runtime.errors import PackageError
from handful.runtime.package.manifest import Manifest, StageSpec
from handful.runtime.support import is_one_hot

FILE = "conformance.npz"
HINT = "export the package again"
MAX_BYTES = 2**26
MAX_EXAMPLES = 1000  # of the support set, and of the queries: each is answered alone as well
EXAMPLES = ("support_x", "support_y", "query_x")
SOUNDS, SCALE = ("support_x", "query_x"), 2**15  # which may be 16-bit samples, of this scale
TOLERANCE = "/tolerance"  # ends the name of a number beside a vector: how far others may be from it
MOST_OF_ANSWERS = 0.1  # that such a number may be of the answers: beyond it they are noise
THINNED = re.compile(r"(?P<name>[^\[]+)\[::(?P<every>[1-9][0-9]{0,8})\]")


class Golden:
    """Examples to adapt to and to ask, and what the trainer got on the way.

    `vectors` has every golden vector with its step k: it holds every k-th value, flattened.
    `tolerances` has the vectors that may differ by more than the default, and by how much.
    """

    def __init__(self, manifest: Manifest, arrays: dict[str, Array]) -> None:
        """PackageError where an array is missing, unknown, or not what the manifest says."""
        self.manifest = manifest
        self.answer = "logits" if manifest.task == "classification" else "outputs"
        self.vectors: dict[str, tuple[Array, int]] = {}
        self.tolerances: dict[str, float] = {}
        for key, value in arrays.items():
            if key.endswith(TOLERANCE):
                self.tolerances[key.removesuffix(TOLERANCE)] = self._tolerance(key, value)
                continue
            match = THINNED.fullmatch(key)
            name, every = (match["name"], int(match["every"])) if match else (key, 1)
            if name in self.vectors or "[" in name:
                raise _unknown(key)
            self.vectors[name] = value, every
        self._names()
        beside = self.vectors.keys() - EXAMPLES
        for name in self.tolerances:
            if name not in beside:
                raise _unknown(tolerance_key(name))
        self.support_x, self.query_x = (self._examples(name) for name in ("support_x", "query_x"))
        self.support_y = self._labels()

    def _tolerance(self, key: str, value: Array) -> float:
        most = MOST_OF_ANSWERS if key == tolerance_key(self.answer) else np.inf
        if value.dtype != np.float32 or value.shape or not 0 < value <= most or np.isinf(value):
            wanted = "finite" if np.isinf(most) else f"at most {most:g}"
            raise PackageError(
                f"{FILE}: `{key[:60]}` is {_said(value)}, wanted one float32 above 0, {wanted}",
                hint=HINT,
            )
        return float(value)

    def _names(self) -> None:
        """Every vector is there, and no other: compared one by one, no list is made of them."""
        wanted = 0
        for name, dtype in self._expected():
            wanted += 1
            if name not in self.vectors:
                raise PackageError(f"{FILE} has no `{name}`", hint=HINT)
            value, every = self.vectors[name]
            sound = name in SOUNDS and self.manifest.input.kind == "audio"
            samples = sound and value.dtype == np.int16
            if (value.dtype != dtype and not samples) or (every > 1 and value.ndim != 1):
                shape = "one axis" if every > 1 else "its own shape"
                raise PackageError(
                    f"{FILE}: `{name}` is {value.dtype} {list(value.shape)}, "
                    f"wanted {dtype} of {shape}",
                    hint=HINT,
                )
        if len(self.vectors) > wanted:
            known = {name for name, _ in self._expected()}
            raise _unknown(next(name for name in self.vectors if name not in known))

    def _expected(self) -> Iterator[tuple[str, str]]:
        """The names in the order in which they come about, with their element types."""
        yield from ((name, "float32") for name in EXAMPLES)
        for stage in self.manifest.stages:
            yield from _of_stage(stage, self.manifest)
        yield self.answer, "float32"

    def _examples(self, name: str) -> Floats:
        value, every = self.vectors.pop(name)
        shape = self.manifest.input.shape
        if every != 1 or value.shape[1:] != shape or not 0 < len(value) <= MAX_EXAMPLES:
            raise PackageError(
                f"{FILE}: `{name}` is {list(value.shape)}, wanted 1 to {MAX_EXAMPLES} examples "
                f"of {list(shape)}",
                hint=HINT,
            )
        if value.dtype == np.int16:
            return value.astype(np.float32) / np.float32(SCALE)
        if not np.isfinite(value).all():
            raise PackageError(f"{FILE}: `{name}` has values that are not finite", hint=HINT)
        return value

    def _labels(self) -> Floats:
        value, every = self.vectors.pop("support_y")
        count = len(self.support_x)
        if every != 1 or value.ndim != 2 or len(value) != count or not value.shape[1]:
            raise PackageError(
                f"{FILE}: `support_y` is {list(value.shape)}, wanted a row for each of "
                f"{count} examples",
                hint=HINT,
            )
        if self.manifest.task == "regression":
            width = self.manifest.graphs[self.manifest.predict].outputs[0].shape[-1]
            ok = bool(np.isfinite(value).all()) and value.shape[1] == width
            wanted = f"finite targets, {width} for each example"
        else:
            ok = is_one_hot(value)
            wanted = "a single 1 in every row, and one in every column"
        if not ok:
            raise PackageError(f"{FILE}: `support_y` has other values than {wanted}", hint=HINT)
        return value


def _of_stage(stage: StageSpec, manifest: Manifest) -> Iterator[tuple[str, str]]:
    outputs = manifest.graphs[stage.init].outputs
    for i in range(stage.steps + 1):
        for tensor in outputs:
            yield f"{stage.name}/{i}/{tensor.name}", tensor.dtype
        if i:
            yield f"{stage.name}/{i}/loss", "float32"


def tolerance_key(name: str) -> str:
    """The name of the number beside a vector that says how far others may be from it."""
    return name + TOLERANCE


def _said(value: Array) -> str:
    number = value.dtype == np.float32 and not value.shape
    return f"{float(value):g}" if number else f"{value.dtype} {list(value.shape)}"


def _unknown(key: str) -> PackageError:
    return PackageError(f"{FILE} has an unknown `{key[:60]}`", hint=HINT)


def thinned(value: Array, every: int) -> Array:
    """Every k-th value, flattened in C order from the first; the array itself where k is 1."""
    return value if every == 1 else value.reshape(-1)[::every]
