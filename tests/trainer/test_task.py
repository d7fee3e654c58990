"""The losses: the closed form that an exported step has in place of what autograd finds."""

from __future__ import annotations

from typing import Any

import torch
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from handful.trainer.form.task import cross_entropy

from .small import generator


def test_a_traced_cross_entropy_has_autograds_gradients() -> None:
    logits = torch.randn(3, 6, 4, generator=generator(0), dtype=torch.float64)
    y = torch.eye(4, dtype=torch.float64)[torch.tensor([0, 3, 1, 1, 2, 0])].expand(3, 6, 4)
    direction = torch.randn(3, 6, 4, generator=generator(1), dtype=torch.float64)

    def slope(logits: torch.Tensor, y: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        slopes: torch.Tensor = grad(cross_entropy)(logits, y)
        return (slopes * direction).sum()

    cases: list[tuple[Any, tuple[torch.Tensor, ...]]] = [
        (cross_entropy, (logits, y)),
        (slope, (logits, y, direction)),  # the gradient of the gradient
    ]
    for function, given in cases:
        wanted = vmap(grad(function))(*given)
        found = make_fx(vmap(grad(function)))(*given)(*given)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-15)


def test_a_traced_gradient_of_the_cross_entropy_is_the_closed_form() -> None:
    logits, y = torch.randn(6, 4, generator=generator(0)), torch.eye(4)[[0, 1, 2, 3, 0, 1]]
    traced = make_fx(grad(cross_entropy))(logits, y)
    called = {str(node.target) for node in traced.graph.nodes if node.op == "call_function"}
    assert "aten._softmax.default" in called
    assert not called & {"aten.exp.default", "aten.expand.default"}  # of autograd's own form
