"""Hostile and broken graphs: each is refused, in these words, before onnxruntime sees it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import handful
from handful.runtime.errors import PackageError
from handful.runtime.vetting.vet import vet

from ..each import each
from .refusal import refused

PAIR = np.tile(255 * np.eye(6, dtype=np.uint8)[..., None], (2, 1, 1, 1))
COPY = "copy the package again, as a whole"
DOCS = "the format allows none, see docs/package-format.md"


def step_model(folder: Path) -> Any:
    return onnx.load(folder / "step.onnx")


def external(model: Any) -> None:
    rate = model.graph.initializer[0]
    entry = rate.external_data.add()
    entry.key, entry.value = "location", "../secret"
    rate.data_location = TensorProto.EXTERNAL


def external_attribute(model: Any) -> None:
    value = helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0])
    value.data_location = TensorProto.EXTERNAL
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))


def loop(model: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["w"], ["z"], body=body))


def subgraph(model: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Neg", ["w"], ["z"], body=body))


def function(model: Any) -> None:
    opset = helper.make_opsetid("", 18)
    model.functions.append(helper.make_function("", "f", ["a"], ["b"], [], [opset]))


def huge(model: Any) -> None:
    shape = helper.make_tensor("big", TensorProto.INT64, [2], [65536, 65536])
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("ConstantOfShape", ["big"], ["z"]))


def lying(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [1000]


def nodes(model: Any) -> None:
    for i in range(20_000):
        model.graph.node.append(helper.make_node("Neg", ["w"], [f"n{i}"]))


def domain(model: Any) -> None:
    model.graph.node.append(helper.make_node("Gelu", ["w"], ["z"], domain="com.microsoft"))


def opset_domain(model: Any) -> None:
    model.opset_import[0].domain = "com.microsoft"


def renamed_input(model: Any) -> None:
    for node in model.graph.node:
        node.input[:] = ["other" if name == "support_x" else name for name in node.input]
    model.graph.input[1].name = "other"


MODELS: list[tuple[Callable[[Any], object], str, str | None]] = [
    (external, "step.onnx: a constant has external data", DOCS),
    (external_attribute, "step.onnx: a constant has external data", DOCS),
    (loop, "step.onnx: operator 'Loop' is control flow", "see docs/package-format.md"),
    (subgraph, "step.onnx: an attribute of Neg has a subgraph", DOCS),
    (function, "step.onnx: the model has functions", DOCS),
    (domain, "step.onnx: an operator of domain 'com.microsoft', wanted the standard domain", None),
    (opset_domain,
     "step.onnx: operators of domain 'com.microsoft', wanted the standard domain", None),
    (lambda m: m.graph.node.append(helper.make_node("RandomNormal", [], ["z"], shape=[1])),
     "step.onnx: operator 'RandomNormal' is random; noise is an input",
     "see docs/package-format.md"),
    (lambda m: m.graph.node.append(helper.make_node("NoSuch", [], ["z"])),
     "step.onnx: operator 'NoSuch' is not one that the format allows",
     "see docs/package-format.md"),
    (lambda m: setattr(m, "ir_version", 14), "step.onnx: IR version 14, wanted 8", None),
    (lambda m: setattr(m.opset_import[0], "version", 23), "step.onnx: opset 23, wanted 18", None),
    (huge, "step.onnx: ConstantOfShape makes a tensor of shape [65536, 65536], "
     "at most 16777216 values", None),
    (lying, "step.onnx: constant 'rate' has 1 values, its shape [1000]", None),
    (nodes, "step.onnx: more than 20000 nodes", None),
    (lambda m: m.training_info.add(), "step.onnx: the model has training info", DOCS),
    (lambda m: m.graph.sparse_initializer.add(), "step.onnx: the graph has sparse initialisers",
     DOCS),
    (renamed_input,
     "step.onnx: input 'other' is not in the manifest", None),
    (lambda m: m.graph.output.pop(),
     "step.onnx: output 'loss' is in the manifest and not in the graph", None),
    (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.INT64),
     "step.onnx: input 'w' is int64 ['N', 5], the manifest says float32 ['N', 5]", None),
]  # fmt: skip


@each(("change", "words", "hint"), MODELS)
def test_models(
    packages: Any,
    tmp_path: Path,
    rehash: Callable[..., None],
    change: Callable[[Any], object],
    words: str,
    hint: str | None,
) -> None:
    folder = packages.copy("head", tmp_path)
    model = step_model(folder)
    change(model)
    rehash(folder, "step", model.SerializeToString())
    refused(folder, PackageError, words, hint)


def test_a_truncated_model_with_the_right_hash(folder: Path, rehash: Callable[..., None]) -> None:
    rehash(folder, "step", (folder / "step.onnx").read_bytes()[:-7])
    refused(folder, PackageError, "step.onnx: not a whole ONNX model", COPY)


def test_random_bytes_never_pass_and_never_crash(folder: Path, rehash: Callable[..., None]) -> None:
    good = (folder / "step.onnx").read_bytes()
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(2000):
        data = bytearray(good)
        data[rng.integers(0, len(data))] = rng.integers(0, 256)
        try:
            vet(bytes(data), "x")
            outcomes.add("passed")  # a changed number
        except PackageError:
            outcomes.add("refused")
    assert outcomes == {"passed", "refused"}


def test_a_graph_that_onnxruntime_refuses(folder: Path, rehash: Callable[..., None]) -> None:
    model = step_model(folder)
    next(node for node in model.graph.node if node.op_type == "Neg").op_type = "Not"  # of floats
    rehash(folder, "step", model.SerializeToString())
    learner = handful.load(folder)  # sessions are built when they are needed
    with pytest.raises(PackageError) as error:
        learner.adapt(PAIR, ["a", "b"])
    assert str(error.value).startswith("graph step is refused by onnxruntime ")
    assert error.value.hint == "`handful verify` tells whether the package is whole"
    assert isinstance(error.value.__cause__, Exception)


def test_threads_meet_the_same_error(folder: Path, rehash: Callable[..., None]) -> None:
    test_a_graph_that_onnxruntime_refuses(folder, rehash)
    learner, errors = handful.load(folder), []

    def work() -> None:
        try:
            learner.adapt(PAIR, ["a", "b"])
        except PackageError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 4
