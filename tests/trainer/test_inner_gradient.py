"""The gradient of an inner loss is torch.func's, whichever way it is computed."""

from __future__ import annotations

from functools import partial

import torch
import torch.func
from torch import Tensor
from torch.func import vmap

from handful.trainer.operations.convolution import is_first_order
from handful.trainer.parts.inner_gradient import grad_and_value

from ..each import each

A, B = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])


def loss(at: dict[str, Tensor], captured: Tensor) -> Tensor:
    return (at["a"] ** 3 * captured).sum() + (at["b"] * captured**2).sum()


@each("needed", [(), ("a",), ("a", "b"), ("captured",), ("a", "captured")])
def test_what_flows_back_is_what_flows_through_torch_func(needed: tuple[str, ...]) -> None:
    found = []
    for way in (grad_and_value, torch.func.grad_and_value):
        leaves = {"a": A.clone(), "b": B.clone(), "captured": A + 1}
        for name in needed:
            leaves[name].requires_grad_()
        at = {"a": leaves["a"], "b": leaves["b"]}
        gradient, value = way(partial(loss, captured=leaves["captured"]))(at)
        total = value + sum((g**2).sum() for g in gradient.values())
        assert total.requires_grad == bool(needed)
        wanted = [leaves[name] for name in needed]
        outer = torch.autograd.grad(total, wanted, materialize_grads=True) if needed else ()
        found.append([value.detach(), *(g.detach() for g in gradient.values()), *outer])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_another_use_of_the_same_tensor_does_not_count() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    gradient, _ = grad_and_value(lambda at: at * x)(x)
    assert gradient == 3


def test_a_constant_gradient_holds_nothing() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    gradient, (value, more) = grad_and_value(
        lambda at: (at**2, 2 * at), has_aux=True, constant=True
    )(x)
    assert (gradient, gradient.requires_grad) == (6, False)
    assert value.requires_grad
    assert more == 6


@each("constant", [False, True])
def test_nothing_is_recorded_where_nothing_is_to_be(constant: bool) -> None:
    x = torch.tensor(3.0, requires_grad=True)
    with torch.no_grad():
        gradient, value = grad_and_value(lambda at: at**2, constant=constant)(x)
    assert (gradient, value) == (6, 9)
    assert not gradient.requires_grad
    assert not value.requires_grad


def test_many_tasks_go_through_torch_func() -> None:
    gradient, value = vmap(grad_and_value(lambda at: at**2))(torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(gradient, torch.tensor([2.0, 4.0]))
    torch.testing.assert_close(value, torch.tensor([1.0, 4.0]))


def test_a_network_is_told_where_once_is_enough() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    seen: list[bool] = []

    def look(at: Tensor) -> Tensor:
        seen.append(is_first_order(at))
        return at**2

    grad_and_value(look, constant=True)(x)
    grad_and_value(look)(x.detach().clone())  # what is recorded is not known: it may be captured
    grad_and_value(look)(x)
    with torch.no_grad():
        grad_and_value(look)(x)
    vmap(grad_and_value(look, constant=True))(x.detach()[None])
    look(x)
    assert seen == [True, False, False, True, False, False]
