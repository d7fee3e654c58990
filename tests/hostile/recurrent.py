"""LSTMs in the package `head`, all but the last outside the one form that is allowed.

An empty batch ends the process in onnxruntime 1.28.0 and in 1.32.0. 1.28.0 also aborts on weights
of two axes, and reads beyond its memory where a sequence is wider than W or R disagrees with W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .manifests import Case
from .models import GRAPH, make, nodes, one


def lstm(
    *,
    rows: Sequence[int] = (-1, 1, 4),
    source: Any = None,
    more: Sequence[str] = (),
    outputs: Sequence[str] = ("z",),
    W: Any = None,
    R: Any = None,
    B: Any = None,
    **attributes: Any,
) -> Callable[[Path], object]:
    """An LSTM of two units over rows of four numbers, allowed but for what is given."""
    shapes = {"W": (1, 8, 4), "R": (1, 8, 2), "B": (1, 16)}
    weights = {
        name: np.zeros(shapes[name], np.float32) if value is None else value
        for name, value in (("W", W), ("R", R), ("B", B))
    }
    settings = {"hidden_size": 2, **attributes}
    node = make(
        "LSTM",
        ["x", "W", "R", "B", *more],
        list(outputs),
        **{name: value for name, value in settings.items() if value is not None},
    )
    start = np.zeros((3, 4), np.float32) if source is None else source
    sizes = np.array(rows)
    return nodes(make("Reshape", ["rows", "to"], ["x"]), node, rows=start, to=sizes, **weights)


CASES: dict[str, Case] = {
    "LSTM over an empty batch": (
        lstm(rows=[-1, 0, 4]), GRAPH + "an LSTM over 'x', wanted float32 from a Reshape to the con",
    ),
    "LSTM over a batch of two": (lstm(rows=[-1, 2, 4]), GRAPH + "an LSTM over 'x', wanted float32"),
    "LSTM over what is computed": (
        nodes(one("LSTM", "w", "w", "w", "w", hidden_size=2)), GRAPH + "an LSTM over 'w', wanted",
    ),
    "LSTM over a shape of which an axis is copied": (
        lstm(rows=[-1, 1, 0]), GRAPH + "an LSTM over 'x', wanted float32 from a Reshape",
    ),
    "LSTM over integers": (
        lstm(source=np.zeros((1, 4), np.int64)), GRAPH + "an LSTM over 'x', wanted float32",
    ),
    "LSTM over rows of another width": (
        lstm(rows=[-1, 1, 4000]),
        GRAPH + "an LSTM whose W is 'W', wanted a float32 constant of shape [1, 8, 4000]",
    ),
    "LSTM of weights that disagree": (
        lstm(R=np.zeros((1, 8, 9), np.float32)),
        GRAPH + "an LSTM whose R is 'R', wanted a float32 constant of shape [1, 8, 2]",
    ),
    "LSTM of weights with two axes": (
        lstm(W=np.zeros((8, 4), np.float32)),
        GRAPH + "an LSTM whose W is 'W', wanted a float32 constant of shape [1, 8, 4]",
    ),
    "LSTM of too few directions": (
        lstm(direction="bidirectional"),
        GRAPH + "an LSTM whose W is 'W', wanted a float32 constant of shape [2, 8, 4]",
    ),
    "LSTM of a short bias": (
        lstm(B=np.zeros((1, 8), np.float32)),
        GRAPH + "an LSTM whose B is 'B', wanted a float32 constant of shape [1, 16]",
    ),
    "LSTM of weights in double": (
        lstm(B=np.zeros((1, 16))),
        GRAPH + "an LSTM whose B is 'B', wanted a float32 constant of shape [1, 16]",
    ),
    "LSTM with lengths": (
        lstm(more=["", "", "", ""]), GRAPH + "an LSTM of 8 inputs and 1 outputs, wanted X, W, R an",
    ),
    "LSTM with its last state": (
        lstm(outputs=["z", "y"]), GRAPH + "an LSTM of 4 inputs and 2 outputs, wanted X, W, R and",
    ),
    "LSTM without a size": (lstm(hidden_size=None), GRAPH + "an LSTM without `hidden_size`"),
    "LSTM backwards": (
        lstm(direction="reverse"),
        GRAPH + "attribute 'direction' of LSTM is reverse, wanted one of forward, bidirectional",
    ),
    "LSTM with activations of its own": (
        lstm(activations=["Affine", "Tanh", "Tanh"]), GRAPH + "LSTM has an attribute 'activations'",
    ),
    "LSTM as the format allows it": (lstm(), "ok"),
}  # fmt: skip
