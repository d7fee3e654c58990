"""The LSTM over any number of examples: torch's, its gradients, many tasks, one ONNX operator."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap

from handful.runtime.ort import onnxruntime
from handful.runtime.vetting.vet import vet
from handful.trainer.export.simplify import simplify
from handful.trainer.export.trace import Port, trace
from handful.trainer.form.stage import Tensors
from handful.trainer.parts.lstm import init_lstm, lstm, lstm_operator
from handful.trainer.settings.errors import LearnerError

from ..each import each
from .small import double, generator

D, H, S = 3, 4, 6


def weights(directions: int, size: int = D) -> Tensors:
    return double(init_lstm(size, H, directions=directions, generator=generator()))


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def as_in_torch(params: Tensors) -> torch.nn.LSTM:
    """Torch's layer with these weights, whose gates stand in another order."""

    def ordered(rows: Tensor) -> Tensor:
        i, o, f, z = rows.chunk(4)
        return torch.cat([i, f, z, o])

    layer = torch.nn.LSTM(D, H, bidirectional=len(params["w"]) == 2).double().requires_grad_(False)
    for direction, suffix in enumerate(["", "_reverse"][: len(params["w"])]):
        w, r, b = (params[name][direction] for name in "wrb")
        named = {"weight_ih": w, "weight_hh": r, "bias_ih": b[: 4 * H], "bias_hh": b[4 * H :]}
        for name, value in named.items():
            getattr(layer, f"{name}_l0{suffix}").copy_(ordered(value))
    return layer


@each("directions", [1, 2])
def test_it_is_torchs_with_its_gradient(directions: int) -> None:
    params = weights(directions)
    layer = as_in_torch(params)
    x = random(S, D)
    torch.testing.assert_close(lstm(params, x).flatten(1), layer(x)[0])
    torch.testing.assert_close(
        grad(lambda x: (lstm(params, x).flatten(1) ** 3).sum())(x),
        torch.autograd.grad((layer(x.requires_grad_())[0] ** 3).sum(), x)[0],
    )


@each("directions", [1, 2])
def test_its_gradients_to_the_second_order(directions: int) -> None:
    params = weights(directions)

    def function(x: Tensor, w: Tensor, r: Tensor, b: Tensor) -> Tensor:
        return lstm({"w": w, "r": r, "b": b}, x)

    arguments = [t.requires_grad_() for t in (random(3, D), *(params[name] for name in "wrb"))]
    assert gradcheck(function, arguments)
    assert gradgradcheck(function, arguments)


@each("directions", [1, 2])
def test_many_tasks_are_each_alone(directions: int) -> None:
    """With weights that the tasks share, and with weights of their own; the gradient as well."""
    params, x = weights(directions), random(5, S, D)
    w = params["w"] + 0.1 * random(5, *params["w"].shape, seed=2)

    def slope(x: Tensor, w: Tensor) -> Tensor:
        to_w: Tensor = grad(lambda w: (lstm({**params, "w": w}, x) ** 3).sum())(w)
        return to_w

    def answer(x: Tensor, w: Tensor) -> Tensor:
        return lstm({**params, "w": w}, x)

    for function in (answer, slope):
        shared = torch.stack([function(task, params["w"]) for task in x])
        torch.testing.assert_close(vmap(function, (0, None))(x, params["w"]), shared)
        own = torch.stack([function(*task) for task in zip(x, w, strict=True)])
        torch.testing.assert_close(vmap(function)(x, w), own)
        fixed = torch.stack([function(x[0], of_task) for of_task in w])
        torch.testing.assert_close(vmap(function, (None, 0))(x[0], w), fixed)


def test_the_gradient_of_many_tasks_reaches_shared_weights() -> None:
    """As in meta-training: vmap over tasks, autograd around it."""
    params, x = weights(2), random(5, S, D)
    leaf = params["r"].clone().requires_grad_()
    total = vmap(lambda task: (lstm({**params, "r": leaf}, task) ** 3).sum())(x).sum()
    (together,) = torch.autograd.grad(total, leaf)
    each = [grad(lambda r, t=t: (lstm({**params, "r": r}, t) ** 3).sum())(params["r"]) for t in x]
    torch.testing.assert_close(together, torch.stack(each).sum(dim=0))


def test_the_operator_keeps_the_promises_of_torch() -> None:
    """Its shape and type without values, and that it changes no argument."""
    params = weights(2)
    arguments = (random(S, 2, D), *(params[name] for name in "wrb"))
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(lstm_operator, arguments, test_utils=checks)


@each("directions", [1, 2])
def test_it_exports_as_one_operator_with_any_number_of_examples(directions: int) -> None:
    params = {name: p.float() for name, p in weights(directions).items()}
    ports = [Port("support_x", ("S", D))]
    traced = trace(
        lambda t: {"h": lstm(params, t["support_x"])},
        {"support_x": torch.rand(11, D)},
        ports,
        ["h"],
    )
    model = simplify(traced, ports, {"h": ("S", directions, H)})
    assert sum(node.op_type == "LSTM" for node in model.graph.node) == 1
    content = model.SerializeToString()
    assert vet(content, "g").operators["LSTM"] == 1
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for size in (1, 7, 40):
        x = random(size, D, seed=size).float()
        (h,) = session.run(None, {"support_x": x.numpy()})
        np.testing.assert_allclose(np.asarray(h), lstm(params, x).numpy(), atol=1e-6)
    (node,) = (node for node in onnx.load_from_string(content).graph.node if node.op_type == "LSTM")
    assert len(node.input) == 4
    assert len(node.output) == 1


def test_a_step_through_the_recurrence_cannot_be_exported_and_that_is_said() -> None:
    params = init_lstm(D, H, directions=1, generator=generator())

    def step(t: Tensors) -> Tensors:
        slope = grad(lambda x: lstm(params, x).square().sum())(t["support_x"])
        return {"h": t["support_x"] - 0.1 * slope}

    with pytest.raises(LearnerError) as caught:
        trace(step, {"support_x": torch.rand(11, D)}, [Port("support_x", ("S", D))], ["h"])
    assert str(caught.value) == (
        "the gradient of an LSTM over a free number of examples cannot be exported"
    )
    assert caught.value.hint == (
        "a stage's init and predict may hold an LSTM, a step may not descend through it"
    )
