"""What is done to a traced graph before it is written: fewer nodes, plain names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import onnx_ir as ir
from onnx import TensorProto, helper
from onnx_ir.passes import common as passes
from onnxscript import optimizer

from .trace import IR_VERSION, OPSET, Port, quiet

NEXT = ".next"  # of a step's outputs: a graph cannot have an input and an output of one name
FOLD_UP_TO = 2**16  # elements of a constant that folding may make


def simplify(
    model: onnx.ModelProto, ports: Sequence[Port], outputs: Mapping[str, tuple[int | str, ...]]
) -> onnx.ModelProto:
    """The same function: constants folded, common parts computed once, unread inputs left out."""
    inputs = {port.name for port in ports}
    _name_outputs(model, [name + NEXT if name in inputs else name for name in outputs])
    with quiet():
        model = _optimised(model)
    _declare(model, ports, outputs)
    onnx.checker.check_model(model, full_check=True)
    return model


def _optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The library's own passes."""
    parsed = ir.from_proto(model)
    optimizer.optimize(parsed, output_size_limit=FOLD_UP_TO)
    for step in (
        passes.CommonSubexpressionEliminationPass(),
        passes.IdentityEliminationPass(),
        passes.RemoveUnusedNodesPass(),
        passes.DeduplicateInitializersPass(),
        passes.ClearMetadataAndDocStringPass(),
    ):
        parsed = step(parsed).model
    return ir.to_proto(parsed)


def _name_outputs(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Give the outputs these names by Identity nodes, which simplification folds away."""
    graph = model.graph
    for i, name in enumerate(names):
        made = graph.output[i].name
        if made != name or any(made == i.name for i in graph.input):
            taken = f"out{i}.{name}"
            for node in graph.node:
                node.output[:] = [taken if o == made else o for o in node.output]
                node.input[:] = [
                    taken if o == made and not _is_input(graph, made) else o for o in node.input
                ]
            source = taken if any(taken in n.output for n in graph.node) else made
            graph.node.append(helper.make_node("Identity", [source], [name]))
            graph.output[i].name = name


def _is_input(graph: onnx.GraphProto, name: str) -> bool:
    return any(i.name == name for i in graph.input)


def _declare(
    model: onnx.ModelProto, ports: Sequence[Port], outputs: Mapping[str, tuple[int | str, ...]]
) -> None:
    """Inputs that are read, outputs, their shapes with our symbols; one domain, pinned versions."""
    graph = model.graph
    read = {name for node in graph.node for name in node.input}
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    inputs = [
        helper.make_tensor_value_info(p.name, types[p.name], list(p.shape))
        for p in ports
        if p.name in read
    ]
    found = [
        helper.make_tensor_value_info(o.name, types[o.name], list(shape))
        for o, shape in zip(graph.output, outputs.values(), strict=True)
    ]
    for field, values in (("input", inputs), ("output", found)):
        del getattr(graph, field)[:]
        getattr(graph, field).extend(values)
    del graph.value_info[:]
    del model.functions[:]
    del model.metadata_props[:]
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "handful", "", ""
    graph.name = "handful"
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{i}"
    for tensor in graph.initializer:
        assert tensor.data_location == TensorProto.DEFAULT
