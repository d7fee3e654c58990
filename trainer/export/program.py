"""What `make_fx` traced, as the program that torch's exporter translates.

`torch.onnx.export` would take the graph itself. It then traces it again to make a program of it,
and once more to decompose that: half the time of exporting MAML's step, with its 700 nodes and
sizes that are symbols. Both are left out here, because nothing is left to do: `make_fx` has
decomposed the operators. Where one is left that the exporter decomposes and we do not, it says that
it has no function for it, and trace.py gives it the graph itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram, ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.utils import _pytree as pytree

SIZE = torch.ops.aten.sym_size.int


class Decomposed(ExportedProgram):
    """A program of operators that the exporter translates as they are."""

    def run_decompositions(self, *args: Any, **kwargs: Any) -> ExportedProgram:
        """Itself."""
        return self


def program_of(traced: fx.GraphModule, examples: tuple[Tensor, ...]) -> Decomposed:
    """The program of a graph whose inputs are the examples and whose outputs are a tuple."""
    graph = fx.Graph()  # the traced one stays as it is
    graph.output(graph.graph_copy(traced.graph, {}))
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    _sizes_of_inputs(graph, inputs)
    graph.eliminate_dead_code()
    constants = _lifted(traced, graph, inputs[0])
    (output,) = (node for node in graph.nodes if node.op == "output")
    outputs = tuple(output.args[0])
    output.args = (outputs,)
    signature = ExportGraphSignature(
        input_specs=[
            *(
                InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(node.name), name)
                for name, (node, _) in constants.items()
            ),
            *(InputSpec(InputKind.USER_INPUT, TensorArgument(node.name), None) for node in inputs),
        ],
        output_specs=[
            OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None) for node in outputs
        ],
    )
    call = ModuleCallSignature(
        inputs=[],
        outputs=[],
        in_spec=pytree.tree_flatten((examples, {}))[1],
        out_spec=pytree.tree_flatten(tuple(0 for _ in outputs))[1],
    )
    return Decomposed(
        root=traced,
        graph=graph,
        graph_signature=signature,
        state_dict={},
        range_constraints={},
        module_call_graph=[ModuleCallEntry(fqn="", signature=call)],
        example_inputs=(examples, {}),
        constants={name: value for name, (_, value) in constants.items()},
    )


def _lifted(
    traced: fx.GraphModule, graph: fx.Graph, first: fx.Node
) -> dict[str, tuple[fx.Node, Tensor]]:
    """The graph's constants as inputs before the `first`: name → node and value."""
    constants: dict[str, tuple[fx.Node, Tensor]] = {}
    for node in list(graph.nodes):
        if node.op != "get_attr":
            continue
        name = str(node.target)
        if name not in constants:
            value = getattr(traced, name)
            with graph.inserting_before(first):
                lifted = graph.placeholder(f"constant_{name.lstrip('_')}")
            lifted.meta["val"] = node.meta.get("val", value)
            constants[name] = lifted, value.detach()
        node.replace_all_uses_with(constants[name][0])
        graph.erase_node(node)
    return constants


def _sizes_of_inputs(graph: fx.Graph, inputs: list[fx.Node]) -> None:
    """Each free size read once, of the last input whose first axis it is: S of `support_y`, say.

    `make_fx` reads it of whatever tensor was asked, several times.
    """
    places: dict[str, tuple[fx.Node, int]] = {}
    for node in inputs:
        for axis, size in enumerate(node.meta["val"].shape):
            if isinstance(size, torch.SymInt) and (axis == 0 or str(size) not in places):
                places[str(size)] = node, axis
    asked: dict[str, list[fx.Node]] = {size: [] for size in places}
    for node in graph.nodes:
        if node.target is SIZE and str(node.meta["val"]) in places:
            asked[str(node.meta["val"])].append(node)
    order = {node: i for i, node in enumerate(inputs)}
    for size in sorted(places, key=lambda size: -order[places[size][0]]):
        if not asked[size]:
            continue
        with graph.inserting_after(inputs[-1]):
            read = graph.call_function(SIZE, places[size])
        read.meta["val"] = asked[size][0].meta["val"]
        for node in asked[size]:
            node.replace_all_uses_with(read)
            graph.erase_node(node)
