"""A frozen ONNX backbone in front of a learner's own embedding, as one `embed` graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime as ort
import torch
from onnx import compose as onnx_compose
from onnx import version_converter
from torch import Tensor

from handful.runtime.package.manifest import InputSpec, TensorSpec

from .graphs import Graphs
from .simplify import simplify
from .trace import OPSET, Port

BATCH = 32


def run_backbone(path: Path, x: Tensor) -> Tensor:
    """Embeddings [B, D] of pictures [B, ...] as the backbone's input wants them."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: part.numpy()})[0] for part in torch.split(x, BATCH)]
    return torch.cat([torch.from_numpy(part).flatten(1) for part in parts])


def compose(graphs: Graphs, path: Path, spec: InputSpec) -> Graphs:
    """The graphs with `embed` = the learner's embed ∘ the backbone, in our opset and IR version."""
    backbone = version_converter.convert_version(onnx.load(str(path)), OPSET)
    backbone = onnx_compose.add_prefix(backbone, "backbone/")
    graph = backbone.graph
    constants = {tensor.name for tensor in graph.initializer}
    for value in [value for value in graph.input if value.name in constants]:
        graph.input.remove(value)  # a default in IR 3, from before constants stood alone
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
