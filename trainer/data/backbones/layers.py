"""What is inside a backbone's ONNX graph: its blocks, and its maps beside the pooled features.

What is read is a chain of Conv, Clip to 0 and 6 and Add with a mean over the last map's places, as
MobileNetV1 and EfficientNet-Lite have it with batch normalisation folded in. A block begins at a
depthwise convolution, or at the convolution of kernel 1 that widens a linear map in front of it,
and ends with the convolution after the depthwise one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from handful.trainer.settings.errors import DataError

MEANS = ("GlobalAveragePool", "ReduceMean")
PLACES = 4  # a side: of 2, 3, 4 and 5 the best on Caltech-101's validation classes, MobileNetV1
MOST_MAPS = 3
READ = "a chain of Conv, Clip to 0 and 6 and Add, with a mean over the last map's places"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution, what follows it, the tensor that it reads, and the one that comes of it."""

    weight: Tensor  # [outputs, inputs, kernel, kernel]; [outputs, 1, …] where it is depthwise
    bias: Tensor  # [outputs]
    stride: int
    depthwise: bool  # a kernel for each channel
    before: int  # rows above and columns to the left that are padded with zeros
    after: int  # rows below and columns to the right
    relu6: bool = False
    add: int = 0  # the output so many layers before is added: 1 is the layer's input; 0: none
    reads: str
    gives: str


def with_places(path: Path) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """The backbone with maps behind its embedding, [n, sum of parts], and the sizes of the parts.

    The maps are what the last block of each of the last three resolutions gives, the coarser first,
    averaged over PLACES × PLACES windows that overlap, channel by channel. Raises a DataError where
    the graph is no chain that is read here, or has not even two such maps.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    graph = model.graph
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
    }
    layers = read_layers(model, path)
    ends = [layers[i + 1].gives for i, layer in enumerate(layers[:-1]) if layer.depthwise]
    # the last of each side
    by_side = {shapes[end][-1]: end for end in ends if len(shapes.get(end, ())) == 4}
    maps = sorted(side for side in by_side if side >= PLACES)[:MOST_MAPS]
    if len(maps) < 2:
        raise _unreadable(path, f"it has no two maps of {PLACES} × {PLACES} places or more")
    embedding = graph.output[0].name
    parts = [shapes[embedding][-1]]
    if not parts[0]:
        raise _unreadable(path, "how many numbers its embedding has is not known")
    names = [embedding]
    for side in maps:
        _, channels, height, width = shapes[by_side[side]]
        if height != width:
            raise _unreadable(path, f"a map has {height} × {width} places")
        stride = side // PLACES
        window = side - (PLACES - 1) * stride
        pooled, flat = f"places/{side}", f"places/{side}/flat"
        graph.node.append(
            helper.make_node(
                "AveragePool", [by_side[side]], [pooled],
                kernel_shape=[window] * 2, strides=[stride] * 2,
            )
        )  # fmt: skip
        graph.node.append(helper.make_node("Flatten", [pooled], [flat]))
        names.append(flat)
        parts.append(channels * PLACES**2)
    graph.node.append(helper.make_node("Concat", names, ["places/all"], axis=1))
    batch = graph.output[0].type.tensor_type.shape.dim[0].dim_param or "n"
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info("places/all", onnx.TensorProto.FLOAT, [batch, sum(parts)])
    )
    onnx.checker.check_model(model, full_check=True)
    return model, tuple(parts)


def read_layers(model: onnx.ModelProto, path: Path) -> list[Layer]:
    """All layers in order; `path` is the model's, for errors."""
    constants = _constants(model)
    (at,) = (value.name for value in model.graph.input if value.name not in constants)
    chain: list[Layer] = []
    outputs = {at: -1}  # the index of the layer that gave each tensor
    for node in model.graph.node:
        if node.op_type == "Constant":
            continue
        if node.op_type == "Conv" and node.input[0] == at:
            chain.append(_convolution(node, constants, path))
        elif node.op_type == "Clip" and node.input[0] == at and chain:
            _refuse_other_clip(node, constants, path)
            chain[-1] = replace(chain[-1], relu6=True)
        elif node.op_type == "Add" and at in node.input and chain and not chain[-1].relu6:
            other = node.input[1] if node.input[0] == at else node.input[0]
            if other not in outputs:
                raise _unreadable(path, f"{node.name or node.op_type} adds {other}")
            before = len(chain) - 1 - outputs[other]
            chain[-1] = replace(chain[-1], add=before)
        elif node.op_type in MEANS and node.input[0] == at:
            return chain
        else:
            raise _unreadable(path, f"{node.op_type} reads {', '.join(node.input)}")
        at = node.output[0]
        chain[-1] = replace(chain[-1], gives=at)
        outputs[at] = len(chain) - 1
    raise _unreadable(path, "there is no mean at its end")


def _convolution(node: onnx.NodeProto, constants: dict[str, Any], path: Path) -> Layer:
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
    return Layer(
        weight=weight, bias=torch.from_numpy(bias), stride=strides[0], depthwise=depthwise,
        before=pads[0], after=pads[2], reads=node.input[0], gives=node.output[0],
    )  # fmt: skip


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
