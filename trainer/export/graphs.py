"""The graphs of a learner: which functions are traced, between which named tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx
import torch
from torch import Tensor

from handful.runtime.package.manifest import GraphSpec, StageSpec, TensorSpec
from handful.trainer.errors import ConfigError, ExportError
from handful.trainer.learners import Learner, Stage, Support, Tensors

from .simplify import simplify
from .trace import Port, trace

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
    """All graphs of the learner at these parameters, on the CPU."""
    params = {name: p.detach().cpu() for name, p in params.items()}
    return _Tracer(learner, params).run()


def example_sizes(learner: Learner, params: Tensors) -> dict[str, int]:
    """Sizes to trace with: primes that no tensor of the learner has, since equal sizes are taken to
    be one symbol, and a size that is compared with a fixed one loses its own.
    """
    inner = learner.embed(params, torch.rand(2, *learner.spec.shape)).shape[1:]
    shapes = [tuple(p.shape) for p in params.values()]
    noise = [shape for stage in learner.stages() for shape in stage.noise.values()]
    taken = {size for shape in (*shapes, *noise, learner.spec.shape, inner) for size in shape}
    free = [p for p in range(5, 500) if p not in taken and all(p % d for d in range(2, p))]
    way = free[0]
    if learner.max_way is not None:
        # below the limit, so that a slice of the head keeps its size free
        below = list(range(min(5, learner.max_way - 1), 1, -1)) or [2]
        way = next((size for size in below if size not in taken), below[0])
    rest = [size for size in free if size > way]
    return {"N": way, "Q": rest[0], "S": rest[1], "B": rest[2]}


class _Tracer:
    """Walks the stages once with example tensors, tracing each function on the way."""

    def __init__(self, learner: Learner, params: Tensors) -> None:
        self.learner, self.params = learner, params
        self.sizes = example_sizes(learner, params)
        self.other = {"S": self.sizes["S"] + 3, "N": self.sizes["N"] - 1}
        self.models: dict[str, onnx.ModelProto] = {}
        self.ports: dict[str, tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]] = {}

    def run(self) -> Graphs:
        learner, params = self.learner, self.params
        x = torch.rand(self.sizes["B"], *learner.spec.shape)
        inner = tuple(learner.embed(params, x).shape[1:])
        if learner.has_embed:
            self._add(
                "embed",
                lambda t: {"h": learner.embed(params, t["x"])},
                {"x": x},
                [Port("x", ("B", *learner.spec.shape))],
                {"h": ("B", *inner)},
            )
        stages = tuple(self._stages(inner))
        state, shapes = self.state, self.shapes
        query = torch.rand(self.sizes["Q"], *inner)
        self._add(
            "predict",
            lambda t: {"logits": learner.predict(params, _only(t, state), t["query_x"])},
            {**state, "query_x": query},
            [*_ports(shapes, state), Port("query_x", ("Q", *inner))],
            {"logits": ("Q", "N")},
        )
        embed = "embed" if learner.has_embed else None
        return Graphs(self.models, self.ports, embed, stages, "predict")

    def _stages(self, inner: tuple[int, ...]) -> list[StageSpec]:
        """Trace every stage; leaves the final state and its shapes in self."""
        params = self.params
        support, other = self._support(inner, self.sizes), self._support(inner, self.other)
        self.state: Tensors = {}
        self.shapes: dict[str, tuple[int | str, ...]] = {}
        second: Tensors = {}
        found = []
        common = {"support_x": support.x, "support_y": support.y}
        fixed = [Port("support_x", ("S", *inner)), Port("support_y", ("S", "N"))]
        for stage in self.learner.stages():
            noise, other_noise = self._noise(stage, self.sizes), self._noise(stage, self.other)
            before = dict(self.state)
            own = stage.init(params, before, support, noise)
            second |= stage.init(params, second, other, other_noise)
            self.shapes |= {name: self._shape(name, t, second[name]) for name, t in own.items()}
            self._add(
                stage.init_name,
                _init(stage, params, tuple(before), tuple(noise)),
                {**before, **common, **noise},
                [
                    *_ports(self.shapes, before),
                    *fixed,
                    *(Port(name, tuple(shape)) for name, shape in stage.noise.items()),
                ],
                {name: self.shapes[name] for name in own},
            )
            self.state |= {name: t.detach().clone() for name, t in own.items()}
            step_name = (stage.step_name or f"{stage.name}_step") if stage.steps else None
            if stage.step is not None and step_name is not None:
                self._add(
                    step_name,
                    _step(stage, params, tuple(self.state)),
                    {**self.state, **common},
                    [*_ports(self.shapes, self.state), *fixed],
                    {**{name: self.shapes[name] for name in own}, LOSS: ()},
                )
            found.append(
                StageSpec(
                    name=stage.name,
                    init=stage.init_name,
                    step=step_name if stage.step else None,
                    steps=stage.steps if stage.step else 0,
                    state=tuple(own),
                    noise=tuple(stage.noise),
                )
            )
        return found

    def _add(
        self,
        name: str,
        function: Callable[[Tensors], Mapping[str, Tensor]],
        examples: Tensors,
        ports: list[Port],
        outputs: dict[str, tuple[int | str, ...]],
    ) -> None:
        """Trace, simplify, and note the tensors that the graph really reads."""
        dtypes = {n: str(t.dtype).removeprefix("torch.") for n, t in examples.items()}
        try:
            traced = trace(function, examples, self._traced(ports))
        except Exception as cause:  # torch raises many kinds; all mean that it cannot be traced
            reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
            raise ExportError(
                f"torch cannot trace `{name}` of {self.learner.name}: {reason}",
                hint="no `if` on a tensor's value, no sizes as numbers: see docs/training.md,"
                " a learner of your own",
            ) from cause
        model = simplify(traced, ports, outputs)
        read = {i.name for i in model.graph.input}
        self.models[name] = model
        self.ports[name] = (
            tuple(TensorSpec(p.name, dtypes[p.name], p.shape) for p in ports if p.name in read),  # type: ignore[arg-type]
            tuple(
                TensorSpec(n, "int64" if _is_int64(made) else "float32", shape)
                for (n, shape), made in zip(outputs.items(), model.graph.output, strict=True)
            ),
        )

    def _traced(self, ports: list[Port]) -> list[Port]:
        """With a limit of two classes N has one value, and no slice below it keeps it free."""
        if self.learner.max_way != 2:
            return ports
        return [
            replace(p, shape=tuple(2 if size == "N" else size for size in p.shape)) for p in ports
        ]

    def _support(self, inner: tuple[int, ...], sizes: Mapping[str, int]) -> Support:
        y = torch.eye(sizes["N"])[torch.arange(sizes["S"]) % sizes["N"]]
        return Support(torch.rand(sizes["S"], *inner), y)

    def _noise(self, stage: Stage, sizes: Mapping[str, int]) -> Tensors:
        return {
            name: torch.zeros([sizes[d] if isinstance(d, str) else d for d in shape])
            for name, shape in stage.noise.items()
        }

    def _shape(self, name: str, one: Tensor, two: Tensor) -> tuple[int | str, ...]:
        """The tensor's shape with S and N where its size follows theirs."""
        found: list[int | str] = []
        for a, b in zip(one.shape, two.shape, strict=True):
            symbol = next((s for s in "SN" if (a, b) == (self.sizes[s], self.other[s])), None)
            if symbol is None and a != b:
                raise ConfigError(
                    f"the state tensor {name} of {self.learner.name} has a size that is neither"
                    f" fixed nor S nor N: {a} at {self.sizes}, {b} at {self.other}"
                )
            found.append(symbol or a)
        return tuple(found)


def _is_int64(output: onnx.ValueInfoProto) -> bool:
    return bool(output.type.tensor_type.elem_type == onnx.TensorProto.INT64)


def _init(
    stage: Stage, params: Tensors, state: tuple[str, ...], noise: tuple[str, ...]
) -> Callable[[Tensors], Tensors]:
    def init(t: Tensors) -> Tensors:
        support = Support(t["support_x"], t["support_y"])
        return stage.init(params, _only(t, state), support, _only(t, noise))

    return init


def _step(stage: Stage, params: Tensors, state: tuple[str, ...]) -> Callable[[Tensors], Tensors]:
    assert stage.step is not None
    function = stage.step

    def step(t: Tensors) -> Tensors:
        own, loss = function(params, _only(t, state), Support(t["support_x"], t["support_y"]))
        return {**own, LOSS: loss}

    return step


def _only(tensors: Tensors, names: object) -> Tensors:
    return {name: tensors[name] for name in names}  # type: ignore[attr-defined]


def _ports(shapes: Mapping[str, tuple[int | str, ...]], names: object) -> list[Port]:
    return [Port(name, shapes[name]) for name in names]  # type: ignore[attr-defined]
