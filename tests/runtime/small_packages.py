"""Small real packages, built with onnx by hand, with golden vectors that numpy computed."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from handful.runtime.package.manifest import GraphSpec, InputSpec, Manifest, StageSpec, TensorSpec
from handful.runtime.tools.golden import draw_pictures

from .second_preprocessing import prepared

Floats = NDArray[np.float32]
node = helper.make_node
RATE = 0.5  # of the linear head's gradient step
HEAD_INPUT = InputSpec(
    kind="image", shape=(6, 6, 1), layout="HWC", range=(0.0, 1.0), colour="grey",
    scale=1 / 255, invert=True, resize=6, interpolation="box",
)  # fmt: skip


def tensor(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name, "float32", shape)


def write_graph(
    folder: Path,
    name: str,
    nodes: list[Any],
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    constants: dict[str, Any] | None = None,
) -> GraphSpec:
    read_names = {spec.name for spec in inputs}

    def info(spec: TensorSpec) -> Any:
        kind = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}[spec.dtype]
        return helper.make_tensor_value_info(spec.name, kind, list(spec.shape))

    written = [replace(o, name=f"{o.name}.next") if o.name in read_names else o for o in outputs]
    values = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    graph = helper.make_graph(
        nodes, name, [info(spec) for spec in inputs], [info(spec) for spec in written], values
    )
    opset = helper.make_opsetid("", 18)
    data = helper.make_model(graph, ir_version=8, opset_imports=[opset]).SerializeToString()
    (folder / f"{name}.onnx").write_bytes(data)
    return GraphSpec(
        file=f"{name}.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )


def one_hot(labels: list[int]) -> Floats:
    return np.eye(max(labels) + 1, dtype=np.float32)[labels]


def prototypes(folder: Path) -> Manifest:
    """Class means of arrays [4]; logits −‖x − c‖²; any number of classes."""
    means = write_graph(
        folder,
        "means",
        [
            node("Transpose", ["support_y"], ["yt"], perm=[1, 0]),
            node("MatMul", ["yt", "support_x"], ["sums"]),
            node("ReduceSum", ["yt", "one"], ["counts"], keepdims=1),
            node("Div", ["sums", "counts"], ["c"]),
        ],
        [tensor("support_x", "S", 4), tensor("support_y", "S", "N")],
        [tensor("c", "N", 4)],
        {"one": np.array([1])},
    )
    predict = write_graph(
        folder,
        "predict",
        [
            node("Unsqueeze", ["query_x", "one"], ["q"]),
            node("Unsqueeze", ["c", "zero"], ["cc"]),
            node("Sub", ["q", "cc"], ["difference"]),
            node("ReduceSumSquare", ["difference", "two"], ["squared"], keepdims=0),
            node("Neg", ["squared"], ["logits"]),
        ],
        [tensor("c", "N", 4), tensor("query_x", "Q", 4)],
        [tensor("logits", "Q", "N")],
        {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2])},
    )
    return Manifest(
        name="prototypes",
        learner="prototypical",
        task="classification",
        input=InputSpec(kind="array", shape=(4,)),
        embed=None,
        graphs={"means": means, "predict": predict},
        stages=(StageSpec(name="means", init="means", state=("c",)),),
        predict="predict",
        licence="Apache-2.0",
    )


def prototypes_golden() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x, q = (rng.standard_normal((count, 4)).astype(np.float32) for count in (6, 5))
    y = one_hot([0, 0, 1, 2, 2, 2])
    c = (y.T @ x) / y.sum(axis=0)[:, None]
    logits = -((q[:, None] - c[None]) ** 2).sum(axis=-1)
    return {"support_x": x, "support_y": y, "query_x": q, "means/0/c": c, "logits": logits}


def head_weights() -> Floats:
    weights: Floats = np.random.default_rng(1).standard_normal((36, 5)).astype(
        np.float32
    ) / np.float32(6)
    return weights


def head(folder: Path) -> Manifest:
    """Grey images [6, 6, 1] → 5 numbers; a linear head, three gradient steps, a noisy start."""
    support = [tensor("support_x", "S", 5), tensor("support_y", "S", "N")]
    embed = write_graph(
        folder,
        "embed",
        [node("Flatten", ["x"], ["flat"], axis=1), node("MatMul", ["flat", "m"], ["h"])],
        [tensor("x", "B", 6, 6, 1)],
        [tensor("h", "B", 5)],
        {"m": head_weights()},
    )
    start = write_graph(
        folder,
        "start",
        [node("Identity", ["w_noise"], ["w"])],
        [tensor("w_noise", "N", 5)],
        [tensor("w", "N", 5)],
    )
    step = write_graph(
        folder,
        "step",
        [
            node("Gemm", ["support_x", "w"], ["logits"], transB=1),
            node("LogSoftmax", ["logits"], ["log_p"], axis=1),
            node("Mul", ["log_p", "support_y"], ["picked"]),
            node("ReduceSum", ["picked"], ["total"], keepdims=0),
            node("Shape", ["support_x"], ["count"], start=0, end=1),
            node("Cast", ["count"], ["s1"], to=TensorProto.FLOAT),
            node("Squeeze", ["s1"], ["s"]),
            node("Div", ["total", "s"], ["mean"]),
            node("Neg", ["mean"], ["loss"]),
            node("Softmax", ["logits"], ["p"], axis=1),
            node("Sub", ["p", "support_y"], ["slope"]),
            node("Div", ["slope", "s"], ["scaled"]),
            node("Gemm", ["scaled", "support_x"], ["gradient"], transA=1),
            node("Mul", ["gradient", "rate"], ["change"]),
            node("Sub", ["w", "change"], ["w.next"]),
        ],
        [tensor("w", "N", 5), *support],
        [tensor("w", "N", 5), tensor("loss")],
        {"rate": np.float32(RATE)},
    )
    predict = write_graph(
        folder,
        "predict",
        [node("Gemm", ["query_x", "w"], ["logits"], transB=1)],
        [tensor("w", "N", 5), tensor("query_x", "Q", 5)],
        [tensor("logits", "Q", "N")],
    )
    return Manifest(
        name="head",
        learner="fine_tuning",
        task="classification",
        input=HEAD_INPUT,
        embed="embed",
        graphs={"embed": embed, "start": start, "step": step, "predict": predict},
        stages=(
            StageSpec(
                name="head", init="start", step="step", steps=3, state=("w",), noise=("w_noise",)
            ),
        ),
        predict="predict",
        licence="Apache-2.0",
    )


def head_golden() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    x, q = (rng.random((count, 6, 6, 1)).astype(np.float32) for count in (5, 4))
    y = one_hot([0, 1, 1, 2, 0])
    h, query_h = x.reshape(5, 36) @ head_weights(), q.reshape(4, 36) @ head_weights()
    w = np.zeros((3, 5), np.float32)
    golden: dict[str, Any] = {"support_x": x, "support_y": y, "query_x": q, "head/0/w": w}
    for i in (1, 2, 3):
        p = np.exp(h @ w.T) / np.exp(h @ w.T).sum(axis=1, keepdims=True)
        golden[f"head/{i}/loss"] = -(y * np.log(p)).sum() / 5
        w = w - RATE * ((p - y).T @ h) / 5
        golden[f"head/{i}/w"] = w
    golden["logits"] = query_h @ w.T
    vectors = {name: np.asarray(value, np.float32) for name, value in golden.items()}
    for name, pixels in draw_pictures(HEAD_INPUT).items():
        if not name.endswith("/x"):
            vectors |= {name: pixels, f"{name}/x": prepared(pixels, HEAD_INPUT)}
    return vectors


def line(folder: Path) -> Manifest:
    """Regression on arrays [2]: least squares, four gradient steps; one output."""
    ports = [tensor("support_x", "S", 2), tensor("support_y", "S", 1)]
    start = write_graph(
        folder,
        "start",
        [node("Constant", [], ["v"], value=numpy_helper.from_array(np.zeros((2, 1), np.float32)))],
        [],
        [tensor("v", 2, 1)],
    )
    step = write_graph(
        folder,
        "step",
        [
            node("MatMul", ["support_x", "v"], ["y"]),
            node("Sub", ["y", "support_y"], ["residual"]),
            node("ReduceSumSquare", ["residual"], ["loss"], keepdims=0),
            node("Gemm", ["support_x", "residual"], ["slope"], transA=1),
            node("Mul", ["slope", "rate"], ["change"]),
            node("Sub", ["v", "change"], ["v.next"]),
        ],
        [tensor("v", 2, 1), *ports],
        [tensor("v", 2, 1), tensor("loss")],
        {"rate": np.float32(0.1)},
    )
    predict = write_graph(
        folder,
        "predict",
        [node("MatMul", ["query_x", "v"], ["outputs"])],
        [tensor("v", 2, 1), tensor("query_x", "Q", 2)],
        [tensor("outputs", "Q", 1)],
    )
    return Manifest(
        name="line",
        learner="least_squares",
        task="regression",
        input=InputSpec(kind="array", shape=(2,)),
        embed=None,
        graphs={"start": start, "step": step, "predict": predict},
        stages=(StageSpec(name="fit", init="start", step="step", steps=4, state=("v",)),),
        predict="predict",
        licence="Apache-2.0",
    )


def line_golden() -> dict[str, Any]:
    x = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    y = np.array([[1], [2], [4]], np.float32)
    q = np.array([[2, 1], [0, -1]], np.float32)
    v = np.zeros((2, 1), np.float32)
    golden: dict[str, Any] = {"support_x": x, "support_y": y, "query_x": q, "fit/0/v": v}
    for i in (1, 2, 3, 4):
        golden[f"fit/{i}/loss"] = ((x @ v - y) ** 2).sum()
        v = v - 0.1 * x.T @ (x @ v - y)
        golden[f"fit/{i}/v"] = v
    golden["outputs"] = q @ v
    return {name: np.asarray(value, np.float32) for name, value in golden.items()}
