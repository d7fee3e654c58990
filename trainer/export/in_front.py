"""What stands in front of a learner's own embedding, joined with it to one graph `embed`.

It turns sounds into energies, or pictures into a frozen ONNX backbone's embeddings.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import compose as onnx_compose
from onnx import helper, numpy_helper, version_converter
from torch import Tensor

from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.manifest import InputSpec, TensorSpec
from handful.trainer.data.backbone import Channels
from handful.trainer.data.log_mel import ENERGIES, LogMel

from .graphs import Graphs
from .simplify import simplify
from .trace import OPSET, Port, trace

EXAMPLES = 2  # traced with


def put_in_front(graphs: Graphs, front: LogMel) -> Graphs:
    """The graphs with `embed` = the learner's embed ∘ the front end, which reads sounds [B, L]."""
    model = trace_front(front)
    inner: tuple[int | str, ...] = ("B", *front.shape)
    if graphs.embed is not None:
        behind = graphs.models[graphs.embed]
        inner = graphs.ports[graphs.embed][1][0].shape
        model = join(model, behind)
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


def trace_front(front: LogMel) -> onnx.ModelProto:
    """The front end's own function as a graph x [B, L] → h [B, F, bands, 1]."""
    port = Port("x", ("B", front.samples))
    examples = {"x": torch.zeros(EXAMPLES, front.samples)}
    model = trace(lambda t: {"h": front(t["x"])}, examples, [port], ["h"])
    return simplify(model, [port], {"h": ("B", *front.shape)})


def join(front: onnx.ModelProto, behind: onnx.ModelProto) -> onnx.ModelProto:
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


BATCH = 32


def run_backbone(
    path: Path, x: Tensor, channels: Channels | None = None, layout: str | None = None
) -> Tensor:
    """Embeddings [B, D] of pictures [B, ...] as the package's input wants them."""
    x = channels.apply(x, layout) if channels else x
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: part.numpy()})[0] for part in torch.split(x, BATCH)]
    return torch.cat([torch.from_numpy(part).flatten(1) for part in parts])


def compose(
    graphs: Graphs, path: Path, spec: InputSpec, channels: Channels | None = None
) -> Graphs:
    """The graphs with `embed` = the learner's embed ∘ the backbone, in our opset and IR version.

    `channels` go in front of the backbone: `spec` has one scale and one offset for all channels.
    """
    backbone = version_converter.convert_version(onnx.load(str(path)), OPSET)
    backbone = onnx_compose.add_prefix(backbone, "backbone/")
    graph = backbone.graph
    constants = {tensor.name for tensor in graph.initializer}
    for value in [value for value in graph.input if value.name in constants]:
        graph.input.remove(value)  # in IR version 3 every constant is listed as an input as well
    if channels is not None:
        _put_first(graph, channels, spec)
    if graphs.embed is None:
        merged = backbone
    else:
        embed = graphs.models[graphs.embed]
        backbone.ir_version = embed.ir_version
        merged = onnx_compose.merge_models(backbone, embed, io_map=[(graph.output[0].name, "x")])
    inner = tuple(d.dim_value for d in merged.graph.output[0].type.tensor_type.shape.dim[1:])
    model = simplify(merged, [Port("x", ("B", *spec.shape))], {"h": ("B", *inner)})
    ports = (
        (TensorSpec("x", "float32", ("B", *spec.shape)),),
        (TensorSpec("h", "float32", ("B", *inner)),),
    )
    return replace(
        graphs,
        models={"embed": model, **{k: m for k, m in graphs.models.items() if k != graphs.embed}},
        ports={**graphs.ports, "embed": ports},
        embed="embed",
    )


def _put_first(graph: onnx.GraphProto, channels: Channels, spec: InputSpec) -> None:
    """Prepend x · a + b to the graph, with an a and a b for each channel."""
    picture = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["handful.normalised" if name == picture else name for name in node.input]
    factors = channels.factors(spec.layout)
    for name, value in zip(("handful.deviations", "handful.means"), factors, strict=True):
        graph.initializer.append(numpy_helper.from_array(value.numpy().astype(np.float32), name))
    first = [
        helper.make_node("Mul", [picture, "handful.deviations"], ["handful.scaled"]),
        helper.make_node("Add", ["handful.scaled", "handful.means"], ["handful.normalised"]),
    ]
    for node in reversed(first):
        graph.node.insert(0, node)
