"""From a learner's function, gradient included, to an ONNX graph.

`torch.onnx.export` cannot trace `torch.func.grad` by itself, so the function is traced first by
`make_fx` with symbolic sizes; what comes out has no gradients left to take, only arithmetic.
Backward operators that ONNX does not have are written here with those it has; the others come from
torch's core ATen decompositions, batch norm's backward included.

Only the free sizes are symbols. `tracing_mode="symbolic"` would make one of every
size, the height and width of an image included, and most of the time would go into sympy: 61
seconds for MAML's three graphs instead of 25, which are the same node for node. IR version and
opset are pinned because a current `onnx` writes IR 14, which no onnxruntime reads.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnxscript import opset18 as op
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, get_decompositions
from torch._dispatch.python import enable_python_dispatcher
from torch._export.verifier import SpecViolationError
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import ExportedProgram, ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.onnx._internal.exporter._registration import ONNXRegistry
from torch.utils import _pytree as pytree

from .convolutions import convolution_backward

aten = torch.ops.aten
_FROM_TORCHLIB = ONNXRegistry.from_torchlib
SIZE = torch.ops.aten.sym_size.int
OPSET = 18  # the exporter's floor, and what every runtime since 2022 reads
IR_VERSION = 8  # pinned: a current onnx writes 14, which no onnxruntime reads


def trace(
    function: Callable[[dict[str, Tensor]], Mapping[str, Tensor]],
    examples: Mapping[str, Tensor],
    ports: Sequence[Port],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """The ONNX graph of `function`, whose inputs and outputs are dicts of named tensors.

    `examples` are inputs of some sizes; `ports` say which of these stay free. The graph's inputs
    are in the order of `ports`, its outputs in that of `outputs`; their names are its own.
    """
    names = [port.name for port in ports]
    inputs = tuple(examples[name] for name in names)

    def flat(*tensors: Tensor) -> tuple[Tensor, ...]:
        results = function(dict(zip(names, tensors, strict=True)))
        # an input handed on unchanged would lose its name
        return tuple(
            results[name].clone() if any(results[name] is t for t in tensors) else results[name]
            for name in outputs
        )

    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    symbols = [
        mode.from_tensor(t, symbolic_context=_free_sizes(p))
        for t, p in zip(inputs, ports, strict=True)
    ]
    with mode, enable_python_dispatcher():
        graph = make_fx(
            flat, decomposition_table=decomposition_table(), _allow_non_fake_inputs=True
        )(*symbols)
    translate = partial(
        torch.onnx.export,
        dynamo=True,
        # no value inside is called so: a tensor `mul` would stand for a product as well
        input_names=[f"/input {i}" for i in range(len(names))],
        output_names=[f"/output {i}" for i in range(len(outputs))],
        opset_version=OPSET,
        custom_translation_table=translation_table(),
        external_data=False,
        optimize=False,  # its rules are not exact: see exact.py
        verbose=False,
    )
    with silence_exporter(), reuse_translations():
        program = None
        # an operator is left that the exporter decomposes, or one that works in place
        with suppress(torch.onnx.OnnxExporterError, SpecViolationError):
            program = translate(program_of(graph, inputs))
        if program is None:
            program = translate(graph, inputs, dynamic_shapes=_dynamic_axes(ports))
    assert program is not None
    model = program.model_proto
    model.ir_version = IR_VERSION
    return model


@dataclass(frozen=True)
class Port:
    """An input or output of a graph: its name and its shape, with symbols for free sizes."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"


def _free_sizes(port: Port) -> StatelessSymbolicContext[Any, Any]:
    """Which sizes of an input are symbols, equal ones the same. `tracing_mode="symbolic"` takes all
    of them, an image's height and width as well: MAML's step was then traced for a minute, most of
    which went into the algebra of quotients of quotients of heights.
    """
    return StatelessSymbolicContext(
        dynamic_sizes=[
            DimDynamic.DUCK if isinstance(size, str) else DimDynamic.STATIC for size in port.shape
        ]
    )


@cache
def decomposition_table() -> Mapping[Any, Callable[..., Any]]:
    """What `make_fx` replaces while tracing a learner."""
    table: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    # the exporter makes of it an InstanceNormalization, whose kernel a package may not reach
    table |= get_decompositions([aten.native_group_norm])
    table[aten.slice_backward.default] = slice_backward
    table[aten.select_backward.default] = select_backward
    table[aten.threshold_backward.default] = threshold_backward
    table[aten.convolution_backward.default] = convolution_backward
    table[aten.constant_pad_nd.default] = pad_or_cut
    return table


def slice_backward(
    gradient: Tensor, sizes: list[int], dim: int, start: int, end: int, step: int
) -> Tensor:
    """The gradient of x[start:end] along `dim`: zeros before and after.

    As concatenations: the exporter's ScatterND with transposes takes 36 ms of a MAML step.
    """
    if step != 1:
        raise ValueError(f"a slice with step {step} is not traced: reshape into phases instead")
    size = sizes[dim]
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    end = size if end > size else end
    return _pad(gradient, dim, start, size - end)


def _pad(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    dim = dim % x.ndim
    return F.pad(x, [0, 0] * (x.ndim - 1 - dim) + [before, after])


def select_backward(gradient: Tensor, sizes: list[int], dim: int, index: int) -> Tensor:
    """The gradient of x.select(dim, index)."""
    dim = dim % len(sizes)
    index = index + sizes[dim] if index < 0 else index
    return _pad(gradient.unsqueeze(dim), dim, index, sizes[dim] - index - 1)


def threshold_backward(gradient: Tensor, x: Tensor, threshold: float) -> Tensor:
    """The gradient of ReLU: one product instead of a Where."""
    return gradient * (x > threshold).to(gradient.dtype)


def pad_or_cut(x: Tensor, pads: list[int], value: float = 0) -> Any:
    """Pads below 0, with which torch writes the gradient of padding, as slices."""
    if min(pads) >= 0:
        return NotImplemented  # as it is
    for i, (before, after) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        dim = x.ndim - 1 - i
        start, end = max(-before, 0), x.shape[dim] - max(-after, 0)
        x = x.narrow(dim, start, end - start) if min(before, after) < 0 else x
    around = [max(pad, 0) for pad in pads]
    return aten.constant_pad_nd(x, around, value) if any(around) else x


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What `torch.onnx.export` is told of them."""
    aten = torch.ops.aten
    return {
        torch.ops.handful.lstm.default: lstm,
        aten.squeeze.dims: squeeze,
        aten.sym_numel.default: lambda x: op.Size(x),
    }


def lstm(x: Any, w: Any, r: Any, b: Any) -> Any:
    """learners/recurrence.py as one LSTM: x [S, 1, D] and constant weights → [S, directions, 1, H].

    The Reshape says once more what x is: docs/package-format.md wants it in front of an LSTM.
    """
    directions, _, width = w.shape
    if x.shape[1] != 1:
        raise ValueError(f"an LSTM over {x.shape[1]} sequences at a time is not exported, only one")
    hidden = int(r.shape[2])
    shape: Any = op.Constant(value_ints=[-1, 1, int(width)])
    sequence = op.Reshape(x, shape)
    every_state, _, _ = op.LSTM(
        sequence,
        w,
        r,
        b,
        hidden_size=hidden,
        direction="bidirectional" if int(directions) == 2 else "forward",
    )
    return every_state


def squeeze(x: Any, dims: list[int]) -> Any:
    """x without those of `dims` that are 1; onnx would refuse the others."""
    ones = [dim for dim in dims if x.shape[dim] == 1]
    axes: Any = op.Constant(value_ints=ones)
    return op.Squeeze(x, axes) if ones else op.Identity(x)


@contextmanager
def silence_exporter() -> Iterator[None]:
    """Without the exporter's own deprecations and remarks, which no user can mend."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def reuse_translations() -> Iterator[None]:
    """The exporter's translations of torch's operators, read once a process and not once a graph.

    It parses the source of all 1500 of them, which takes longer than all else of most exports.
    """
    kept = ONNXRegistry.__dict__["from_torchlib"]
    ONNXRegistry.from_torchlib = staticmethod(_copy_translations)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = kept  # type: ignore[method-assign]


def _copy_translations(opset_version: int) -> ONNXRegistry:
    registry = copy(_read_translations(opset_version))
    registry.functions = {op: [*known] for op, known in registry.functions.items()}
    return registry


@cache
def _read_translations(opset_version: int) -> ONNXRegistry:
    return _FROM_TORCHLIB(opset_version)


def program_of(traced: fx.GraphModule, examples: tuple[Tensor, ...]) -> Decomposed:
    """The program of a graph whose inputs are the examples and whose outputs are a tuple.

    `torch.onnx.export` would take the graph itself. It then traces it again to make a program of
    it, and once more to decompose that: half the time of exporting MAML's step, with its 700 nodes
    and sizes that are symbols. Both are left out here, because nothing is left to do: `make_fx` has
    decomposed the operators. Where one is left that the exporter decomposes and we do not, it says
    that it has no function for it, and `trace` gives it the graph itself.
    """
    graph = fx.Graph()  # the traced one stays as it is
    graph.output(graph.graph_copy(traced.graph, {}))
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    _sizes_of_inputs(graph, inputs)
    graph.eliminate_dead_code()
    constants = _lift_constants(traced, graph, inputs[0])
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


class Decomposed(ExportedProgram):
    """A program of operators that the exporter translates as they are."""

    def run_decompositions(self, *args: Any, **kwargs: Any) -> ExportedProgram:
        """The program as it is: the graph holds only operators that the exporter knows."""
        return self


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


def _lift_constants(
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


def _dynamic_axes(ports: Sequence[Port]) -> tuple[dict[int, Any], ...]:
    """Which axes are free, as `torch.export` is told."""
    dynamic, static = torch.export.Dim.DYNAMIC, torch.export.Dim.STATIC
    return tuple(
        {axis: dynamic if isinstance(size, str) else static for axis, size in enumerate(port.shape)}
        for port in ports
    )
