"""A frozen task: what was adapted as one ordinary ONNX file, from raw input on.

    input [Q, ...] → what a query is to the graphs → embed → predict, with the task's state as
    constants → probabilities [Q, N] and index [Q], or outputs [Q, O] of a regression, [Q, 2 A] of
    a policy, means and then deviations

Any program with an ONNX runtime answers with it, without a line of this project. The package's own
graphs are used as they are; what the runtime computes around them in numpy (scale and offset of
pixels, temperature, thresholds, the rule for an example with nothing in it) is a few standard
operators here, and the whole is compared with the task before it is written.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from handful.runtime.arrays import Array, Floats
from handful.runtime.errors import AdaptError, InputWarning
from handful.runtime.inputs.pictures import BLANK
from handful.runtime.inputs.series import STILL
from handful.runtime.inputs.sounds import SILENCE
from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.files import check_free, write_atomic
from handful.runtime.package.manifest import InputSpec, Manifest
from handful.runtime.package.read import read_graph
from handful.runtime.sessions import to_numpy
from handful.runtime.task import Rejection, Task
from handful.runtime.tools.golden import read_golden
from handful.runtime.tools.on_files import open_task
from handful.runtime.vetting.operators import IR_VERSION, OPSET
from handful.trainer.settings.errors import ExportError

NONE = -1  # the index of an example that is taken for none of the classes
TOLERANCE = 1e-5  # between the file's answers and the task's, of the largest where that is above 1
CHECKED = 7  # odd examples of each kind that the file is compared on


def freeze_file(
    task: Path,
    model: Path,
    *,
    package: str | None = None,
    unknown: float | None = None,
    force: bool = False,
) -> str:
    """Freeze the task in a file; says in a line what the model takes and gives."""
    check_free(model, ExportError, force=force)
    frozen = freeze(open_task(task, package), model, unknown=unknown)
    return ", ".join(_ports(frozen.graph.input)) + " → " + ", ".join(_ports(frozen.graph.output))


def _ports(values: Iterable[onnx.ValueInfoProto]) -> Iterator[str]:
    for value in values:
        kind = value.type.tensor_type
        shape = ", ".join(size.dim_param or str(size.dim_value) for size in kind.shape.dim)
        yield f"{value.name} {TensorProto.DataType.Name(kind.elem_type).lower()} [{shape}]"


def freeze(task: Task, file: Path, *, unknown: float | None = None) -> onnx.ModelProto:
    """Write the task to `file` as one ONNX model (opset 18, IR version 8); returns the model.

    Its input is `input` [Q, ...]: uint8 pictures of the package's size, float32 samples at its
    rate, or float32 readings. Of a classifier the outputs are `probabilities` float32 [Q, N], as
    `Task.predict_proba` gives them, and `index` int64 [Q], the place of the likeliest; with
    `unknown`, as for `Task.predict`, it is −1 where that gives none of the classes. A regression
    has `outputs` float32 [Q, O]. The labels, what an input is, and the licence are in the model's
    `metadata_props`.

    Raises AdaptError for `unknown` as `Task.predict` does, PackageError where the package is not
    there any more, ExportError where the file would answer otherwise than the task.
    """
    model = build(task, unknown)
    compare(model, task, unknown)
    try:
        write_atomic(file, model.SerializeToString(deterministic=True))
    except OSError as cause:
        raise ExportError(f"cannot write {file}: {cause.strerror}") from cause
    return model


def build(task: Task, unknown: float | None = None) -> onnx.ModelProto:
    """The model of `freeze`, neither compared nor written."""
    manifest = task.learner.manifest
    files = task.learner.files
    names = {manifest.predict} | ({manifest.embed} if manifest.embed else set())
    graphs = {
        name: onnx.load_from_string(read_graph(files, manifest.graphs[name])).graph
        for name in names
    }
    body = _Body(manifest, graphs)
    x = body.example()
    h = x if manifest.embed is None else body.inline(manifest.embed, {"x": x})["h"]
    if manifest.task != "classification":
        if unknown is not None:
            raise AdaptError(f"unknown on a {manifest.task} task", hint="freeze it without")
        body.outputs(h, task)
    else:
        body.classes(x, h, task, None if unknown is None else task.rejection(unknown))
    return body.model(task, unknown)


@dataclass
class _Body:
    """A graph that grows: its nodes, its constants, and a name for every new tensor."""

    manifest: Manifest
    graphs: Mapping[str, onnx.GraphProto]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    named: list[onnx.ValueInfoProto] = field(default_factory=list)  # the outputs

    def op(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """The output of a new node."""
        out = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """The name of a new constant."""
        name = f"constant_{len(self.constants)}"
        array = np.ascontiguousarray(np.asarray(value, dtype))
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def axes(self, *axes: int) -> str:
        """Axes to reduce over, which are an input in opset 18."""
        return self.constant(axes, np.int64)

    def inline(self, name: str, given: Mapping[str, str]) -> dict[str, str]:
        """A graph of the package, its inputs replaced by tensors here; its outputs by name."""
        graph, prefix = self.graphs[name], f"{name}_{len(self.nodes)}/"
        names = {"": ""} | dict(given)

        def here(tensor: str) -> str:
            return names.setdefault(tensor, prefix + tensor)

        for tensor in graph.initializer:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = here(tensor.name)
            self.constants.append(copy)
        for node in graph.node:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            copied.name = ""
            copied.input[:] = [here(tensor) for tensor in node.input]
            copied.output[:] = [here(tensor) for tensor in node.output]
            self.nodes.append(copied)
        return {output.name: here(output.name) for output in graph.output}

    def example(self) -> str:
        """The input as the graphs see it: pixels scaled, samples without their mean."""
        spec = self.manifest.input
        if spec.kind == "image":
            pixels = self.op("Cast", "input", to=TensorProto.FLOAT)
            scaled = self.op("Mul", pixels, self.constant(spec.scale))
            return self.op("Add", scaled, self.constant(spec.offset))
        if spec.kind == "audio":
            # in float64 as in numpy: the energies of what a rounding leaves of silence are not 0
            wide = self.op("Cast", "input", to=TensorProto.DOUBLE)
            middle = self.op("Sub", wide, self.op("ReduceMean", wide, self.axes(1)))
            narrow = self.op("Cast", middle, to=TensorProto.FLOAT)
            return self.op("Clip", narrow, self.constant(-1), self.constant(1))
        return "input"

    def answers(self, h: str, state: Mapping[str, Array]) -> str:
        """What predict gives for one state: logits [Q, N], or outputs."""
        read = {tensor.name for tensor in self.manifest.graphs[self.manifest.predict].inputs}
        constants = {  # a policy keeps more: what its next step reads
            name: self.constant(value, value.dtype) for name, value in state.items() if name in read
        }
        (answer,) = self.inline(self.manifest.predict, {"query_x": h, **constants}).values()
        return answer

    def mean(self, tensors: list[str], out: str = "") -> str:
        """The mean over the task's samples."""
        return self.op("Mean", *tensors, out=out)

    def outputs(self, h: str, task: Task) -> None:
        """The answers of a regression, or of a policy."""
        states = [_host(state.tensors) for state in task._states]
        self.mean([self.answers(h, state) for state in states], out="outputs")
        width = self.manifest.graphs[self.manifest.predict].outputs[0].shape[1]
        self.named.append(_port("outputs", TensorProto.FLOAT, ("Q", width)))

    def classes(self, x: str, h: str, task: Task, rejection: Rejection | None) -> None:
        """Probabilities and index, by the rules of docs/package-format.md."""
        logits = [self.answers(h, _host(state.tensors)) for state in task._states]
        temperature = self.constant(task._temperature)
        sure = [self.op("Softmax", self.op("Div", one, temperature), axis=1) for one in logits]
        probabilities = self.mean(sure, out="probabilities")
        # the first of ties, as in numpy
        best = self.op("ArgMax", probabilities, axis=1, keepdims=0)
        if rejection is None:
            self.op("Identity", best, out="index")
        else:
            accepted = self.accepts(h, logits, best, rejection)
            empty = self.empty(x)
            if empty:
                accepted = self.op("And", accepted, self.op("Not", empty))
            self.op("Where", accepted, best, self.constant(NONE, np.int64), out="index")
        self.named += [
            _port("probabilities", TensorProto.FLOAT, ("Q", len(task.classes))),
            _port("index", TensorProto.INT64, ("Q",)),
        ]

    def accepts(self, h: str, logits: list[str], best: str, rejection: Rejection) -> str:
        """Which queries are taken to be of a class, bool [Q]."""
        way = len(rejection.thresholds)
        scores = self.mean([self.score(one, way, rejection.weight) for one in logits])
        least = self.op("Gather", self.constant(rejection.thresholds), best)
        accepted = self.op("Greater", scores, least)
        for state in rejection.beside:
            both = self.answers(h, _host(state.tensors))
            known, others = (
                self.op("ReduceMax", self.op("Slice", both, *self.columns(part)), self.axes(1))
                for part in ((0, way), (way, np.iinfo(np.int64).max))
            )
            rejected = self.op("Squeeze", self.op("Greater", others, known), self.axes(1))
            accepted = self.op("And", accepted, self.op("Not", rejected))
        return accepted

    def columns(self, part: tuple[int, int]) -> tuple[str, str, str]:
        """From where to where, and along which axis, a Slice cuts."""
        return self.axes(part[0]), self.axes(part[1]), self.axes(1)

    def score(self, logits: str, way: int, weight: float) -> str:
        """The largest of N logits less `weight` times the mean of the others, [Q]."""
        largest = self.op("ReduceMax", logits, self.axes(1), keepdims=0)
        if not weight:
            return largest
        total = self.op("ReduceSum", logits, self.axes(1), keepdims=0)
        rest = self.op("Sub", total, largest)
        others = self.op("Div", rest, self.constant(way - 1))
        return self.op("Sub", largest, self.op("Mul", others, self.constant(weight)))

    def empty(self, x: str) -> str | None:
        """Which examples have nothing in them, bool [Q]; None for a kind that always has."""
        spec = self.manifest.input
        if spec.kind == "image":
            pixels = (1, 2) if spec.layout == "HWC" else (2, 3)
            spread = self.op("ReduceMax", self.deviation(x, pixels), self.axes(1, 2, 3), keepdims=0)
            return self.op("Less", spread, self.constant(BLANK * 255 * abs(spec.scale)))
        if spec.kind == "audio":
            spread = self.op("Squeeze", self.deviation(x, (1,)), self.axes(1))
            return self.op("Less", spread, self.constant(SILENCE))
        if len(spec.shape) < 2 or spec.shape[0] < 2:
            return None
        every = self.axes(*range(1, len(spec.shape) + 1))
        high, low = (self.op(kind, x, self.axes(1)) for kind in ("ReduceMax", "ReduceMin"))
        moved = self.op("ReduceMax", self.op("Sub", high, low), every, keepdims=0)
        largest = self.op("ReduceMax", self.op("Abs", x), every, keepdims=0)
        still = self.op("Mul", largest, self.constant(STILL))
        return self.op("LessOrEqual", moved, still)

    def deviation(self, x: str, axes: tuple[int, ...]) -> str:
        """The standard deviation along axes, which stay with the size 1."""
        middle = self.op("Sub", x, self.op("ReduceMean", x, self.axes(*axes)))
        squares = self.op("Mul", middle, middle)
        return self.op("Sqrt", self.op("ReduceMean", squares, self.axes(*axes)))

    def model(self, task: Task, unknown: float | None) -> onnx.ModelProto:
        """The whole, with what a reader has to know about it in its metadata."""
        spec = self.manifest.input
        dtype = TensorProto.UINT8 if spec.kind == "image" else TensorProto.FLOAT
        port = _port("input", dtype, ("Q", *spec.shape))
        graph = helper.make_graph(
            self.nodes, self.manifest.name, [port], self.named, self.constants
        )
        model = helper.make_model(
            graph,
            producer_name="handful",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(model, metadata(task, unknown))
        return model


def metadata(task: Task, unknown: float | None) -> dict[str, str]:
    """What the file's reader has to know: labels, what an input is, licence; values are text."""
    manifest = task.learner.manifest
    spec = manifest.input
    known = {
        "package": manifest.name,
        "task": manifest.task,
        "labels": "\n".join(task.classes),  # a label is one line
        "input": json.dumps(_describe(spec), ensure_ascii=False),
        "licence": manifest.licence,
    }
    if credit := manifest.training.get("credit"):
        known["credit"] = json.dumps(credit, ensure_ascii=False)
    if unknown is not None:
        known["unknown"] = f"{unknown:g}"
    return known


def _describe(spec: InputSpec) -> dict[str, Any]:
    """The fields of the manifest's input that say how to make one."""
    names = ("kind", "shape", "layout", "colour", "invert", "resize", "fit", "interpolation")
    found = {name: getattr(spec, name) for name in (*names, "rate", "whole")}
    if spec.channels:
        found["channels"] = [channel.name for channel in spec.channels]
    if spec.kind != "image":
        found = {k: v for k, v in found.items() if k not in ("invert", "fit")}
    return {name: value for name, value in found.items() if value is not None}


def compare(model: onnx.ModelProto, task: Task, unknown: float | None) -> None:
    """ExportError where the model answers otherwise than the task, on usual and on odd examples."""
    data = model.SerializeToString(deterministic=True)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for kind, x in _examples(task):
        for part in (x, x[:1]):
            found = dict(zip(names, session.run(names, {"input": part}), strict=True))
            if wrong := _difference(found, part, task, unknown):
                raise ExportError(
                    f"the frozen file answers {kind} otherwise than the task: {wrong}",
                    hint="report it with the package: the file was not written",
                )


def _difference(found: dict[str, Array], x: Array, task: Task, unknown: float | None) -> str | None:
    """What is different, in words; None where nothing is."""
    queries: Any = x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # odd on purpose
        if (asked := task.learner.manifest.task) != "classification":
            policy = asked == "policy"
            outputs = np.concatenate(task.act(queries), -1) if policy else task.outputs(queries)
            return _describe_difference("outputs", found["outputs"], outputs)
        probabilities = task.predict_proba(queries)
        labels = task.predict(queries, unknown=unknown)
    if wrong := _describe_difference("probabilities", found["probabilities"], probabilities):
        return wrong
    wanted = [NONE if label is None else task.classes.index(label) for label in labels]
    if found["index"].tolist() != wanted:
        return f"index {found['index'].tolist()}, wanted {wanted}"
    return None


def _describe_difference(name: str, found: Array, wanted: Floats) -> str | None:
    difference = float(np.abs(found - wanted).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    if found.shape == wanted.shape and difference <= allowed:
        return None
    return f"{name} {difference:.2g} away, {allowed:.2g} is allowed"


def _examples(task: Task) -> list[tuple[str, Array]]:
    """The package's golden queries, and examples from empty to as large as they may be."""
    manifest = task.learner.manifest
    spec, rng = manifest.input, np.random.default_rng(0)
    golden = read_golden(task.learner.files, manifest).vectors.query_x
    shape = (CHECKED, *spec.shape)
    rising = np.linspace(0, 1, CHECKED).reshape(-1, *[1] * len(spec.shape))
    low, high = {"image": (0, 255), "audio": (-1, 1)}.get(spec.kind, spec.range or (-3, 3))
    noise = rng.uniform(low, high, shape) * rising
    flat = np.broadcast_to(low + (high - low) * rising, shape)
    if spec.kind == "image":
        pixels = np.rint((golden - spec.offset) / spec.scale)
        return [
            (name, x.clip(0, 255).astype(np.uint8))
            for name, x in (("golden queries", pixels), ("noise", noise), ("one colour", flat))
        ]
    return [
        (name, x.astype(np.float32))
        for name, x in (("golden queries", golden), ("noise", noise), ("a constant", flat))
    ]


def _host(tensors: Mapping[str, Any]) -> dict[str, Array]:
    return {name: to_numpy(value) for name, value in tensors.items()}


def _port(name: str, dtype: int, shape: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)
