"""The flow of tensors from graph to graph: does each get what it reads, of one type and shape?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from handful.runtime.errors import ManifestError

from .manifest import INNER_HINT, GraphSpec, Manifest, StageSpec, TensorSpec, is_inner, is_own
from .strict import shorten

MAX_STEPS = 10_000  # of all stages together
MAX_VECTORS = 20_000  # states and losses on the way: the golden vectors of a package
MAX_NOISE = 2**24  # values of all noise, where S and N count as AS_MANY each
AS_MANY = 64
FREE = ("S", "N")  # the symbols that are known while adapting

Known = dict[str, TensorSpec]


def flow(manifest: Manifest) -> set[str]:
    """Follow the tensors from graph to graph; the graphs that are used."""
    walk = _Flow(manifest)
    walk.run()
    return walk.used


@dataclass
class _Flow:
    """What is known after the graphs so far."""

    manifest: Manifest
    used: set[str] = field(default_factory=set)
    state: Known = field(default_factory=dict)
    noise: set[str] = field(default_factory=set)
    drawn: int = 0  # values of the noise
    inner: tuple[int | str, ...] = ()  # the shape of an embedded example

    def run(self) -> None:
        manifest = self.manifest
        self.inner = manifest.input.shape if manifest.embed is None else self._embed(manifest.embed)
        if not manifest.stages:
            raise ManifestError("`stages` is empty, wanted one stage at least")
        self._sizes()
        for i, stage in enumerate(manifest.stages):
            self._stage(stage, f"stages[{i}]")
        self._predict()

    def _sizes(self) -> None:
        """Names and numbers of the stages, before anything is made that is as large as they say."""
        seen: set[str] = set()
        steps = vectors = 0
        for i, stage in enumerate(self.manifest.stages):
            if not is_inner(stage.name):
                raise ManifestError(
                    f"`stages[{i}].name` is {shorten(stage.name)!r}, wanted a plain name",
                    hint=INNER_HINT,
                )
            if stage.name in seen:
                raise ManifestError(f"`stages` has two named {stage.name!r}")
            seen.add(stage.name)
            if (stage.step is None) != (stage.steps == 0) or not 0 <= stage.steps <= MAX_STEPS:
                raise ManifestError(
                    f"`stages[{i}].steps` is {stage.steps}, wanted 0 without a step, "
                    f"1 to {MAX_STEPS} with one"
                )
            steps += stage.steps
            vectors += (stage.steps + 1) * (len(stage.state) + 1)
        if steps > MAX_STEPS:
            raise ManifestError(f"`stages` have {steps} steps, at most {MAX_STEPS} are taken")
        if vectors > MAX_VECTORS:
            raise ManifestError(
                f"`stages` have {vectors} states and losses on the way, "
                f"at most {MAX_VECTORS} are taken"
            )

    def _embed(self, name: str) -> tuple[int | str, ...]:
        graph = self._graph(name, "embed")
        at = f"graphs.{name}"
        _exactly(graph.inputs, ("x",), f"{at}.inputs")
        _exactly(graph.outputs, ("h",), f"{at}.outputs")
        _shape(graph.inputs[0], ("B", *self.manifest.input.shape), f"{at}.inputs")
        h = graph.outputs[0]
        fixed = all(isinstance(size, int) for size in h.shape[1:])
        if h.dtype != "float32" or h.shape[:1] != ("B",) or not fixed:
            raise ManifestError(f"`{at}.outputs` has `h`, wanted B and then numbers, in float32")
        return h.shape[1:]

    def _stage(self, stage: StageSpec, place: str) -> None:
        init = self._graph(stage.init, f"{place}.init")
        at = f"graphs.{stage.init}"
        draws = self._draws(stage, init, place)
        if draws and self.manifest.task == "policy":
            raise ManifestError(f"`{place}.noise` is given, wanted none: the task is policy")
        self._inputs(init.inputs, at, {**self.state, **draws})
        _exactly(init.outputs, stage.state, f"{at}.outputs")
        for tensor in init.outputs:
            self._state_or_noise(tensor, f"{at}.outputs")
        self.state.update({tensor.name: tensor for tensor in init.outputs})
        if stage.step is not None:
            step = self._graph(stage.step, f"{place}.step")
            at = f"graphs.{stage.step}"
            self._inputs(step.inputs, at, self.state)
            _exactly(step.outputs, (*stage.state, "loss"), f"{at}.outputs")
            for tensor in step.outputs[:-1]:
                _check_unchanged(tensor, self.state[tensor.name], f"{at}.outputs")
            _shape(step.outputs[-1], (), f"{at}.outputs")

    def _draws(self, stage: StageSpec, init: GraphSpec, place: str) -> Known:
        """The noise that this stage's `init` reads."""
        inputs = {tensor.name: tensor for tensor in init.inputs}
        draws: Known = {}
        for name in stage.noise:
            tensor = inputs.get(name)
            if (
                tensor is None
                or name in self.state
                or name in self.noise
                or tensor.dtype != "float32"
            ):
                raise ManifestError(
                    f"`{place}.noise` names {shorten(name)!r}, not a noise input of "
                    f"`graphs.{stage.init}`"
                )
            self._state_or_noise(tensor, f"graphs.{stage.init}.inputs")
            self.noise.add(name)
            draws[name] = tensor
        self.drawn += sum(map(_values, draws.values()))
        if self.drawn > MAX_NOISE:
            raise ManifestError(
                f"`{place}.noise` is too large, wanted at most {MAX_NOISE} values in all, "
                f"S and N counted as {AS_MANY} each"
            )
        return draws

    def _state_or_noise(self, tensor: TensorSpec, place: str) -> None:
        """A state or noise tensor: a name of its own, sizes that are known while adapting."""
        if not is_own(tensor.name):
            raise ManifestError(
                f"`{place}` has {tensor.name!r}, a name that the format uses for something else",
                hint="name the tensor otherwise, see docs/package-format.md",
            )
        if any(isinstance(size, str) and size not in FREE for size in tensor.shape):
            raise ManifestError(
                f"`{place}` has {tensor.name!r}: {list(tensor.shape)}, "
                f"wanted numbers, {' and '.join(FREE)}: nothing else is known while adapting"
            )

    def _predict(self) -> None:
        manifest = self.manifest
        graph = self._graph(manifest.predict, "predict")
        at = f"graphs.{manifest.predict}"
        for tensor in graph.inputs:
            if tensor.name == "query_x":
                _shape(tensor, ("Q", *self.inner), f"{at}.inputs")
            elif tensor.name in self.state:
                _check_unchanged(tensor, self.state[tensor.name], f"{at}.inputs")
            else:
                raise ManifestError(f"`{at}.inputs` has {tensor.name!r}, wanted state or `query_x`")
        if "query_x" not in {tensor.name for tensor in graph.inputs}:
            raise ManifestError(f"`{at}.inputs` has no `query_x`")
        if manifest.task == "classification":
            _exactly(graph.outputs, ("logits",), f"{at}.outputs")
            _shape(graph.outputs[0], ("Q", "N"), f"{at}.outputs")
            return
        _exactly(graph.outputs, ("outputs",), f"{at}.outputs")
        shape = graph.outputs[0].shape
        if len(shape) != 2 or shape[0] != "Q" or isinstance(shape[1], str):
            raise ManifestError(f"`{at}.outputs` has `outputs`, wanted a shape of Q and a number")
        if manifest.task == "policy" and int(shape[1]) % 2:
            raise ManifestError(
                f"`{at}.outputs` has `outputs` of {shape[1]} numbers, wanted an even number:"
                " of each action a mean and a deviation"
            )
        _shape(graph.outputs[0], shape, f"{at}.outputs")

    def _graph(self, name: str, place: str) -> GraphSpec:
        if name not in self.manifest.graphs:
            raise ManifestError(f"`{place}` is {shorten(name)!r}, which `graphs` does not have")
        self.used.add(name)
        return self.manifest.graphs[name]

    def _inputs(self, tensors: tuple[TensorSpec, ...], at: str, known: Known) -> None:
        for tensor in tensors:
            if tensor.name == "support_x":
                _shape(tensor, ("S", *self.inner), f"{at}.inputs")
            elif tensor.name == "support_y":
                _shape(tensor, ("S", self._width()), f"{at}.inputs")
            elif tensor.name in known:
                _check_unchanged(tensor, known[tensor.name], f"{at}.inputs")
            else:
                raise ManifestError(
                    f"`{at}.inputs` has {tensor.name!r}, "
                    "wanted state, noise, `support_x` or `support_y`"
                )

    def _width(self) -> int | str:
        """Of the labels: the classes; or of the targets."""
        self._graph(self.manifest.predict, "predict")
        width = self.manifest.targets
        return "N" if width is None else width


def _values(tensor: TensorSpec) -> int:
    return math.prod(AS_MANY if isinstance(size, str) else size for size in tensor.shape)


def _exactly(tensors: tuple[TensorSpec, ...], wanted: Iterable[str], place: str) -> None:
    listed, names = [tensor.name for tensor in tensors], list(wanted)
    if listed != names:
        raise ManifestError(
            f"`{place}` is {shorten(', '.join(listed))}, wanted {shorten(', '.join(names))}"
        )


def _shape(tensor: TensorSpec, wanted: tuple[int | str, ...], place: str) -> None:
    if tensor.dtype != "float32" or tensor.shape != wanted:
        raise ManifestError(
            f"`{place}` has {tensor.name!r}: {tensor.dtype} {list(tensor.shape)}, "
            f"wanted float32 {list(wanted)}"
        )


def _check_unchanged(tensor: TensorSpec, before: TensorSpec, place: str) -> None:
    if (tensor.dtype, tensor.shape) != (before.dtype, before.shape):
        raise ManifestError(
            f"`{place}` has {tensor.name!r}: {tensor.dtype} {list(tensor.shape)}, "
            f"wanted {before.dtype} {list(before.shape)} as it was made"
        )
