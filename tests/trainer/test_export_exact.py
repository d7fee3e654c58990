"""What is traced is computed as it is written: constants however small, and every output."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from handful.runtime.ort import onnxruntime as ort
from handful.trainer.export.simplify import simplify
from handful.trainer.export.trace import Port, trace
from handful.trainer.parts.features import unit_length

from ..each import each

Function = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]


def exported(function: Function, outputs: dict[str, tuple[int | str, ...]]) -> onnx.ModelProto:
    """The graph of a function of x [S, 3]."""
    ports = [Port("x", ("S", 3))]
    return simplify(trace(function, {"x": torch.rand(7, 3)}, ports, list(outputs)), ports, outputs)


def run(model: onnx.ModelProto, x: Tensor) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = map(np.asarray, session.run(names, {"x": x.numpy()}))
    return dict(zip(names, outputs, strict=True))


EXACT: dict[str, Callable[[Tensor], Tensor]] = {
    "unit length, 1e-12": unit_length,
    "the step of Adam, 1e-8": lambda x: x / ((x * x).sqrt() + 1e-8),
    "a quotient, 1e-30": lambda x: x / (x.abs() + 1e-30),
    "less a little": lambda x: 1.0 / (x - 1e-9),
    "times nearly one": lambda x: (x * (1 + 5e-6) - x) * 1e6,
    "by nearly one": lambda x: (x / (1 + 5e-6) - x) * 1e6,
    "a sum with a tensor of small values": lambda x: x / (x + torch.full((3,), 1e-9)),
    "a ReLU of a clamp below zero": lambda x: torch.relu(torch.clamp(x - 1, -2.0, -1.0)),
    "clamps that do not meet": lambda x: torch.clamp(torch.clamp(x, 0.0, 1.0), 2.0, 3.0),
    "halves of an odd axis": lambda x: x[:, :1].sum(dim=1) - 3 * x[:, 1:].sum(dim=1),
    "matrices of other shapes": lambda x: (
        (x[:1, :1] + torch.arange(16.0).reshape(1, 4, 4)).reshape(4, 2, 2)
        @ torch.arange(16.0).reshape(4, 2, 2)
    ).reshape(1, 4, 4),
}


X = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 3.0, -4.0], [2e-9, 0.5, 0.0]])


@pytest.fixture(scope="module")
def results() -> dict[str, np.ndarray]:
    """What one graph of all these functions gives for X."""
    shapes: dict[str, tuple[int | str, ...]] = {}
    for name, function in EXACT.items():
        first, *rest = function(X).shape
        shapes[name] = ("S" if first == len(X) else first, *rest)
    model = exported(lambda t: {name: f(t["x"]) for name, f in EXACT.items()}, shapes)
    return run(model, X)


@each("name", EXACT)
def test_small_constants_stay(name: str, results: dict[str, np.ndarray]) -> None:
    wanted = EXACT[name](X).numpy()
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(results[name], wanted, rtol=1e-6, atol=0)


def test_factors_of_one_and_copies_are_left_out() -> None:
    def function(t: dict[str, Tensor]) -> dict[str, Tensor]:
        y = (1.0 * t["x"]) / 1.0 * 1.0
        return {"y": torch.relu(y.t().t()).to(torch.float32)}

    model = exported(function, {"y": ("S", 3)})
    assert [node.op_type for node in model.graph.node] == ["Relu"]


@each(
    ("factor", "left"),
    [
        (torch.ones(3), []),  # as many as x [S, 3] has columns
        (torch.ones(1, 1), []),
        (torch.tensor([1.0, 1.0, -1.0]), ["Mul"]),
        (torch.ones(2, 1, 3), ["Mul"]),  # x becomes [2, S, 3]
    ],
)
def test_a_factor_of_ones_is_left_out_where_it_gives_no_other_shape(
    factor: Tensor, left: list[str]
) -> None:
    size = (factor * X).shape
    shape: tuple[int | str, ...] = ("S" if n == len(X) else n for n in size)  # type: ignore[assignment]
    model = exported(lambda t: {"y": torch.relu(t["x"] * factor)}, {"y": tuple(shape)})
    assert [node.op_type for node in model.graph.node] == [*left, "Relu"]
    np.testing.assert_array_equal(run(model, X)["y"], torch.relu(X * factor).numpy())


def test_what_is_computed_twice_is_computed_once() -> None:
    model = exported(lambda t: {"y": t["x"].exp() + t["x"].exp()}, {"y": ("S", 3)})
    assert sorted(node.op_type for node in model.graph.node) == ["Add", "Exp"]


def test_every_output_keeps_its_own_name() -> None:
    """Equal values, one value twice, an input handed on, a constant, and a name of torch's."""

    def function(t: dict[str, Tensor]) -> dict[str, Tensor]:
        x = t["x"]
        return {
            "h": torch.zeros(x.shape[0], 4),
            "c": torch.zeros(x.shape[0], 4),
            "exp": x * x,
            "mul": x.exp(),
            "again": x.exp(),
            "x": x,
            "x_once_more": x,
            "ones": torch.ones(2),
            "ones_once_more": torch.ones(2),
        }

    shapes: dict[str, tuple[int | str, ...]] = {
        "h": ("S", 4), "c": ("S", 4), "exp": ("S", 3), "mul": ("S", 3), "again": ("S", 3),
        "x": ("S", 3), "x_once_more": ("S", 3), "ones": (2,), "ones_once_more": (2,),
    }  # fmt: skip
    model = exported(function, shapes)
    x = torch.rand(2, 3)
    results = run(model, x)
    assert list(results) == [name if name != "x" else "x.next" for name in shapes]
    for name, wanted in function({"x": x}).items():
        result = results["x.next" if name == "x" else name]
        np.testing.assert_allclose(result, wanted.numpy(), rtol=1e-6)
    names = [name for node in model.graph.node for name in node.output]
    assert len(set(names)) == len(names)
    assert all(name.startswith("/") for name in names if name not in results)
