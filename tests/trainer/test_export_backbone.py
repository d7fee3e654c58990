"""A frozen backbone in front of a learner, in the package as one graph `embed`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from handful.runtime.learner import load
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.verify import verify
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.learners.nearest import Nearest, NearestConfig

from ..each import each
from .small import SIZE, generator, pictures

FEATURES = 6


class Bare(Nearest):
    """Compares what the backbone gives, as it is."""

    def __init__(self, config: NearestConfig, spec: InputSpec, way: int) -> None:
        super().__init__(config, spec, way)
        self.embedding = None


def write_backbone(path: Path, *, ir_version: int) -> None:
    """x / (x + 1e-8), a map to six features, a batch norm; constants are inputs up to IR 3."""
    draw = np.random.default_rng(0)
    values = {
        "floor": np.float32(1e-8),
        "flat": np.array([0, SIZE * SIZE]),
        "map": draw.normal(size=(SIZE * SIZE, FEATURES)).astype(np.float32) / SIZE,
        **{name: np.ones(FEATURES, np.float32) for name in ("scale", "bias", "mean", "var")},
    }
    constants = [numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()]
    shape: list[str | int | None] = ["batch", SIZE, SIZE, 1]
    inputs = [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)]
    if ir_version == 3:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in constants]
    nodes = [
        helper.make_node("Add", ["picture", "floor"], ["shifted"]),
        helper.make_node("Div", ["picture", "shifted"], ["ink"]),
        helper.make_node("Reshape", ["ink", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "map"], ["mapped"]),
        helper.make_node("BatchNormalization", ["mapped", "scale", "bias", "mean", "var"], ["x"]),
    ]
    output = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])
    graph = helper.make_graph(nodes, "backbone", inputs, [output], constants)
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, ir_version=ir_version, opset_imports=[opset]), str(path))


@each("kind, ir_version", [(Nearest, 3), (Bare, 8)])
def test_backbone_and_learner_are_one_graph(
    kind: type[Nearest], ir_version: int, tmp_path: Path
) -> None:
    path = tmp_path / "backbone.onnx"
    write_backbone(path, ir_version=ir_version)
    learner = kind(NearestConfig(), InputSpec(kind="array", shape=(FEATURES,)), 5)
    params = learner.init(generator())
    source = Source(learner=learner, params=params, test=pictures(), training={}, backbone=path)
    manifest = export(source, tmp_path / "package")
    assert verify(tmp_path / "package").ok
    embed = manifest.graphs["embed"]
    assert [(t.name, t.shape) for t in embed.inputs] == [("x", ("B", SIZE, SIZE, 1))]
    assert [(t.name, t.shape) for t in embed.outputs] == [("h", ("B", FEATURES))]
    x = torch.rand(3, SIZE, SIZE, 1, generator=generator())
    x[0] = 0  # where the sum with 1e-8 keeps the quotient finite
    h = load(tmp_path / "package")._engine.embed(x.numpy())
    np.testing.assert_allclose(h, source.embed(x).numpy(), rtol=1e-5, atol=1e-6)
