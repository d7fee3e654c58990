"""Simplifying a traced graph for the package: fewer nodes, plain names, the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper
from onnx_ir.passes import common
from onnxscript import optimizer
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules.common import (
    cast_constant_of_shape_rule,
    cast_constant_of_shape_without_value_rule,
    collapse_slice2_rule,
    collapse_slice_rule,
    flatten_to_reshape_rule,
    materialize_reshape_shape_rule,
    no_op_cast_rule,
    no_op_expand_rule,
    no_op_transpose_rule,
    reshape_reshape_rule,
    squeeze_reshape_1d_rule,
    successive_relu_rule,
    transpose_transpose_rule,
    unsqueeze_unsqueeze_rule,
)

from handful.runtime.package.manifest import NEXT

from .trace import IR_VERSION, OPSET, Port, silence_exporter

FOLD_UP_TO = 2**18  # elements of a constant that folding may make
ROUNDS = 4  # of folding and rewriting; each round makes room for the next, few graphs need three

# each moves, copies or types values and computes none; a shape counts only where it is known
RULES = (
    no_op_cast_rule,
    no_op_expand_rule,
    flatten_to_reshape_rule,
    reshape_reshape_rule,
    no_op_transpose_rule,
    transpose_transpose_rule,
    unsqueeze_unsqueeze_rule,
    squeeze_reshape_1d_rule,
    collapse_slice_rule,
    collapse_slice2_rule,
    materialize_reshape_shape_rule,
    cast_constant_of_shape_rule,
    cast_constant_of_shape_without_value_rule,
    successive_relu_rule,
)


def simplify(
    model: onnx.ModelProto, ports: Sequence[Port], outputs: Mapping[str, tuple[int | str, ...]]
) -> onnx.ModelProto:
    """The same function: constants folded, common parts computed once, unread inputs left out.

    The model's inputs are the `ports` in order, its outputs have the names and shapes `outputs`.
    """
    with silence_exporter():
        model = ir.to_proto(optimise(ir.from_proto(model)))
    return name_ports(model, ports, outputs)


def optimise(model: ir.Model) -> ir.Model:
    """Constants folded, no-ops left out, common parts computed once; outputs may share a value.

    onnxscript's own list of passes is not used as a whole, since some of its rules change a
    function: constants are compared with a tolerance, so that `x + 1e-8` and `x * (1 + 5e-6)`
    become `x`; `Relu(Clip(x))` and `Clip(Clip(x))` are joined whatever their bounds; an odd axis is
    split into the wrong halves; a ScatterND that adds counts as one that replaces; products of
    reshaped matrices are taken to be products of the matrices; batch norm is multiplied into a
    convolution, which rounds anew (onnxruntime does that by itself).
    """
    common.InlinePass()(model)
    for _ in range(ROUNDS):
        folded = optimizer.fold_constants(
            model, onnx_shape_inference=True, output_size_limit=FOLD_UP_TO
        )
        rewritten = [step(model).modified for step in (UnitFactors(), RewritePass(RULES))]
        common.RemoveUnusedNodesPass()(model)
        if not (folded.modified or any(rewritten)):
            break
    for step in (
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.ClearMetadataAndDocStringPass(),
    ):
        step(model)
    return model


class UnitFactors(ir.passes.InPlacePass):
    """`x * 1`, `1 * x` and `x / 1` become x, where the constant is exactly 1 in all its entries and
    gives x no other shape: a scalar, or the ones of a layer's channels, such as the signs of γ.

    A sum with 0 stays: it turns -0 into 0.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Put an Identity, which folding leaves out, in the place of each."""
        modified = False
        for node in model.graph:
            factors = {"Mul": (0, 1), "Div": (1,)}.get(node.op_type, ())
            at = next((i for i in factors if _is_one(node.inputs[i], node.inputs[1 - i])), None)
            if at is None or node.domain:
                continue
            kept = ir.node("Identity", inputs=[node.inputs[1 - at]])
            output = kept.outputs[0]
            output.type, output.shape = node.outputs[0].type, node.outputs[0].shape
            ir.convenience.replace_nodes_and_values(
                model.graph, node, [node], [kept], node.outputs, kept.outputs
            )
            modified = True
        return ir.passes.PassResult(model, modified=modified)


def _is_one(value: ir.Value | None, other: ir.Value | None) -> bool:
    constant = ir.convenience.get_const_tensor(value) if value is not None else None
    if constant is None or not np.all(np.equal(constant.numpy(), 1)):
        return False
    if constant.shape == ():
        return True
    shape = other.shape if other is not None else None
    sizes = tuple(constant.shape)
    # none of its dimensions is one that x lacks, or has with another or an unknown size
    return (
        shape is not None
        and len(sizes) <= len(shape)
        and all(
            own in (1, size) for own, size in zip(sizes[::-1], tuple(shape)[::-1], strict=False)
        )
    )


def name_ports(
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
    del graph.metadata_props[:]
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "handful", "", ""
    graph.name = "handful"
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{i}"
    for tensor in graph.initializer:
        assert tensor.data_location == TensorProto.DEFAULT
