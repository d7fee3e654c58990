"""Windows and sizes in the package `head` that ended the process, and some that are allowed.

A pool whose output comes to 0 divides by it where channels come in blocks of 8 or 16; a
ConvTranspose over an empty axis reads beyond its memory; a size that is below 0 and known while a
session is built ends the process where a Slice reads it. Seen in onnxruntime 1.28.0 and 1.32.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .manifests import Case
from .models import GRAPH, make, nodes


def over(
    op: str,
    to: Sequence[int] = (-1, 16, 1, 12),
    *,
    filters: Sequence[int] | None = None,
    cut: int | None = None,
    **attributes: Any,
) -> Callable[[Path], object]:
    """A node over a map of these sizes, and a Slice of what comes of it; `cut` empties an axis."""
    constants: dict[str, Any] = {
        "rows": np.zeros((2, 192), np.float32),
        "to": np.array(to),
        "none": np.array([0]),
        "one": np.array([1]),
        "rowwise": np.array([2]),
        "cut": np.array([cut or 0]),
    }
    added = [make("Reshape", ["rows", "to"], ["map"])]
    if cut is not None:
        added.append(make("Slice", ["map", "none", "none", "cut"], ["emptied"]))
    inputs = ["emptied" if cut is not None else "map"]
    if filters is not None:
        constants["filters"] = np.zeros(filters, np.float32)
        inputs.append("filters")
    added.append(make(op, inputs, ["y"], **attributes))
    added.append(make("Slice", ["y", "none", "one", "rowwise"], ["z"]))
    return nodes(*added, **constants)


def sized(op: str, sizes: Sequence[int], *, negated: bool = False) -> Callable[[Path], object]:
    """An Expand or a Pad to constant sizes, of which a Slice is taken."""
    added = [make("Reshape", ["rows", "to"], ["map"])]
    if negated:  # as large as before, once constants are folded
        added.append(make("Neg", ["sizes"], ["folded"]))
    added.append(make(op, ["map", "folded" if negated else "sizes"], ["y"]))
    added.append(make("Slice", ["y", "none", "one", "rowwise"], ["z"]))
    return nodes(
        *added,
        rows=np.zeros((2, 192), np.float32),
        to=np.array([-1, 16, 1, 12]),
        none=np.array([0]),
        one=np.array([1]),
        rowwise=np.array([2]),
        sizes=np.array(sizes) * (-1 if negated else 1),
    )


def told(*added: Any, **constants: Any) -> Callable[[Path], object]:
    """A pool over a map whose sizes `to` are computed, and are not what they seem."""
    return nodes(
        *added,
        make("Reshape", ["rows", "to"], ["map"]),
        make("MaxPool", ["map"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
        make("Slice", ["y", "none", "one", "rowwise"], ["z"]),
        rows=np.zeros((2, 192), np.float32),
        none=np.array([0]),
        one=np.array([1]),
        rowwise=np.array([2]),
        **constants,
    )


MEANT = [2, 16, 1, 12]  # the sizes of the map
# A row of numbers that lie in two axes is none of the numbers: where a careless look finds 2, 16,
# 4, 3, at the places 0, 1, 4, 5, there are six rows, of which the first is meant.
TABLE = [MEANT, [4, 3, 0, 0], *[[0] * 4] * 4]
BEYOND = " 'map' [2, 16, 1, 12] has a window of "
EMPTY = "wanted 3 to 5 axes that are known not to be empty"
CASES: dict[str, Case] = {
    "MaxPool whose height comes to 0": (
        over("MaxPool", kernel_shape=[3, 3], strides=[2, 2]),
        GRAPH + "MaxPool over" + BEYOND + "3 with stride 2 and padding 0, beyond its map",
    ),
    "AveragePool whose width comes to 0": (
        over("AveragePool", (-1, 16, 12, 1), kernel_shape=[3, 3], strides=[2, 2]),
        GRAPH + "AveragePool over 'map' [2, 16, 12, 1] has a window of 3 with stride 2",
    ),
    "MaxPool with holes in its window": (
        over("MaxPool", kernel_shape=[2, 1], dilations=[5, 1]),
        GRAPH + "MaxPool over" + BEYOND + "6 with stride 1",
    ),
    "AveragePool that pads nothing": (
        over("AveragePool", kernel_shape=[4, 1], auto_pad="VALID", pads=[3, 0, 3, 0]),
        GRAPH + "AveragePool over" + BEYOND + "4 with stride 1 and padding 0",
    ),
    "MaxPool that is padded at one end": (
        over("MaxPool", kernel_shape=[5, 1], pads=[2, 0, 0, 0]),
        GRAPH + "MaxPool over" + BEYOND + "5 with stride 1 and padding 2, beyond its map",
    ),
    "MaxPool that is padded twice": (
        over("MaxPool", kernel_shape=[4, 1], auto_pad="SAME_UPPER", pads=[0, 0, 0, 0]),
        GRAPH + "MaxPool with `pads` and `auto_pad` SAME_UPPER",
    ),
    "MaxPool of no batch": (
        over("MaxPool", kernel_shape=[1, 2], cut=0),
        GRAPH + "MaxPool over 'emptied', of which is known [0, 16, 1, 12], " + EMPTY,
    ),
    "GlobalMaxPool of no columns": (
        over("GlobalMaxPool", cut=3),
        GRAPH + "GlobalMaxPool over 'emptied', of which is known [2, 16, 1, 0], " + EMPTY,
    ),
    "Conv larger than its map": (
        over("Conv", filters=[16, 16, 4, 1]),
        GRAPH + "Conv over" + BEYOND + "4 with stride 1 and padding 0, beyond its map",
    ),
    "Conv of attributes for one axis": (
        over("Conv", filters=[16, 16, 1, 1], strides=[1]),
        GRAPH + "Conv whose attributes are not of 2 axes",
    ),
    "ConvTranspose of three dimensions": (
        over("ConvTranspose", (-1, 16, 1, 4, 3), filters=[16, 16, 2, 4, 2]),
        GRAPH + "ConvTranspose over 'map', of which is known [2, 16, 1, 4, 3], wanted 3 to 4 axes",
    ),
    "ConvTranspose over an empty axis": (
        over("ConvTranspose", cut=3, filters=[16, 16, 2, 4]),
        GRAPH + "ConvTranspose over 'emptied', of which is known [2, 16, 1, 0], wanted 3 to 4",
    ),
    "ConvTranspose that is cut to less than nothing": (
        over("ConvTranspose", filters=[16, 16, 1, 1], pads=[9, 0, 9, 0]),
        GRAPH + "ConvTranspose over" + BEYOND + "1 with stride 1 and padding 18",
    ),
    "Pad to less than nothing": (
        sized("Pad", [0, 0, -4, 0, 0, 0, 0, 0]),
        GRAPH + "Pad with pads 'sizes', wanted constants of 0 or more",
    ),
    "Pad to less than nothing, folded": (
        sized("Pad", [0, 0, -4, 0, 0, 0, 0, 0], negated=True),
        GRAPH + "Pad with pads 'folded', wanted constants of 0 or more",
    ),
    "Expand to less than nothing": (
        sized("Expand", [1, 1, -4, 1]),
        GRAPH + "Expand with sizes 'sizes', wanted constants of 0 or more",
    ),
    "Expand to less than nothing, folded": (
        sized("Expand", [1, 1, -4, 1], negated=True),
        GRAPH + "Expand with sizes 'folded', wanted constants of 0 or more",
    ),
    "MaxPool over the least of three": (
        told(
            make("Min", ["large", "large", "small"], ["to"]),
            large=np.array([2, 16, 12, 12]),
            small=np.array(MEANT),
        ),
        GRAPH + "MaxPool over" + BEYOND + "3 with stride 2",
    ),
    "MaxPool over a row of numbers in two axes": (
        told(
            *(make("Gather", ["table", f"i{i}"], [f"row{i}"]) for i in range(4)),
            make("Concat", [f"row{i}" for i in range(4)], ["rows of it"], axis=0),
            make("Reshape", ["rows of it", "all"], ["flat"]),
            make("Slice", ["flat", "none", "four"], ["to"]),
            table=np.array(TABLE),
            all=np.array([-1]),
            four=np.array([4]),
            **{f"i{i}": np.array([at]) for i, at in enumerate((0, 1, 4, 5))},
        ),
        GRAPH + "MaxPool over 'map', of which is known",
    ),
    "MaxPool as the format allows it": (
        over("MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]), "ok",
    ),
    "AveragePool that is padded to the same size": (
        over("AveragePool", kernel_shape=[9, 9], auto_pad="SAME_LOWER"), "ok",
    ),
    "Conv as the format allows it": (over("Conv", filters=[8, 16, 1, 12]), "ok"),
    "ConvTranspose as the format allows it": (over("ConvTranspose", filters=[16, 4, 2, 2]), "ok"),
    "Pad and Expand as the format allows them": (sized("Pad", [0, 0, 1, 0, 0, 0, 2, 0]), "ok"),
}  # fmt: skip
