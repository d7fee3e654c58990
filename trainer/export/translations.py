"""Operators as ONNX has them that torch's exporter has not or only decomposes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18 as op


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What `torch.onnx.export` is told of them."""
    aten = torch.ops.aten
    return {
        torch.ops.handful.lstm.default: lstm,
        aten.squeeze.dims: squeeze,
        aten.sym_numel.default: lambda x: op.Size(x),
    }


def squeeze(x: Any, dims: list[int]) -> Any:
    """x without those of `dims` that are 1; onnx would refuse the others."""
    ones = [dim for dim in dims if x.shape[dim] == 1]
    axes: Any = op.Constant(value_ints=ones)
    return op.Squeeze(x, axes) if ones else op.Identity(x)


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
