"""The graphs of a learner: which functions are traced, between which named tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx
from torch import Tensor

from handful.runtime.errors import HandfulError
from handful.runtime.package.manifest import GraphSpec, StageSpec, TensorSpec
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Stage, Support, Tensors, name_of
from handful.trainer.settings.errors import ExportError, LearnerError

from .simplify import simplify
from .trace import Port, trace
from .trial import (
    Shape,
    attempt,
    example_sizes,
    has_one_way,
    other_sizes,
    reason,
    same_embedding,
    symbolic_shapes,
)

LOSS = "loss"


@dataclass(frozen=True)
class Graphs:
    """The traced graphs by name, and how the manifest puts them in order."""

    models: dict[str, onnx.ModelProto]
    ports: dict[str, tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]]
    embed: str | None
    stages: tuple[StageSpec, ...]
    predict: str

    def spec(self, name: str, file: str, content: bytes, digest: str) -> GraphSpec:
        """The manifest's entry of a graph written as `content`."""
        inputs, outputs = self.ports[name]
        return GraphSpec(
            file=file, sha256=digest, bytes=len(content), inputs=inputs, outputs=outputs
        )


def trace_learner(learner: Learner, params: Tensors) -> Graphs:
    """All graphs of the learner at these parameters, on the CPU.

    Raises a LearnerError where a function does not keep to the form, an ExportError where one
    cannot be traced.
    """
    params = {name: p.detach().cpu() for name, p in params.items()}
    return _Tracer(learner, params).run()


class _Tracer:
    """Walks the stages once with example tensors, tracing each function on the way."""

    def __init__(self, learner: Learner, params: Tensors) -> None:
        self.learner, self.params = learner, params
        sizes = example_sizes(learner, params)
        self.trial = attempt(learner, params, sizes)
        self.other = attempt(learner, params, other_sizes(learner, sizes))
        self.width: int | str = "N" if learner.targets is None else learner.targets
        self.inner = same_embedding(learner, self.trial, self.other)
        self.models: dict[str, onnx.ModelProto] = {}
        self.ports: dict[str, tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]] = {}
        self.state: Tensors = {}
        self.shapes: dict[str, Shape] = {}

    def run(self) -> Graphs:
        learner, params, inner = self.learner, self.params, self.inner
        if learner.embedding is not None:
            self._add(
                "embed",
                learner.embedding.function,
                lambda t: {"h": learner.embed(params, t["x"])},
                {"x": self.trial.x},
                [Port("x", ("B", *learner.spec.shape))],
                {"h": ("B", *inner)},
            )
        stages = tuple(self._stage(stage) for stage in learner.stages())
        state, answer = self.state, learner.task.outputs
        self._add(
            "predict",
            learner.predict,
            lambda t: {answer: learner.predict(params, _choose(t, state), t["query_x"])},
            {**state, "query_x": self.trial.query_x},
            [*_ports(self.shapes, state), Port("query_x", ("Q", *inner))],
            {answer: ("Q", "N" if learner.outputs is None else learner.outputs)},
        )
        embed = "embed" if learner.embedding is not None else None
        return Graphs(self.models, self.ports, embed, stages, "predict")

    def _stage(self, stage: Stage) -> StageSpec:
        """Trace the stage's init, and its step where it runs one."""
        support = {"support_x": self.trial.support.x, "support_y": self.trial.support.y}
        fixed = [Port("support_x", ("S", *self.inner)), Port("support_y", ("S", self.width))]
        before, noise = dict(self.state), self.trial.noise[stage.name]
        returned = self.trial.returned[stage.name]
        shapes = symbolic_shapes(self.trial, self.other, stage)
        self._add(
            stage.init_name,
            stage.init,
            _init(stage, self.params, tuple(before)),
            {**before, **support, **noise},
            [
                *_ports(self.shapes, before),
                *fixed,
                *(Port(name, tuple(shape)) for name, shape in stage.noise.items()),
            ],
            shapes,
        )
        self.shapes |= shapes
        self.state |= {name: t.detach().clone() for name, t in returned.items()}
        step_name = None
        if stage.step is not None and stage.steps:
            step_name = stage.step_name
            self._add(
                step_name,
                stage.step,
                _step(stage, self.params, tuple(self.state), tuple(returned)),
                {**self.state, **support},
                [*_ports(self.shapes, self.state), *fixed],
                {**shapes, LOSS: ()},
            )
        return StageSpec(
            name=stage.name,
            init=stage.init_name,
            step=step_name,
            steps=stage.steps if step_name else 0,
            state=tuple(returned),
            noise=tuple(stage.noise),
        )

    def _add(
        self,
        name: str,
        source: object,
        function: Callable[[Tensors], Mapping[str, Tensor]],
        examples: Tensors,
        ports: list[Port],
        outputs: dict[str, Shape],
    ) -> None:
        """Trace, simplify, and note the tensors that the graph really reads.

        `source` is the learner's own function, which errors name.
        """
        if name in self.models:
            raise LearnerError(
                f"two functions of {self.learner.name} are to be the graph `{name}`,"
                f" the second is `{name_of(source)}`",
                hint="give every stage its own init_name and step_name, not embed or predict",
            )
        dtypes = {n: str(t.dtype).removeprefix("torch.") for n, t in examples.items()}
        try:
            traced = trace(function, examples, self._trace(ports), list(outputs))
        except HandfulError:
            raise
        except Exception as error:  # torch raises many kinds; all mean that it cannot be traced
            raise ExportError(
                f"torch cannot trace `{name}` of {self.learner.name}: {reason(error, source)}",
                hint="no `if` on a tensor's value, no sizes as numbers: see docs/own-learner.md",
            ) from error
        model = simplify(traced, ports, outputs)
        read = {i.name for i in model.graph.input}
        self.models[name] = model
        self.ports[name] = (
            tuple(TensorSpec(p.name, dtypes[p.name], p.shape) for p in ports if p.name in read),  # type: ignore[arg-type]
            tuple(
                TensorSpec(n, "int64" if _is_int64(output) else "float32", shape)
                for (n, shape), output in zip(outputs.items(), model.graph.output, strict=True)
            ),
        )

    def _trace(self, ports: list[Port]) -> list[Port]:
        """Where all tasks have one number of classes, nothing keeps N free."""
        if not has_one_way(self.learner):
            return ports
        way = self.learner.min_way
        return [
            replace(p, shape=tuple(way if size == "N" else size for size in p.shape)) for p in ports
        ]


def _is_int64(output: onnx.ValueInfoProto) -> bool:
    return bool(output.type.tensor_type.elem_type == onnx.TensorProto.INT64)


def _init(stage: Stage, params: Tensors, state: tuple[str, ...]) -> Callable[[Tensors], Tensors]:
    def init(t: Tensors) -> Tensors:
        support = Support(t["support_x"], t["support_y"])
        return stage.begin(params, _choose(t, state), support, _choose(t, stage.noise))

    return init


def _step(
    stage: Stage, params: Tensors, state: tuple[str, ...], stage_tensors: tuple[str, ...]
) -> Callable[[Tensors], Tensors]:
    def step(t: Tensors) -> Tensors:
        support = Support(t["support_x"], t["support_y"])
        tensors, loss = stage.advance(params, _choose(t, state), _choose(t, stage_tensors), support)
        return {**tensors, LOSS: loss}

    return step


def _choose(tensors: Tensors, names: object) -> Tensors:
    return {name: tensors[name] for name in names}  # type: ignore[attr-defined]


def _ports(shapes: Mapping[str, tuple[int | str, ...]], names: object) -> list[Port]:
    return [Port(name, shapes[name]) for name in names]  # type: ignore[attr-defined]
