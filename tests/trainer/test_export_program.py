"""The exporter's shortened way gives the very graphs of its own."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor, fx
from torch.export import ExportedProgram

from handful.trainer.export import trace
from handful.trainer.export.graphs import trace_learner
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig

from ..each import each
from .cases import Case, case, on_pictures
from .small import IMAGE, WAY


def none(traced: fx.GraphModule, examples: tuple[Tensor, ...]) -> ExportedProgram:
    """Then the exporter gets the graph itself, traces it again and decomposes it."""
    raise torch.onnx.OnnxExporterError


def computed(model: onnx.ModelProto) -> dict[str, Any]:
    """What each output is, down to inputs and constants; a free size is its symbol.

    Of which input a size is read makes no difference: S is the first of both support_x and
    support_y.
    """
    graph = model.graph
    sizes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in graph.input
    }
    known: dict[str, Any] = {"": None, **{name: ("input", name) for name in sizes}}
    for tensor in graph.initializer:
        known[tensor.name] = tensor.data_type, tuple(tensor.dims), tensor.raw_data
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        said: Any = (node.op_type, [known[name] for name in node.input], str(attributes))
        if node.op_type == "Shape" and node.input[0] in sizes:
            said = "size", sizes[node.input[0]][attributes["start"] : attributes["end"]]
        for i, name in enumerate(node.output):
            known[name] = hash((i, str(said)))
    return {value.name: known[value.name] for value in graph.output}


@each("name", ["leo", "maml-none-fixed-coordinate"])
def test_nothing_is_left_to_decompose(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = case(name)
    ours = trace_learner(subject.learner, subject.params).models
    monkeypatch.setattr(trace, "program_of", none)
    theirs = trace_learner(subject.learner, subject.params).models
    assert list(ours) == list(theirs)
    for graph, model in ours.items():
        assert computed(model) == computed(theirs[graph]), graph
        assert len(model.graph.node) == len(theirs[graph].graph.node)


def pooled() -> Case:
    """MAML on Conv4 with max-pooling, whose step is traced in a form of its own."""
    network = NetworkConfig(filters=8, halving="max", normalisation="support")
    return on_pictures(MAML(MAMLConfig(network=network, inner_steps=1), IMAGE, WAY))


@each("name", ["maml-support-fixed", "maml-pooled", "reptile", "proto-maml-series", "matching"])
def test_no_graph_is_traced_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # an operator that only the exporter decomposes would have it traced twice more: it works, but
    # an export of such a MAML would take twice the time, as it once did for a squeeze
    subject = pooled() if name == "maml-pooled" else case(name)
    translated: list[object] = []

    def counted(program: Any, *args: Any, **settings: Any) -> Any:
        translated.append(program)
        return export(program, *args, **settings)

    export = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", counted)
    graphs = trace_learner(subject.learner, subject.params).models
    assert len(translated) == len(graphs)
    assert all(isinstance(program, ExportedProgram) for program in translated)


def test_translations_are_read_once_and_ours_are_no_part_of_them() -> None:
    read, port = trace._read_translations, trace.Port("x", ("S", 3))

    def trace_once() -> int:
        trace.trace(lambda given: {"y": given["x"].exp()}, {"x": torch.rand(4, 3)}, [port], ["y"])
        return read.cache_info().misses

    assert trace_once() == trace_once()
    known = read(trace.OPSET).functions.values()
    assert not any(translation.is_custom for several in known for translation in several)
