"""The manifest: what a package holds and how it is run, as frozen dataclasses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import ManifestError
from .files import read_regular
from .rules import check
from .strict import HINT, plain, read

FORMAT = 1
FILE = "manifest.json"
MAX_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What an example is, and how a picture becomes one.

    A uint8 array, or a picture read from a file, is seen by the graphs as
    pixel * scale + offset; a float array is taken as it is. `invert` (files only): pictures are
    dark on light and the learner wants bright on dark. `resize`: the shorter side becomes this,
    then the centre of the shape's height and width is cut out.
    """

    kind: Literal["image", "array"]
    shape: tuple[int, ...]  # of one example
    dtype: Literal["float32"] = "float32"
    layout: Literal["HWC", "CHW"] | None = None
    range: tuple[float, float] | None = None
    colour: Literal["grey", "rgb"] | None = None
    scale: float = 1.0
    offset: float = 0.0
    invert: bool = False
    resize: int | None = None
    interpolation: Literal["lanczos", "bilinear", "bicubic", "box"] | None = None


@dataclass(frozen=True)
class TensorSpec:
    """A graph's input or output; a dimension is a number or one of B, S, N, Q."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class GraphSpec:
    """One ONNX file of the package."""

    file: str
    sha256: str
    bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """init, then `steps` times step; both are names of graphs."""

    name: str
    init: str
    step: str | None = None
    steps: int = 0
    state: tuple[str, ...]  # what init returns, and step before its loss
    noise: tuple[str, ...] = ()  # inputs of init that are zeros unless samples are asked for


@dataclass(frozen=True)
class Bounds:
    """From min to max, both included; no max where the mathematics sets none."""

    min: int
    max: int | None = None


@dataclass(frozen=True)
class Limits:
    """Classes in a task, and examples of a class; regression: `shot` counts all examples."""

    way: Bounds = Bounds(2)
    shot: Bounds = Bounds(1)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A measured accuracy, ± interval (95 %) over episodes."""

    data: str
    split: str
    way: int
    shot: int
    episodes: int
    accuracy: float
    interval: float
    transductive: bool = False


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a runtime has to know about a package."""

    format: int = FORMAT
    name: str
    learner: str
    task: Literal["classification", "regression"]
    input: InputSpec
    embed: str | None
    graphs: dict[str, GraphSpec]
    stages: tuple[StageSpec, ...]
    predict: str
    limits: Limits = field(default_factory=Limits)
    evaluation: tuple[Evaluation, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    licence: str

    def __post_init__(self) -> None:
        """Refuse what no runtime could run."""
        check(self)


def parse(found: object) -> Manifest:
    """A manifest decoded from JSON, every field checked."""
    if isinstance(found, Mapping) and "format" in found:
        number = found["format"]
        if type(number) is not int or number != FORMAT:
            raise ManifestError(
                f"manifest has format {json.dumps(number)[:40]}, this runtime reads {FORMAT}",
                hint=HINT,
            )
    return read(Manifest, found, "")


def decode(data: bytes) -> Manifest:
    """The manifest in `data`, the bytes of a manifest.json."""
    try:
        found = json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{FILE} is not JSON: {error}", hint=HINT) from error
    return parse(found)


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of the package in the folder `path`, or in the file `path` itself."""
    return decode(read_bytes(Path(path)))


def read_bytes(path: Path) -> bytes:
    """The bytes of a package's manifest.json, read with care."""
    file = path / FILE if path.is_dir() else path
    if not file.is_file() and not file.is_symlink():
        raise ManifestError(
            f"no {FILE} in {path}" if path.is_dir() else f"no package at {path}",
            hint="an exported package is a folder made by `handful export`",
        )
    return read_regular(file, limit=MAX_BYTES, error=ManifestError)


def to_json(manifest: Manifest) -> str:
    """The text of manifest.json."""
    return json.dumps(plain(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ManifestError(f"field given twice in manifest: `{twice}`", hint=HINT)
    return found


def _no_constant(name: str) -> float:
    raise ManifestError(f"{name} in manifest, wanted a finite number", hint=HINT)
