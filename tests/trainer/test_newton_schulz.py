"""The inverse by products alone: by hand, as accurate as a factorisation, and as a small graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from handful.trainer.export.simplify import simplify
from handful.trainer.export.trace import Port, trace
from handful.trainer.parts.metric import factors, inverse

from ..each import each
from .small import generator

PORT = [Port("a", ("S", "S"))]


def gram(size: int, ridge: float, features: int = 64) -> Tensor:
    """X Xᵀ + ridge I of examples of unit length, with a common part as features have."""
    x = torch.nn.functional.normalize(torch.randn(size, features, generator=generator(size)) + 1)
    return x @ x.T + ridge * torch.eye(size)


def test_the_first_steps_by_hand() -> None:
    # condition 3: eigenvalues in [⅓, 1], so f = 2 / (4/3) = 3/2 spreads them to [½, 3/2] and the
    # step leaves [1 − ¼, 1]; then f = 2 / (7/4) spreads to [6/7, 8/7] and leaves [1 − 1/49, 1]
    assert factors(3.0)[:3] == pytest.approx([3 / 2, 8 / 7, 2 / (2 - 1 / 49)])
    # a = 2: X = 3/2 · ½ = ¾, and 2 · ¾ − ¾ · 2 · ¾ = 3/8; then 3/8 · 8/7 = 3/7, and
    # 6/7 − 18/49 = 24/49
    x = 24 / 49
    for factor in factors(3.0)[2:]:
        x = 2 * factor * x - 2 * (factor * x) ** 2
    torch.testing.assert_close(inverse(torch.tensor([[2.0]]), 3.0), torch.tensor([[x]]))
    assert x == pytest.approx(0.5, abs=1e-7)


@each("condition", [3.0, 1e3, 1e6])
def test_eigenvalues_anywhere_in_the_bounds_become_one(condition: float) -> None:
    """The iteration acts on each eigenvalue alone; the first divides by the Frobenius norm."""
    eigenvalues = torch.logspace(0, -np.log10(condition), 200, dtype=torch.float64)
    x = torch.ones_like(eigenvalues)
    for factor in factors(condition):
        x = factor * x
        x = 2 * x - x * eigenvalues * x
    assert float((x * eigenvalues - 1).abs().max()) < 2e-7


def test_the_steps_are_half_as_many_as_without_factors() -> None:
    assert [len(factors(c)) for c in (1e2, 1e4, 1e6)] == [7, 10, 14]
    plain, eigenvalue = 0, 1e-6
    while 1 - eigenvalue > 1e-7:
        eigenvalue, plain = 1 - (1 - eigenvalue) ** 2, plain + 1
    assert plain == 24


@each("size", [1, 7, 40, 300])
@each("ridge", [1.0, 0.1, 0.01])
def test_float32_is_as_accurate_as_a_factorisation(size: int, ridge: float) -> None:
    a = gram(size, ridge)
    y = torch.randn(size, 5, generator=generator(1))
    wanted = torch.linalg.solve(a.double(), y.double())

    def error(solution: Tensor) -> float:
        return float((solution - wanted).norm() / wanted.norm())

    condition = float(a.norm()) / ridge
    assert error(inverse(a, 1e6) @ y) < max(3 * error(torch.linalg.solve(a, y)), 1e-6)
    assert error(inverse(a, 1e6) @ y) < 1e-7 * condition + 1e-6


def test_beyond_the_bound_the_result_is_too_small() -> None:
    a = torch.diag(torch.tensor([1.0, 1e-5]))
    found = inverse(a, 1e2).diagonal()
    torch.testing.assert_close(found[0], torch.tensor(1.0))
    assert 0 < float(found[1]) < 0.5e5


def test_the_gradient_is_that_of_the_inverse() -> None:
    a = gram(4, 0.1).double()
    assert torch.autograd.gradcheck(lambda m: inverse(m + m.T, 1e4), (a / 2).requires_grad_())
    # factors(1e4) leave a residual of 1e-7, so the gradient is that of A⁻¹ as exactly
    (by_products,) = torch.autograd.grad(inverse(m := a.clone().requires_grad_(), 1e4).sum(), m)
    (by_factors,) = torch.autograd.grad(torch.linalg.inv(m).sum(), m)
    torch.testing.assert_close(by_products, by_factors, rtol=1e-5, atol=1e-5)


def test_the_graph_is_small_and_its_size_is_free(tmp_path: Path) -> None:
    traced = trace(lambda t: {"x": inverse(t["a"], 1e6)}, {"a": gram(11, 0.1)}, PORT, ["x"])
    model = simplify(traced, PORT, {"x": ("S", "S")})
    assert len(model.graph.node) < 90
    counted = [node.op_type for node in model.graph.node]
    assert counted.count("MatMul") == 2 * (len(factors(1e6)) - 1)
    onnx.save(model, str(tmp_path / "inverse.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "inverse.onnx"))
    for size in (1, 7, 40):
        a = gram(size, 0.1)
        (found,) = session.run(None, {"a": a.numpy()})
        np.testing.assert_allclose(found @ a.numpy(), np.eye(size), atol=2e-5)
