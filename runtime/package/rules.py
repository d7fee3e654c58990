"""What a manifest must hold to be runnable, beyond the types of its fields."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from handful.runtime.errors import ManifestError

from .manifest import Bounds, GraphSpec, InputSpec, Limits, Manifest, StageSpec, TensorSpec

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
TENSOR = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,199}")
HASH = re.compile(r"[0-9a-f]{64}")
SIZES = "up to 8 positive numbers with a product up to 2²⁶"
SYMBOLS = ("B", "S", "N", "Q")
DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}
TAKEN = ("manifest.json", "conformance.npz", "readme.md")
MAX_GRAPHS, MAX_STEPS, MAX_AXES = 64, 10_000, 8
MAX_VALUES = 2**26  # the product of a tensor's fixed sizes
MAX_GRAPH_BYTES = 2**29

Known = dict[str, TensorSpec]


def check(manifest: Manifest) -> None:
    """Raise a ManifestError at the first thing that no runtime could run."""
    _name(manifest.name, "name", "a plain name")
    _input(manifest.input)
    _bounds(manifest.limits)
    _files(manifest.graphs)
    for name, graph in manifest.graphs.items():
        for side, tensors in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            _tensors(tensors, f"graphs.{name}.{side}")
    used = _flow(manifest)
    for name in manifest.graphs:
        if name not in used:
            raise ManifestError(f"`graphs.{name}` is used by no stage", hint="leave it out")


def is_basename(text: str) -> bool:
    """Whether `text` names a file in the same folder, on every system."""
    plain = NAME.fullmatch(text) and not text.endswith(".")
    return bool(plain) and text.split(".")[0].casefold() not in DEVICES


def _name(text: str, place: str, wanted: str) -> None:
    if not is_basename(text):
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise ManifestError(
            f"`{place}` is {shown!r}, wanted {wanted}",
            hint="letters, digits, `.`, `_` and `-`, no folders, at most 100 characters",
        )


def _input(spec: InputSpec) -> None:
    image = spec.kind == "image"
    if not 0 < len(spec.shape) < MAX_AXES or not _sizes(spec.shape):
        raise ManifestError(f"`input.shape` is {list(spec.shape)}, wanted {SIZES}")
    for name in ("layout", "colour", "resize", "interpolation"):
        if image and getattr(spec, name) is None:
            raise ManifestError(f"`input.{name}` is null, wanted a value: the input is an image")
        if not image and getattr(spec, name) is not None:
            raise ManifestError(f"`input.{name}` is given, wanted null: the input is an array")
    if spec.range is not None and not spec.range[0] < spec.range[1]:
        raise ManifestError(f"`input.range` is {list(spec.range)}, wanted low before high")
    if not (math.isfinite(spec.scale) and math.isfinite(spec.offset) and spec.scale):
        raise ManifestError("`input.scale` is 0 or not finite, wanted a finite number")
    if image:
        _image(spec)


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
            found = f"{bounds.min} to {bounds.max}"
            raise ManifestError(f"`limits.{name}` is {found}, wanted low to high, from 1")


def _files(graphs: dict[str, GraphSpec]) -> None:
    if len(graphs) > MAX_GRAPHS:
        raise ManifestError(f"`graphs` has {len(graphs)} entries, at most {MAX_GRAPHS} are read")
    seen: dict[str, str] = {}
    for name, graph in graphs.items():
        place = f"graphs.{name}"
        _name(name, "graphs", "plain names")
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
    names = [tensor.name for tensor in tensors]
    for i, tensor in enumerate(tensors):
        if not TENSOR.fullmatch(tensor.name):
            raise ManifestError(f"`{place}[{i}].name` is {tensor.name[:60]!r}, wanted a plain name")
        if names.count(tensor.name) > 1:
            raise ManifestError(f"`{place}` names {tensor.name!r} twice")
        fixed = tuple(size for size in tensor.shape if not isinstance(size, str))
        symbols = {size for size in tensor.shape if isinstance(size, str)}
        if len(tensor.shape) > MAX_AXES or not _sizes(fixed) or not symbols <= set(SYMBOLS):
            raise ManifestError(
                f"`{place}[{i}].shape` is {list(tensor.shape)}, "
                f"wanted {SIZES}, or {', '.join(SYMBOLS)} among them"
            )


def _sizes(shape: tuple[int, ...]) -> bool:
    return all(size > 0 for size in shape) and math.prod(shape) <= MAX_VALUES


def _flow(manifest: Manifest) -> set[str]:
    """Follow the tensors from graph to graph; the graphs that are used."""
    used: set[str] = set()
    embedded: Known = {}
    if manifest.embed is not None:
        graph = _graph(manifest, manifest.embed, "embed", used)
        _exactly(graph.inputs, ("x",), f"graphs.{manifest.embed}.inputs")
        _exactly(graph.outputs, ("h",), f"graphs.{manifest.embed}.outputs")
        _shape(graph.inputs[0], ("B", *manifest.input.shape), f"graphs.{manifest.embed}.inputs")
        h = graph.outputs[0]
        if h.dtype != "float32" or h.shape[:1] != ("B",):
            raise ManifestError(f"`graphs.{manifest.embed}.outputs` must start with B, in float32")
        embedded["h"] = h
    inner = embedded["h"].shape[1:] if embedded else manifest.input.shape
    classes = "N" if manifest.task == "classification" else None
    if not manifest.stages:
        raise ManifestError("`stages` is empty, wanted one stage at least")
    names = [stage.name for stage in manifest.stages]
    state: Known = {}
    for i, stage in enumerate(manifest.stages):
        _name(stage.name, f"stages[{i}].name", "a plain name")
        if names.count(stage.name) > 1:
            raise ManifestError(f"`stages` has two named {stage.name!r}")
        state = _stage(manifest, stage, f"stages[{i}]", state, (inner, classes), used)
    _predict(manifest, state, inner, used)
    return used


def _stage(
    manifest: Manifest,
    stage: StageSpec,
    place: str,
    state: Known,
    support: tuple[tuple[int | str, ...], str | None],
    used: set[str],
) -> Known:
    if (stage.step is None) != (stage.steps == 0) or not 0 <= stage.steps <= MAX_STEPS:
        raise ManifestError(
            f"`{place}.steps` is {stage.steps}, wanted 0 without a step, 1 to {MAX_STEPS} with one"
        )
    inner, classes = support
    init = _graph(manifest, stage.init, f"{place}.init", used)
    at = f"graphs.{stage.init}"
    noise = {tensor.name: tensor for tensor in init.inputs if tensor.name in stage.noise}
    for name in stage.noise:
        if name not in noise or name in state or noise[name].dtype != "float32":
            raise ManifestError(f"`{place}.noise` names {name!r}, not a noise input of `{at}`")
    _inputs(init.inputs, at, {**state, **noise}, inner, classes)
    _exactly(init.outputs, stage.state, f"{at}.outputs")
    state = {**state, **{tensor.name: tensor for tensor in init.outputs}}
    if stage.step is not None:
        step = _graph(manifest, stage.step, f"{place}.step", used)
        at = f"graphs.{stage.step}"
        _inputs(step.inputs, at, state, inner, classes)
        _exactly(step.outputs, (*stage.state, "loss"), f"{at}.outputs")
        for tensor in step.outputs[:-1]:
            _same(tensor, state[tensor.name], f"{at}.outputs")
        _shape(step.outputs[-1], (), f"{at}.outputs")
    return state


def _predict(
    manifest: Manifest, state: Known, inner: tuple[int | str, ...], used: set[str]
) -> None:
    graph = _graph(manifest, manifest.predict, "predict", used)
    at = f"graphs.{manifest.predict}"
    for tensor in graph.inputs:
        if tensor.name == "query_x":
            _shape(tensor, ("Q", *inner), f"{at}.inputs")
        elif tensor.name in state:
            _same(tensor, state[tensor.name], f"{at}.inputs")
        else:
            raise ManifestError(f"`{at}.inputs` has {tensor.name!r}, wanted state or `query_x`")
    if "query_x" not in {tensor.name for tensor in graph.inputs}:
        raise ManifestError(f"`{at}.inputs` has no `query_x`")
    if manifest.task == "classification":
        _exactly(graph.outputs, ("logits",), f"{at}.outputs")
        _shape(graph.outputs[0], ("Q", "N"), f"{at}.outputs")
    else:
        _exactly(graph.outputs, ("outputs",), f"{at}.outputs")
        if len(graph.outputs[0].shape) != 2 or graph.outputs[0].shape[0] != "Q":
            raise ManifestError(f"`{at}.outputs` has `outputs`, wanted a shape of Q and a number")


def _graph(manifest: Manifest, name: str, place: str, used: set[str]) -> GraphSpec:
    if name not in manifest.graphs:
        raise ManifestError(f"`{place}` is {name!r}, which `graphs` does not have")
    used.add(name)
    return manifest.graphs[name]


def _inputs(
    tensors: tuple[TensorSpec, ...],
    at: str,
    known: Known,
    inner: tuple[int | str, ...],
    classes: str | None,
) -> None:
    for tensor in tensors:
        if tensor.name == "support_x":
            _shape(tensor, ("S", *inner), f"{at}.inputs")
        elif tensor.name == "support_y":
            last = classes or (tensor.shape[-1] if tensor.shape else 0)
            _shape(tensor, ("S", last), f"{at}.inputs")
        elif tensor.name in known:
            _same(tensor, known[tensor.name], f"{at}.inputs")
        else:
            raise ManifestError(
                f"`{at}.inputs` has {tensor.name!r}, "
                "wanted state, noise, `support_x` or `support_y`"
            )


def _exactly(tensors: tuple[TensorSpec, ...], wanted: Iterable[str], place: str) -> None:
    found, names = [tensor.name for tensor in tensors], list(wanted)
    if found != names:
        raise ManifestError(f"`{place}` is {', '.join(found)}, wanted {', '.join(names)}")


def _shape(tensor: TensorSpec, wanted: tuple[int | str, ...], place: str) -> None:
    if tensor.dtype != "float32" or tensor.shape != wanted:
        raise ManifestError(
            f"`{place}` has {tensor.name!r}: {tensor.dtype} {list(tensor.shape)}, "
            f"wanted float32 {list(wanted)}"
        )


def _same(tensor: TensorSpec, before: TensorSpec, place: str) -> None:
    if (tensor.dtype, tensor.shape) != (before.dtype, before.shape):
        raise ManifestError(
            f"`{place}` has {tensor.name!r}: {tensor.dtype} {list(tensor.shape)}, "
            f"wanted {before.dtype} {list(before.shape)} as it was made"
        )
