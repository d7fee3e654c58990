"""From a learner's function, gradient included, to an ONNX graph.

`torch.onnx.export` cannot trace `torch.func.grad` by itself, so the function is traced first by
`make_fx` with symbolic sizes; what comes out has no gradients left to take, only arithmetic.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from .decompositions import decomposition_table

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
) -> onnx.ModelProto:
    """The ONNX graph of `function`, whose inputs and outputs are dicts of named tensors.

    `examples` are inputs of some sizes; `ports` say which of these stay free.
    """
    names = [port.name for port in ports]
    inputs = tuple(examples[name] for name in names)
    outputs: list[str] = []

    def flat(*tensors: Tensor) -> tuple[Tensor, ...]:
        found = function(dict(zip(names, tensors, strict=True)))
        outputs[:] = list(found)
        # an input handed on unchanged would lose its name
        return tuple(t.clone() if any(t is i for i in tensors) else t for t in found.values())

    graph = make_fx(
        flat,
        tracing_mode="symbolic",
        _allow_non_fake_inputs=True,
        decomposition_table=decomposition_table(),
    )(*inputs)
    shapes = tuple(
        {
            axis: torch.export.Dim.DYNAMIC if isinstance(size, str) else torch.export.Dim.STATIC
            for axis, size in enumerate(port.shape)
        }
        for port in ports
    )
    with quiet():
        program = torch.onnx.export(
            graph,
            inputs,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=names,
            # not the names of inputs: a node that reads an output would read the input instead
            output_names=[f"made.{name}" for name in outputs],
            opset_version=OPSET,
            external_data=False,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.ir_version = IR_VERSION
    return model
