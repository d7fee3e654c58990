"""What a manifest must hold to be runnable, beyond the types of its fields."""

import math
from collections import Counter
from typing import Any

from handful.runtime.errors import ManifestError

from . import names
from .confident import check_confidence
from .flow import flow
from .manifest import Bounds, GraphSpec, InputSpec, Limits, Manifest, Seen, TensorSpec
from .measured import check_evaluation, check_words
from .names import HASH, is_basename, is_inner
from .sound import check_sound
from .strict import brief

SIZES = "up to 8 positive numbers with a product up to 2²⁶"
SYMBOLS = ("B", "S", "N", "Q")
TAKEN = ("manifest.json", "conformance.npz", "readme.md")
MAX_GRAPHS, MAX_AXES, MAX_TENSORS = 64, 8, 1000  # of a package, of a tensor, of a graph's side
MAX_VALUES = 2**26  # the product of a tensor's fixed sizes
MAX_GRAPH_BYTES, MAX_PACKAGE_BYTES = 2**29, 2**30
MAX_NUMBER = 1e30  # of an input's range, scale and offset: far inside float32


def check(manifest: Manifest) -> None:
    """Raise a ManifestError at the first thing that no runtime could run."""
    _name(manifest.name, "name", "a plain name")
    check_words(manifest.learner, "learner")
    check_words(manifest.licence, "licence")
    _input(manifest.input)
    _bounds(manifest.limits)
    _files(manifest.graphs)
    for name, graph in manifest.graphs.items():
        for side, tensors in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            _tensors(tensors, f"graphs.{name}.{side}")
    if manifest.embed is None and manifest.precision != "float32":
        raise ManifestError(
            f"`precision` is {manifest.precision}, wanted float32: there is no `embed`"
        )
    used = flow(manifest)
    for name in manifest.graphs:
        if name not in used:
            raise ManifestError(f"`graphs.{name}` is used by no stage", hint="leave it out")
    check_evaluation(manifest)
    check_confidence(manifest)


def _name(text: str, place: str, wanted: str) -> None:
    if not is_basename(text):
        raise ManifestError(f"`{place}` is {brief(text)!r}, wanted {wanted}", hint=names.PLAIN_HINT)


def _number(value: float, place: str) -> None:
    if not abs(value) <= MAX_NUMBER:
        raise ManifestError(f"`{place}` is {value!r}, wanted a number within ±{MAX_NUMBER:g}")


def _input(spec: InputSpec) -> None:
    image = spec.kind == "image"
    if not 0 < len(spec.shape) < MAX_AXES or not _sizes(spec.shape):
        raise ManifestError(f"`input.shape` is {list(spec.shape[:9])}, wanted {SIZES}")
    kind = {"image": "an image", "array": "an array", "audio": "audio"}[spec.kind]
    for name in ("layout", "colour", "resize", "interpolation"):
        if image and getattr(spec, name) is None:
            raise ManifestError(f"`input.{name}` is null, wanted a value: the input is an image")
        if not image and getattr(spec, name) is not None:
            raise ManifestError(f"`input.{name}` is given, wanted null: the input is {kind}")
    if not image and spec.invert:
        raise ManifestError(f"`input.invert` is true, wanted false: the input is {kind}")
    if spec.kind != "audio" and spec.rate is not None:
        raise ManifestError(f"`input.rate` is given, wanted null: the input is {kind}")
    for i, value in enumerate(spec.range or ()):
        _number(value, f"input.range[{i}]")
    if spec.range is not None and not spec.range[0] < spec.range[1]:
        raise ManifestError(f"`input.range` is {list(spec.range)}, wanted low before high")
    if not (math.isfinite(spec.scale) and math.isfinite(spec.offset) and spec.scale):
        raise ManifestError("`input.scale` is 0 or not finite, wanted a finite number")
    _number(spec.scale, "input.scale")
    _number(spec.offset, "input.offset")
    if spec.seen is not None:
        _seen(spec.seen)
    if image:
        _image(spec)
    if spec.kind == "audio":
        check_sound(spec)


def _seen(seen: Seen) -> None:
    for name, pair in (("mean", seen.mean), ("deviation", seen.deviation)):
        for i, value in enumerate(pair):
            _number(value, f"input.seen.{name}[{i}]")
        if pair[0] > pair[1]:
            raise ManifestError(f"`input.seen.{name}` is {list(pair)}, wanted low before high")
    if seen.deviation[0] < 0:
        raise ManifestError(f"`input.seen.deviation` is {list(seen.deviation)}, wanted 0 or more")


def _image(spec: InputSpec) -> None:
    channels = 1 if spec.colour == "grey" else 3
    at = -1 if spec.layout == "HWC" else 0
    if len(spec.shape) != 3 or spec.shape[at] != channels:
        raise ManifestError(
            f"`input.shape` is {list(spec.shape)}, wanted {spec.layout} with {channels} channels"
        )
    sides = spec.shape[:2] if spec.layout == "HWC" else spec.shape[1:]
    if spec.resize is not None and not max(sides) <= spec.resize <= 4096:
        raise ManifestError(f"`input.resize` is {spec.resize}, wanted {max(sides)} to 4096")


def _bounds(limits: Limits) -> None:
    pairs: tuple[tuple[str, Bounds], ...] = (
        ("way", limits.way),
        ("shot", limits.shot),
        ("support", limits.support),
    )
    for name, bounds in pairs:
        if bounds.min < 1 or (bounds.max is not None and bounds.max < bounds.min):
            span = f"{bounds.min} to {bounds.max}"
            raise ManifestError(f"`limits.{name}` is {span}, wanted low to high, from 1")


def _files(graphs: dict[str, GraphSpec]) -> None:
    if len(graphs) > MAX_GRAPHS:
        raise ManifestError(f"`graphs` has {len(graphs)} entries, at most {MAX_GRAPHS} are read")
    seen: dict[str, str] = {}
    for name, graph in graphs.items():
        if not is_inner(name):
            raise ManifestError(
                f"`graphs` is {brief(name)!r}, wanted plain names", hint=names.INNER_HINT
            )
        _file(name, graph, seen)
    size = sum(graph.bytes for graph in graphs.values())
    if size > MAX_PACKAGE_BYTES:
        raise ManifestError(f"`graphs` have {size} bytes, at most {MAX_PACKAGE_BYTES} are read")


def _file(name: str, graph: GraphSpec, seen: dict[str, str]) -> None:
    """One graph's file; `seen` has the others by their names in small letters."""
    place = f"graphs.{name}"
    _name(graph.file, f"{place}.file", "a plain file name")
    folded = graph.file.casefold()
    if folded in TAKEN:
        raise ManifestError(f"`{place}.file` is {graph.file!r}, a name that the format uses")
    if folded in seen:
        raise ManifestError(
            f"`{place}.file` is {graph.file!r}, the file of `graphs.{seen[folded]}`",
            hint="give each graph its own file; upper and lower case count as the same",
        )
    seen[folded] = name
    if not HASH.fullmatch(graph.sha256):
        raise ManifestError(f"`{place}.sha256` is not 64 lower-case hexadecimal digits")
    if not 0 < graph.bytes <= MAX_GRAPH_BYTES:
        raise ManifestError(f"`{place}.bytes` is {graph.bytes}, wanted 1 to {MAX_GRAPH_BYTES}")


def _tensors(tensors: tuple[TensorSpec, ...], place: str) -> None:
    if len(tensors) > MAX_TENSORS:
        raise ManifestError(f"`{place}` has {len(tensors)} tensors, at most {MAX_TENSORS} are read")
    counts = Counter(tensor.name for tensor in tensors)
    for i, tensor in enumerate(tensors):
        if not is_inner(tensor.name):
            raise ManifestError(
                f"`{place}[{i}].name` is {brief(tensor.name)!r}, wanted a plain name",
                hint=names.INNER_HINT,
            )
        if counts[tensor.name] > 1:
            raise ManifestError(f"`{place}` names {tensor.name!r} twice")
        fixed = tuple(size for size in tensor.shape if not isinstance(size, str))
        symbols = {size for size in tensor.shape if isinstance(size, str)}
        if len(tensor.shape) > MAX_AXES or not _sizes(fixed) or not symbols <= set(SYMBOLS):
            raise ManifestError(
                f"`{place}[{i}].shape` is {_shown(tensor.shape)}, "
                f"wanted {SIZES}, or {', '.join(SYMBOLS)} among them"
            )


def _shown(shape: tuple[Any, ...]) -> list[Any]:
    """The beginning of a shape, for a message."""
    return [brief(size) if isinstance(size, str) else size for size in shape[: MAX_AXES + 1]]


def _sizes(shape: tuple[int, ...]) -> bool:
    return all(size > 0 for size in shape) and math.prod(shape) <= MAX_VALUES
