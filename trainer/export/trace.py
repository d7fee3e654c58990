"""From a learner's function, gradient included, to an ONNX graph.

`torch.onnx.export` cannot trace `torch.func.grad` by itself, so the function is traced first by
`make_fx` with symbolic sizes; what comes out has no gradients left to take, only arithmetic.

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
from dataclasses import dataclass
from functools import partial
from typing import Any

import onnx
import torch
from torch import Tensor
from torch._dispatch.python import enable_python_dispatcher
from torch._export.verifier import SpecViolationError
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from .decompositions import decomposition_table
from .program import program_of
from .translations import translation_table

OPSET = 18  # the exporter's floor, and what every runtime since 2022 reads
IR_VERSION = 8  # pinned: a current onnx writes 14, which no onnxruntime reads


@dataclass(frozen=True)
class Port:
    """An input or output of a graph: its name and its shape, with symbols for free sizes."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"


@contextmanager
def quiet() -> Iterator[None]:
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
        mode.from_tensor(t, symbolic_context=_free(p)) for t, p in zip(inputs, ports, strict=True)
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
    with quiet():
        program = None
        # an operator is left that the exporter decomposes, or one that works in place
        with suppress(torch.onnx.OnnxExporterError, SpecViolationError):
            program = translate(program_of(graph, inputs))
        if program is None:
            program = translate(graph, inputs, dynamic_shapes=_dynamic(ports))
    assert program is not None
    model = program.model_proto
    model.ir_version = IR_VERSION
    return model


def _dynamic(ports: Sequence[Port]) -> tuple[dict[int, Any], ...]:
    """Which axes are free, as `torch.export` is told."""
    dynamic, static = torch.export.Dim.DYNAMIC, torch.export.Dim.STATIC
    return tuple(
        {axis: dynamic if isinstance(size, str) else static for axis, size in enumerate(port.shape)}
        for port in ports
    )


def _free(port: Port) -> StatelessSymbolicContext[Any, Any]:
    """Which sizes of an input are symbols, equal ones the same. `tracing_mode="symbolic"` takes all
    of them, an image's height and width as well: MAML's step was then traced for a minute, most of
    which went into the algebra of quotients of quotients of heights.
    """
    return StatelessSymbolicContext(
        dynamic_sizes=[
            DimDynamic.DUCK if isinstance(size, str) else DimDynamic.STATIC for size in port.shape
        ]
    )
