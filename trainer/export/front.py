"""What turns sound into energies in front of a learner's own embedding, as one `embed` graph."""

from __future__ import annotations

from dataclasses import replace

import onnx
import torch

from handful.runtime.package.manifest import TensorSpec
from handful.trainer.data.log_mel import ENERGIES, LogMel

from .graphs import Graphs
from .simplify import simplify
from .trace import Port, trace

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
