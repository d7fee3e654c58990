"""What is read inside a backbone's graph: its blocks, and its maps as further features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from handful.runtime.ort import onnxruntime as ort
from handful.trainer.data.backbones.layers import READ, with_places
from handful.trainer.settings.errors import DataError

from ...each import each

SIDE = 40


class Chain:
    """A backbone of random weights, a convolution at a time."""

    def __init__(self, clip: tuple[float, float] = (0.0, 6.0)) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {"low": np.float32(clip[0]), "high": np.float32(clip[1])}
        self.at, self.channels = "image", 3
        self.draw = np.random.default_rng(0)

    def convolve(self, outputs: int, kernel: int = 1, stride: int = 1, *, clip: bool = True) -> str:
        """One more; depthwise where a kernel of 3 reads as many channels as it gives."""
        depthwise = kernel > 1 and outputs == self.channels
        i = len(self.constants)
        shape = (outputs, 1 if depthwise else self.channels, kernel, kernel)
        weight = self.draw.standard_normal(shape) * np.sqrt(3 / np.prod(shape[1:]))
        self.constants[f"w{i}"] = weight.astype(np.float32)
        self.constants[f"b{i}"] = self.draw.standard_normal(outputs).astype(np.float32) / 4
        pads = [0, 0, 1, 1] if stride == 2 else [kernel // 2] * 4
        made = f"conv{i}"
        self.nodes.append(
            helper.make_node(
                "Conv", [self.at, f"w{i}", f"b{i}"], [made], pads=pads, strides=[stride] * 2,
                group=outputs if depthwise else 1,
            )
        )  # fmt: skip
        self.at, self.channels = made, outputs
        if clip:
            self.nodes.append(helper.make_node("Clip", [made, "low", "high"], [f"{made}/6"]))
            self.at = f"{made}/6"
        return self.at

    def add(self, other: str) -> str:
        """A sum with what another convolution gave."""
        self.nodes.append(helper.make_node("Add", [self.at, other], [f"{self.at}+"]))
        self.at += "+"
        return self.at

    def save(self, path: Path) -> Path:
        """With the mean over the last map's places as its embedding."""
        self.nodes.append(helper.make_node("GlobalAveragePool", [self.at], ["mean"]))
        self.nodes.append(helper.make_node("Flatten", ["mean"], ["embedding"]))
        inputs = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
        out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", self.channels])
        constants = [numpy_helper.from_array(v, n) for n, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, "chain", [inputs], [out], constants)
        opsets = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
        return path


def separable(path: Path) -> tuple[Path, list[str]]:
    """Blocks as MobileNetV1's, at 10 and 5 places a side; the last map of each, coarser first."""
    chain = Chain()
    chain.convolve(4, 3, 2)
    maps = []
    for outputs, stride in ((6, 2), (6, 1), (8, 2), (8, 1)):
        chain.convolve(chain.channels, 3, stride)
        maps.append(chain.convolve(outputs))
    return chain.save(path), [maps[3], maps[1]]


def inverted(path: Path) -> tuple[Path, list[str]]:
    """Blocks as EfficientNet-Lite's, at 20 to 5 places, a residual, a convolution at the end."""
    chain = Chain()
    chain.convolve(4, 3, 2)
    chain.convolve(4, 3)
    maps = [chain.convolve(5, clip=False)]
    for outputs, stride in ((5, 2), (5, 1), (7, 2)):
        before = chain.at
        chain.convolve(3 * chain.channels)
        chain.convolve(chain.channels, 3, stride)
        maps.append(chain.convolve(outputs, clip=False))
        if stride == 1:
            maps.append(chain.add(before))
    chain.convolve(12)
    return chain.save(path), [maps[-1], maps[-2], maps[0]]


def run(model: onnx.ModelProto, x: Any) -> Any:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(np.asarray(value)) for value in session.run(None, {"image": x})]


@each("made", [separable, inverted])
def test_maps_stand_behind_the_embedding(made: Any, tmp_path: Path) -> None:
    path, maps = made(tmp_path / "backbone.onnx")
    model, parts = with_places(path)
    x = np.random.default_rng(1).standard_normal((2, 3, SIDE, SIDE)).astype(np.float32)
    seen = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    outputs = onnx.utils.Extractor(seen).extract_model(["image"], [*maps, "embedding"])
    *seen_maps, embedding = run(outputs, x)
    assert [seen.shape[-1] for seen in seen_maps] == [5, 10, 20][: len(maps)]
    windows = (
        F.avg_pool2d(seen, kernel, stride=stride)
        for seen, (kernel, stride) in zip(seen_maps, [(2, 1), (4, 2), (5, 5)], strict=False)
    )
    wanted = [embedding, *(window.flatten(1) for window in windows)]
    assert parts == tuple(part.shape[1] for part in wanted)
    torch.testing.assert_close(run(model, x)[0], torch.cat(wanted, dim=1))


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as error:
        with_places(path)
    assert error.value.hint == f"what is read is {READ}"
    return str(error.value).replace(str(path), "it")


def test_other_graphs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    begins = "the layers of backbone it cannot be read: "
    small = Chain()
    small.convolve(4, 3, 2)
    small.convolve(4, 3)
    small.convolve(6)
    assert refusal(small.save(path)) == f"{begins}it has no two maps of 4 × 4 places or more"
    clipped = Chain(clip=(0.0, 1.0))
    clipped.convolve(4, 3, 2)
    assert refusal(clipped.save(path)).startswith(f"{begins}conv2/6 clips to [0.0, 1.0]")
    rectified = Chain()
    rectified.convolve(4, 3, 2, clip=False)
    rectified.nodes.append(helper.make_node("Relu", [rectified.at], ["rectified"]))
    assert refusal(rectified.save(path)) == f"{begins}Relu reads conv2"
