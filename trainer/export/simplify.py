"""Simplifying a traced graph for the package: fewer nodes, plain names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from handful.runtime.package.names import NEXT

from .exact import optimise
from .trace import IR_VERSION, OPSET, Port, quiet


def simplify(
    model: onnx.ModelProto, ports: Sequence[Port], outputs: Mapping[str, tuple[int | str, ...]]
) -> onnx.ModelProto:
    """The same function: constants folded, common parts computed once, unread inputs left out.

    The model's inputs are the `ports` in order, its outputs have the names and shapes `outputs`.
    """
    with quiet():
        model = ir.to_proto(optimise(ir.from_proto(model)))
    return named(model, ports, outputs)


def named(
    model: onnx.ModelProto, ports: Sequence[Port], outputs: Mapping[str, tuple[int | str, ...]]
) -> onnx.ModelProto:
    """The same model with our names, inputs, outputs and versions, checked."""
    del model.graph.value_info[:]
    inputs = [port.name for port in ports]
    _rename(model.graph, inputs, [name + NEXT if name in inputs else name for name in outputs])
    _declare(model, ports, list(outputs.values()))
    onnx.checker.check_model(model, full_check=True)
    return model


def _rename(graph: onnx.GraphProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Our names for inputs and outputs, and `/0`, `/1` … for all else, which can be no tensor's.

    Outputs of one value keep a name each: all but the first are copies, as are those of an input
    or a constant.
    """
    names = {value.name: name for value, name in zip(graph.input, inputs, strict=True)}
    results = {name for node in graph.node for name in node.output}
    for value, name in zip(graph.output, outputs, strict=True):
        if value.name in names or value.name not in results:
            copy = f"/copy {name}"
            graph.node.append(helper.make_node("Identity", [value.name], [copy]))
            value.name = copy
        names[value.name] = name
    inner = (*(t.name for t in graph.initializer), *(o for n in graph.node for o in n.output))
    for name in filter(None, inner):  # an output that is left out has no name
        names.setdefault(name, f"/{len(names)}")
    names[""] = ""
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        while node.output and not node.output[-1]:  # left out, as it may be at the end
            del node.output[-1]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names[value.name]


def _declare(
    model: onnx.ModelProto, ports: Sequence[Port], shapes: Sequence[tuple[int | str, ...]]
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
    results = [
        helper.make_tensor_value_info(o.name, types[o.name], list(shape))
        for o, shape in zip(graph.output, shapes, strict=True)
    ]
    for field, values in (("input", inputs), ("output", results)):
        del getattr(graph, field)[:]
        getattr(graph, field).extend(values)
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
