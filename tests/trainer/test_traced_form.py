"""Conv4 as it is traced, against torch's own operators: values, both gradients, and vmap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap

from handful.trainer.form.stage import Tensors
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import Conv4, NetworkConfig, build_network, conv4
from handful.trainer.operations.convolution import Form, as_matrix, max_pool2x2
from handful.trainer.operations.normalise import POOLED_FIRST, Normalisation
from handful.trainer.operations.pooling import largest, pooling_order, quarters
from handful.trainer.operations.traced import (
    SPREAD_BELOW,
    by_parity,
    convolve_strided,
    image_patches,
    winograd,
)
from handful.trainer.training.gradient import meta_gradient

from ..each import each
from .small import double, generator
from .test_gradient import SPEC as PICTURE
from .test_gradient import episodes
from .test_networks import random, torch_convolution

Function = Callable[[Tensor, Tensor], Tensor]

SIDES = [(4, 4), (7, 7), (3, 2), (2, 5)]


def in_order(maps: Tensor, order: object) -> Tensor:
    """Maps [B, H, W, C] as rows [B, pixels, C] in that order."""
    return maps.flatten(1, 2)[:, torch.as_tensor(order)]


@each(("height", "width"), SIDES)
def test_winograd_is_the_convolution_and_so_are_its_gradients(height: int, width: int) -> None:
    x, weight = random(2, height, width, 3), random(27, 2, seed=1)

    def ours(x: Tensor, weight: Tensor) -> Tensor:
        return winograd(x.flatten(1, 2).transpose(0, 1), weight, height, width).transpose(0, 1)

    def theirs(x: Tensor, weight: Tensor) -> Tensor:
        return in_order(torch_convolution(x, weight, 1), pooling_order(height, width))

    torch.testing.assert_close(ours(x, weight), theirs(x, weight))
    same_gradients(ours, theirs, x, weight)


# the first has maps whose gradient goes by parity, the others are spread
@each(("height", "width"), [(13, 10), *SIDES])
@each("last", [False, True])
def test_a_strided_convolution_and_its_gradients(height: int, width: int, last: bool) -> None:
    x, weight = random(2, height, width, 3), random(27, 2, seed=1)
    high, wide = (height + 1) // 2, (width + 1) // 2
    assert (high * wide < SPREAD_BELOW) == (height < 13)

    def ours(x: Tensor, weight: Tensor) -> Tensor:
        return convolve_strided(
            in_order(x, by_parity(height, width)), weight, height, width, last=last
        )

    def theirs(x: Tensor, weight: Tensor) -> Tensor:
        y = torch_convolution(x, weight, 2)
        return y.flatten(1, 2) if last else in_order(y, by_parity(high, wide))

    torch.testing.assert_close(ours(x, weight), theirs(x, weight))
    same_gradients(ours, theirs, x, weight)


def same_gradients(ours: Function, theirs: Function, x: Tensor, weight: Tensor) -> None:
    """First order against torch's, second order against central differences."""
    x, weight = x.requires_grad_(), weight.requires_grad_()
    y = ours(x, weight)
    towards = random(*y.shape, seed=2)
    gradients = torch.autograd.grad(y, (x, weight), towards)
    wanted = torch.autograd.grad(theirs(x, weight), (x, weight), towards)
    torch.testing.assert_close(gradients, wanted)
    assert gradcheck(ours, (x, weight), fast_mode=True)
    assert gradgradcheck(ours, (x, weight), fast_mode=True)


@each("pooled", [True, False])
@each("shape", [(2, 4, 5, 1), (1, 5, 3, 2)])
def test_patches_of_an_image_times_the_weights_are_its_convolution(
    shape: tuple[int, ...], pooled: bool
) -> None:
    x, weight = random(*shape), random(9 * shape[3], 2, seed=1)
    y = torch.einsum("knb,ko->bno", image_patches(x, pooled=pooled), weight)
    wanted = torch_convolution(x, weight, 1 if pooled else 2)
    order = pooling_order if pooled else by_parity
    torch.testing.assert_close(y, in_order(wanted, order(*wanted.shape[1:3])))
    assert gradcheck(lambda x: image_patches(x, pooled=pooled), (x.requires_grad_(),))


@each("size", [4, 5])
def test_of_equal_pixels_of_a_window_the_first_has_the_gradient(size: int) -> None:
    """The same one as in the form "matmul", whose windows are halved by rows, then by columns."""
    x = torch.randint(0, 3, (2, size, size, 3), generator=generator()).double().requires_grad_()
    order = pooling_order(size, size)
    four = quarters(in_order(x, order).transpose(0, 1), (size // 2) ** 2)
    ours = largest(*four).transpose(0, 1)
    halves = max_pool2x2("matmul", x).flatten(1, 2)
    torch.testing.assert_close(ours, halves)
    towards = random(*ours.shape)
    slopes = [torch.autograd.grad(y, x, towards)[0] for y in (ours, halves)]
    torch.testing.assert_close(*slopes, rtol=0, atol=0)
    assert bool((F.max_pool2d(x.permute(0, 3, 1, 2), 2).flatten(2).mT == ours).all())


def networks(
    kind: Normalisation, halving: str, shape: tuple[int, int, int], readout: str = "flatten"
) -> tuple[Conv4, Conv4, Tensors]:
    """The forms "matmul" and "convolution", and parameters for the first: γ and β of both signs."""
    config = NetworkConfig(
        filters=(4, 5, 6, 3),
        halving=halving,  # type: ignore[arg-type]
        normalisation=kind,
        readout=readout,  # type: ignore[arg-type]
    )
    forms: tuple[Form, Form] = ("matmul", "convolution")
    ours, theirs = (build_network(config, shape, form) for form in forms)
    assert isinstance(ours, Conv4)
    assert isinstance(theirs, Conv4)
    assert ours.has_traced_form
    params = double(ours.init(generator()))
    for name in params:
        if name[-5:] in ("gamma", ".beta"):
            params[name] = random(*params[name].shape, seed=3)
    return ours, theirs, params


def as_kernels(params: Tensors) -> Tensors:
    """[9 C, O] as [O, C, 3, 3]."""
    kernels = {
        n: p.reshape(3, 3, -1, p.shape[1]).permute(3, 2, 0, 1) if p.ndim == 2 else p
        for n, p in params.items()
    }
    assert all(torch.equal(as_matrix(k), params[n]) for n, k in kernels.items() if k.ndim == 4)
    return kernels


def rows_first(features: Tensor, pixels: int) -> Tensor:
    """Features by channel and pixel as features by pixel and channel."""
    return features.reshape(len(features), -1, pixels).transpose(1, 2).flatten(1)


@each("kind", POOLED_FIRST)
@each(("halving", "readout"), [("max", "flatten"), ("stride", "flatten"), ("stride", "mean")])
@each("shape", [(28, 28, 1), (35, 19, 3)])
def test_all_forms_are_one_function(
    shape: tuple[int, int, int], halving: str, readout: str, kind: Normalisation
) -> None:
    """Of a support set, and of queries under its statistics, on pictures of a few grey levels."""
    ours, theirs, params = networks(kind, halving, shape, readout)
    draw = generator(1)
    support, query = (
        torch.randint(0, 2, (count, *shape), generator=draw).double() for count in (4, 3)
    )
    features, gathered = ours.as_traced(params, support)
    torch.testing.assert_close((features, gathered), ours(params, support))
    answers, _ = ours.as_traced(params, query, gathered)
    torch.testing.assert_close(answers, ours(params, query, gathered)[0])
    expected, statistics = theirs(as_kernels(params), support)
    by_torch, _ = theirs(as_kernels(params), query, statistics)
    if readout == "mean":  # else torch's order of features is another one
        torch.testing.assert_close(features, expected)
        torch.testing.assert_close(answers, by_torch)
    else:
        pixels = ours.pixels[0] * ours.pixels[1]
        torch.testing.assert_close(features, rows_first(expected, pixels))
        torch.testing.assert_close(answers, rows_first(by_torch, pixels))


@each("kind", POOLED_FIRST)
@each("halving", ["max", "stride"])
def test_the_gradient_of_the_traced_form_is_that_of_the_other(
    halving: str, kind: Normalisation
) -> None:
    """To weights, γ, β and pictures of ink and paper, where whole windows are equal."""
    ours, _, params = networks(kind, halving, (28, 19, 1))
    x = (torch.rand(4, 28, 19, 1, generator=generator(1)) < 0.15).double()
    x[0] = 0

    def loss(params: Tensors, x: Tensor, form: object) -> Tensor:
        return torch.sin(form(params, x)[0] * 3).sum()  # type: ignore[operator]

    for argnums in (0, 1):
        slopes, wanted = (
            grad(loss, argnums)(params, x, form) for form in (ours.as_traced, ours.__call__)
        )
        torch.testing.assert_close(slopes, wanted)


# every normalisation in one of the two forms of halving, one of them in both
@each(
    "halving, kind",
    [
        ("max", "support"),
        ("max", "task"),
        ("max", "none"),
        ("stride", "support"),
        ("stride", "transductive"),
    ],
)
def test_the_traced_form_has_the_meta_gradient_of_the_other_also_under_vmap(
    halving: str, kind: Normalisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Second order through two inner steps, in float64."""
    network = NetworkConfig(filters=4, halving=halving, normalisation=kind)  # type: ignore[arg-type]
    learner = MAML(MAMLConfig(network=network, inner_steps=2, inner_lr=0.1), PICTURE, 3)
    params = double(learner.init(generator()))
    batch = episodes(2)

    def gradient(chunk: int) -> Tensors:
        return meta_gradient(learner, params, tuple(params), batch, {}, progress=1.0, chunk=chunk)[
            0
        ]

    wanted, as_traced = gradient(1), Conv4.as_traced
    monkeypatch.setattr(conv4, "is_tracing", lambda: True)
    used = []

    def called(*given: Any) -> Any:
        used.append(given)
        return as_traced(*given)

    monkeypatch.setattr(Conv4, "as_traced", called)
    for chunk in (1, 2):
        for name, value in gradient(chunk).items():
            largest_entry = float(wanted[name].abs().max())
            difference = float((value - wanted[name]).abs().max())
            assert difference <= 1e-9 * largest_entry + 1e-14, (chunk, name)
    assert used


@each("halving", ["max", "stride"])
def test_the_traced_form_of_several_tasks_is_that_of_each(halving: str) -> None:
    ours, _, params = networks("support", halving, (16, 16, 1))
    weights = {n: torch.stack([p, p * 1.1, p * 0.9]) for n, p in params.items()}
    x = random(3, 2, 16, 16, 1)
    together = vmap(lambda p, x: ours.as_traced(p, x)[0])(weights, x)
    for task in range(3):
        one = {n: p[task] for n, p in weights.items()}
        torch.testing.assert_close(together[task], ours.as_traced(one, x[task])[0])
