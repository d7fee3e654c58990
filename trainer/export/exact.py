"""Optimisation passes over a traced graph that do not change its results.

The library's own list is not used as a whole, since some of its rules change a function: constants
are compared with a tolerance, so that `x + 1e-8` and `x * (1 + 5e-6)` become `x`; `Relu(Clip(x))`
and `Clip(Clip(x))` are joined whatever their bounds; an odd axis is split into the wrong halves;
a ScatterND that adds counts as one that replaces; products of reshaped matrices are taken to be
products of the matrices; batch norm is multiplied into a convolution, which rounds anew
(onnxruntime does that by itself).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
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


def optimise(model: ir.Model) -> ir.Model:
    """Constants folded, no-ops left out, common parts computed once; outputs may share a value."""
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
