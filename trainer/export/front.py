"""What turns sound into energies in front of a learner's own embedding, as one `embed` graph."""

from __future__ import annotations

from dataclasses import replace

import onnx
import torch

from handful.runtime.learner import Learner as Loaded
from handful.runtime.learner import learner_of
from handful.runtime.package.manifest import GraphSpec, InputSpec, TensorSpec
from handful.runtime.package.read import Package
from handful.runtime.providers import setup
from handful.trainer.data.log_mel import LogMel
from handful.trainer.errors import ExportError

from .graphs import Graphs
from .simplify import simplify
from .trace import Port, trace

ENERGIES = "log_mel"  # the tensor inside `embed` that a learner was trained on
EXAMPLES = 2  # traced with


def put_in_front(graphs: Graphs, front: LogMel) -> Graphs:
    """The graphs with `embed` = the learner's embed ∘ the front end, which reads sounds [B, L]."""
    model = traced(front)
    inner: tuple[int | str, ...] = ("B", *front.shape)
    if graphs.embed is not None:
        behind = graphs.models[graphs.embed]
        inner = graphs.ports[graphs.embed][1][0].shape
        model = joined(model, behind)
    ports = (
        (TensorSpec("x", "float32", ("B", front.samples)),),
        (TensorSpec("h", "float32", inner),),
    )
    return replace(
        graphs,
        models={"embed": model, **{k: m for k, m in graphs.models.items() if k != graphs.embed}},
        ports={**graphs.ports, "embed": ports},
        embed="embed",
    )


def traced(front: LogMel) -> onnx.ModelProto:
    """The front end's own function as a graph x [B, L] → h [B, F, bands, 1]."""
    port = Port("x", ("B", front.samples))
    examples = {"x": torch.zeros(EXAMPLES, front.samples)}
    model = trace(lambda t: {"h": front(t["x"])}, examples, [port], ["h"])
    return simplify(model, [port], {"h": ("B", *front.shape)})


def joined(front: onnx.ModelProto, behind: onnx.ModelProto) -> onnx.ModelProto:
    """Both simplified graphs as one; the tensor between them is called ENERGIES."""
    model = onnx.ModelProto()
    model.CopyFrom(behind)
    first, then = front.graph, model.graph
    names = {first.input[0].name: "x", first.output[0].name: ENERGIES}
    for value in (*first.initializer, *first.node):
        for name in [value.name] if isinstance(value, onnx.TensorProto) else value.output:
            names.setdefault(name, f"/front{name}")
    nodes, constants = [], []
    for node in first.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [names.get(name, name) for name in node.input]
        copy.output[:] = [names.get(name, name) for name in node.output]
        nodes.append(copy)
    for tensor in first.initializer:
        constant = onnx.TensorProto()
        constant.CopyFrom(tensor)
        constant.name = names[tensor.name]
        constants.append(constant)
    for node in then.node:
        node.input[:] = [ENERGIES if name == "x" else name for name in node.input]
    nodes += then.node
    constants += then.initializer
    del then.node[:], then.initializer[:], then.input[:]
    then.node.extend(nodes)
    then.initializer.extend(constants)
    then.input.append(first.input[0])
    for i, node in enumerate(then.node):
        node.name = f"{node.op_type}_{i}"
    onnx.checker.check_model(model, full_check=True)
    return model


def behind_front(package: Package, energies: InputSpec) -> Loaded:
    """A package that takes sounds, taking their energies instead: to measure it on these.

    The nodes before ENERGIES are left out of its `embed`; all others are those of the package.
    """
    manifest = package.manifest
    if manifest.embed is None or package.manifest.input.kind != "audio":
        raise ExportError(f"package {manifest.name} takes no sounds")
    model = onnx.load_from_string(package.graphs[manifest.embed])
    graphs = dict(package.graphs)
    specs = dict(manifest.graphs)
    embed: str | None = manifest.embed
    if any(ENERGIES in node.output for node in model.graph.node):
        graphs[manifest.embed] = _cut(model, energies)
        specs[manifest.embed] = _reads(specs[manifest.embed], energies)
    else:  # the energies are the embedding
        del graphs[manifest.embed], specs[manifest.embed]
        embed = None
    manifest = replace(manifest, input=energies, graphs=specs, embed=embed)
    return learner_of(replace(package, manifest=manifest, graphs=graphs), setup(None, 1, None))


def _cut(model: onnx.ModelProto, energies: InputSpec) -> bytes:
    """The nodes behind ENERGIES, which is its input `x` now."""
    graph = model.graph
    wanted, kept = {graph.output[0].name}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input) - {ENERGIES}
            node.input[:] = ["x" if name == ENERGIES else name for name in node.input]
            kept.append(node)
    nodes, constants = kept[::-1], [t for t in graph.initializer if t.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    shape: list[str | int] = ["B", *energies.shape]
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    graph.input[0].CopyFrom(value)
    return bytes(model.SerializeToString(deterministic=True))


def _reads(spec: GraphSpec, energies: InputSpec) -> GraphSpec:
    return replace(spec, inputs=(TensorSpec("x", "float32", ("B", *energies.shape)),))
