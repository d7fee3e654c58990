"""Graphs whose outputs are not what the manifest says: each is an error, never an answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import handful
from handful.runtime.errors import AdaptError, PackageError
from handful.runtime.sessions import Setup

from ..each import each

node = helper.make_node
HINT = "the graph is not what the manifest says: ask who made the package, or export it again"
X = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 1), np.uint8)


def spoil(data: bytes, output: str, nodes: list[Any], **constants: Any) -> bytes:
    """The model with `output` made by `nodes` from `full`, which is what it was before."""
    model = onnx.load_from_string(data)
    for old in model.graph.node:
        old.output[:] = ["full" if name == output else name for name in old.output]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    spoiled: bytes = model.SerializeToString(deterministic=True)
    return spoiled


def doubled(output: str, axis: int) -> tuple[list[Any], dict[str, Any]]:
    return [node("Concat", ["full", "full"], [output], axis=axis)], {}


def summed(output: str, axis: int) -> tuple[list[Any], dict[str, Any]]:
    return [node("ReduceSum", ["full", "at"], [output], keepdims=1)], {"at": [axis]}


def flat(output: str, free: str) -> tuple[list[Any], dict[str, Any]]:
    """Of rank 1, which no inference of shapes finds out: the shape's length depends on `free`."""
    return [
        node("Shape", [free], ["rows"], start=0, end=1),
        node("Min", ["rows", "one"], ["end"]),
        node("Slice", ["many", "zero", "end"], ["shape"]),
        node("Reshape", ["full", "shape"], [output]),
    ], {"one": [1], "zero": [0], "many": [-1, 1, 1]}


def narrow(output: str, free: str) -> tuple[list[Any], dict[str, Any]]:
    """The first column alone."""
    return [
        node("Shape", [free], ["rows"], start=0, end=1),
        node("Min", ["rows", "one"], ["end"]),
        node("Slice", ["full", "zero", "end", "one"], [output]),
    ], {"one": [1], "zero": [0]}


CASES: list[tuple[str, str, tuple[list[Any], dict[str, Any]], str]] = [
    ("embed", "h", doubled("h", 0), "`h` as float32 [2, 5], wanted float32 [B=1, 5]"),
    ("embed", "h", narrow("h", "x"), "`h` as float32 [1, 1], wanted float32 [B=1, 5]"),
    ("embed", "h", flat("h", "x"), "`h` as float32 [5], wanted float32 [B=1, 5]"),
    ("start", "w", doubled("w", 0), "`w` as float32 [4, 5], wanted float32 [N=2, 5]"),
    ("start", "w", narrow("w", "w_noise"), "`w` as float32 [2, 1], wanted float32 [N=2, 5]"),
    ("start", "w", flat("w", "w_noise"), "`w` as float32 [10], wanted float32 [N=2, 5]"),
    ("step", "w.next", summed("w.next", 0), "`w` as float32 [1, 5], wanted float32 [N=2, 5]"),
    ("step", "w.next", flat("w.next", "w"), "`w` as float32 [10], wanted float32 [N=2, 5]"),
    ("step", "loss", flat("loss", "w"), "`loss` as float32 [1], wanted float32 []"),
    ("predict", "logits", summed("logits", 1),
     "`logits` as float32 [3, 1], wanted float32 [Q=3, N=2]"),
    ("predict", "logits", doubled("logits", 1),
     "`logits` as float32 [3, 4], wanted float32 [Q=3, N=2]"),
    ("predict", "logits", summed("logits", 0),
     "`logits` as float32 [1, 2], wanted float32 [Q=3, N=2]"),
    ("predict", "logits", doubled("logits", 0),
     "`logits` as float32 [6, 2], wanted float32 [Q=3, N=2]"),
    ("predict", "logits", flat("logits", "query_x"),
     "`logits` as float32 [6], wanted float32 [Q=3, N=2]"),
]  # fmt: skip


@each("device", [None, "cpu"])
@each(("graph", "output", "change", "words"), CASES)
def test_outputs_of_a_wrong_shape(
    packages: Any,
    rehash: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    graph: str,
    output: str,
    change: tuple[list[Any], dict[str, Any]],
    words: str,
    device: str | None,
) -> None:
    folder = packages.copy("head", tmp_path)
    nodes, constants = change
    data = spoil((folder / f"{graph}.onnx").read_bytes(), output, nodes, **constants)
    rehash(folder, graph, data)
    monkeypatch.setattr(Setup, "device", device)  # "cpu": CUDA's path, with tensors on the device
    learner = handful.load(folder)
    with pytest.raises(AdaptError) as error:
        learner.adapt(X, ["a", "b", "a"]).predict_proba(X)
    assert str(error.value) == f"graph {graph} gave {words}"
    assert error.value.hint == HINT


def test_outputs_of_a_regression(
    packages: Any, rehash: Callable[..., None], tmp_path: Path
) -> None:
    folder = packages.copy("line", tmp_path)
    nodes, constants = doubled("outputs", 0)
    data = spoil((folder / "predict.onnx").read_bytes(), "outputs", nodes, **constants)
    rehash(folder, "predict", data)
    x = np.eye(2, dtype=np.float32)
    with pytest.raises(AdaptError) as error:
        handful.load(folder).adapt(x, [[1], [2]]).predict(x)
    words = "graph predict gave `outputs` as float32 [4, 1], wanted float32 [Q=2, 1]"
    assert str(error.value) == words


def test_an_output_of_another_type_is_refused_with_the_session(
    packages: Any, rehash: Callable[..., None], tmp_path: Path
) -> None:
    folder = packages.copy("head", tmp_path)
    cast = [node("Cast", ["full"], ["logits"], to=7)]
    rehash(folder, "predict", spoil((folder / "predict.onnx").read_bytes(), "logits", cast))
    task = handful.load(folder).adapt(X, ["a", "b", "a"])
    with pytest.raises(PackageError, match=r"^graph predict is refused by onnxruntime "):
        task.predict(X)


@each(
    ("value", "described"),
    [
        (np.zeros((2, 5), np.float64), "float64 [2, 5]"),
        (np.zeros((2, 5), np.int64), "int64 [2, 5]"),
        ([np.zeros((2, 5), np.float32)], "no tensor but list"),
        (None, "no tensor but NoneType"),
    ],
)
def test_what_no_graph_should_give(
    packages: Any, monkeypatch: pytest.MonkeyPatch, value: Any, described: str
) -> None:
    """Whatever a future onnxruntime gives for an output, it is looked at before it is used."""
    graph = handful.load(packages("head"))._engine.graphs["start"]

    class Session:
        def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
            return [value]

    monkeypatch.setattr(graph, "session", Session)
    with pytest.raises(AdaptError) as error:
        graph.run({"w_noise": np.zeros((2, 5), np.float32)}, {"N": 2})
    assert str(error.value) == f"graph start gave `w` as {described}, wanted float32 [N=2, 5]"


def test_a_symbol_without_a_number_may_have_any_size(packages: Any) -> None:
    graph = handful.load(packages("head"))._engine.graphs["start"]
    noise = {"w_noise": np.zeros((7, 5), np.float32)}
    assert graph.run(noise)["w"].shape == (7, 5)
    with pytest.raises(AdaptError):
        graph.run(noise, {"N": 2})


def test_no_queries_are_no_answers(packages: Any) -> None:
    task = handful.load(packages("head")).adapt(X, ["a", "b", "a"])
    assert task.logits([]).shape == (0, 2)
    assert task.logits(X[:0]).shape == (0, 2)
    assert task.predict_proba([]).shape == (0, 2)
    assert task.predict([]) == []
    line = handful.load(packages("line")).adapt(np.eye(2, dtype=np.float32), [[1], [2]])
    assert line.outputs([]).shape == (0, 1)


def test_a_graph_is_not_run_on_an_empty_input(packages: Any) -> None:
    graph = handful.load(packages("head"))._engine.graphs["embed"]
    with pytest.raises(AdaptError) as error:
        graph.run({"x": np.zeros((0, 6, 6, 1), np.float32)}, {"B": 0})
    assert str(error.value) == (
        "graph embed would be run on `x` [0, 6, 6, 1], wanted no empty axis"
    )
