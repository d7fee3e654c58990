"""A backbone's ONNX graph in two: a front that stays a graph, and its last blocks as layers.

What is read is a chain of Conv, Clip to 0 and 6 and Add with a mean over the last map's places, as
MobileNetV1 and EfficientNet-Lite have it with batch normalisation folded in. A block begins at a
depthwise convolution, or at the convolution of kernel 1 that widens a linear map in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from handful.trainer.networks.separable import Layer
from handful.trainer.settings.errors import DataError

MEANS = ("GlobalAveragePool", "ReduceMean")
READ = "a chain of Conv, Clip to 0 and 6 and Add, with a mean over the last map's places"


@dataclass(frozen=True)
class Halves:
    """A backbone cut in front of its last blocks."""

    front: onnx.ModelProto  # pictures [n, …] → maps [n, *shape]
    shape: tuple[int, ...]  # C, H, W
    layers: tuple[Layer, ...]
    params: dict[str, Tensor]  # of the layers, as trainer/networks/separable.py names them


@dataclass(frozen=True)
class _Read:
    """A layer with its constants, and the tensor that it reads."""

    layer: Layer
    weight: Tensor
    bias: Tensor
    reads: str


def halves(path: Path, blocks: int | None = None) -> Halves:
    """The backbone in front of its last `blocks`, by default half of them, and those.

    Raises a DataError where the graph is no such chain, or has not more blocks than that.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    chain = _chain(model, path)
    starts = _starts(chain)
    blocks = -(-len(starts) // 2) if blocks is None else blocks
    if not 0 < blocks < len(starts):
        raise DataError(
            f"backbone {path} has {len(starts)} blocks, {blocks} of them are to move",
            hint=f"1 to {len(starts) - 1} can",
        )
    moving = chain[starts[-blocks] :]
    entry = moving[0].reads
    (name,) = (value.name for value in model.graph.input if value.name not in _constants(model))
    front = onnx.utils.Extractor(model).extract_model([name], [entry])
    dims = front.graph.output[0].type.tensor_type.shape.dim[1:]
    params = {
        f"layer{i}.{kind}": tensor
        for i, read in enumerate(moving)
        for kind, tensor in (("weight", read.weight), ("bias", read.bias))
    }
    layers = tuple(read.layer for read in moving)
    return Halves(front, tuple(dim.dim_value for dim in dims), layers, params)


def _chain(model: onnx.ModelProto, path: Path) -> list[_Read]:
    """All layers in order."""
    constants = _constants(model)
    (at,) = (value.name for value in model.graph.input if value.name not in constants)
    chain: list[_Read] = []
    outputs = {at: -1}  # the index of the layer that gave each tensor
    for node in model.graph.node:
        if node.op_type == "Constant":
            continue
        if node.op_type == "Conv" and node.input[0] == at:
            chain.append(_convolution(node, constants, path))
        elif node.op_type == "Clip" and node.input[0] == at and chain:
            _refuse_other_clip(node, constants, path)
            chain[-1] = replace(chain[-1], layer=replace(chain[-1].layer, relu6=True))
        elif node.op_type == "Add" and at in node.input:
            (other,) = (name for name in node.input if name != at)
            if other not in outputs:
                raise _unreadable(path, f"{node.name or node.op_type} adds {other}")
            before = len(chain) - 1 - outputs[other]
            chain[-1] = replace(chain[-1], layer=replace(chain[-1].layer, add=before))
        elif node.op_type in MEANS and node.input[0] == at:
            return chain
        else:
            raise _unreadable(path, f"{node.op_type} reads {', '.join(node.input)}")
        at = node.output[0]
        outputs[at] = len(chain) - 1
    raise _unreadable(path, "there is no mean at its end")


def _convolution(node: onnx.NodeProto, constants: dict[str, Any], path: Path) -> _Read:
    """The layer of a Conv, without what follows it."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if any(name not in constants for name in node.input[1:]):
        raise _unreadable(path, f"the weights of {node.name or node.output[0]} are no constants")
    weight = torch.from_numpy(constants[node.input[1]].copy())
    outputs, inputs, *kernel = weight.shape
    bias = constants[node.input[2]].copy() if len(node.input) > 2 else np.zeros(outputs, np.float32)
    strides, pads = found.get("strides", [1, 1]), found.get("pads", [0] * 4)
    groups, dilations = found.get("group", 1), found.get("dilations", [1, 1])
    even = kernel == [kernel[0]] * 2 and pads[0] == pads[1] and pads[2] == pads[3]
    depthwise = groups == outputs and inputs == 1
    automatic = found.get("auto_pad", b"NOTSET") != b"NOTSET"
    if not even or automatic or strides[0] != strides[1] or dilations != [1, 1]:
        raise _unreadable(path, f"{node.name or node.output[0]} is not square or not plain")
    if groups != 1 and not depthwise:
        raise _unreadable(path, f"{node.name or node.output[0]} has {groups} groups")
    layer = Layer(
        outputs=outputs, kernel=kernel[0], stride=strides[0], depthwise=depthwise,
        before=pads[0], after=pads[2], relu6=False,
    )  # fmt: skip
    return _Read(layer, weight, torch.from_numpy(bias), node.input[0])


def _starts(chain: list[_Read]) -> list[int]:
    """The index of the first layer of each block."""
    starts = []
    for i, read in enumerate(chain):
        if read.layer.depthwise:
            widens = i >= 2 and chain[i - 1].layer.kernel == 1 and not chain[i - 2].layer.relu6
            starts.append(i - 1 if widens else i)
    return starts


def _refuse_other_clip(node: onnx.NodeProto, constants: dict[str, Any], path: Path) -> None:
    bounds = [float(constants[name]) if name in constants else None for name in node.input[1:]]
    if bounds != [0.0, 6.0]:
        raise _unreadable(path, f"{node.name or node.output[0]} clips to {bounds}")


def _constants(model: onnx.ModelProto) -> dict[str, Any]:
    """The values of initialisers and constants by name."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _unreadable(path: Path, fault: str) -> DataError:
    return DataError(
        f"the layers of backbone {path} cannot be read: {fault}", hint=f"what is read is {READ}"
    )
