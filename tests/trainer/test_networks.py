"""Networks: every operation of ours against torch's, its second-order gradient, and vmap."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import vmap

from handful.trainer.networks import NetworkConfig, build_network
from handful.trainer.operations.convolution import (
    Form,
    as_matrix,
    convolve,
    max_pool2x2,
    patches,
    unpatches,
)
from handful.trainer.operations.normalise import EPSILON, Normalisation, standardise
from handful.trainer.settings.errors import ConfigError

from ..each import each
from .small import generator

FORMS: tuple[Form, Form] = ("convolution", "matmul")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def torch_convolution(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    kernel = weight.reshape(3, 3, x.shape[3], -1).permute(3, 2, 0, 1)
    return F.conv2d(x.permute(0, 3, 1, 2), kernel, stride=stride, padding=1).permute(0, 2, 3, 1)


@each("stride", [1, 2])
@each("shape", [(2, 4, 4, 3), (2, 5, 4, 1), (1, 3, 5, 2)])
def test_a_convolution_is_its_patches_times_the_weights(
    shape: tuple[int, ...], stride: int
) -> None:
    x, weight = random(*shape), random(9 * shape[3], 2, seed=1)
    expected = torch_convolution(x, weight, stride)
    torch.testing.assert_close(patches(x, stride) @ weight, expected)
    torch.testing.assert_close(convolve(x, weight, stride), expected)


@each("shape", [(2, 4, 4, 3), (2, 5, 4, 1), (1, 3, 5, 2)])
def test_unpatches_is_the_gradient_of_patches(shape: tuple[int, ...]) -> None:
    x = random(*shape).requires_grad_()
    spread = patches(x, 2)
    gradient = random(*spread.shape, seed=1)
    (expected,) = torch.autograd.grad(spread, x, gradient)
    torch.testing.assert_close(unpatches(gradient, shape[1], shape[2]), expected)


@each("stride", [1, 2])
@each("size", [4, 5])
def test_gradients_of_a_convolution_to_the_second_order(size: int, stride: int) -> None:
    x, weight = random(2, size, 4, 2).requires_grad_(), random(18, 3, seed=1).requires_grad_()
    assert gradcheck(lambda x, w: convolve(x, w, stride), (x, weight))
    assert gradgradcheck(lambda x, w: convolve(x, w, stride), (x, weight))


@each("shared", [True, False])
def test_a_convolution_of_several_tasks_is_that_of_each(shared: bool) -> None:
    x, weights = random(3, 2, 4, 4, 2), random(3, 18, 3, seed=1)
    together = vmap(lambda x, w: convolve(x, w, 1), in_dims=(0, None if shared else 0))(
        x, weights[0] if shared else weights
    )
    for task in range(3):
        expected = torch_convolution(x[task], weights[0 if shared else task], 1)
        torch.testing.assert_close(together[task], expected)


@each("size", [4, 5])
def test_max_pooling_agrees_with_torch_where_values_are_equal_too(size: int) -> None:
    x = torch.randint(0, 3, (2, size, size, 3), generator=generator()).double().requires_grad_()
    ours = max_pool2x2("matmul", x)
    theirs = F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, theirs)
    towards = random(*ours.shape)
    (output,), (torch_slope,) = (torch.autograd.grad(y, x, towards) for y in (ours, theirs))
    # of equals torch takes the first row by row, ours the first column by column
    rows = size // 2 * 2
    windows = [
        g[:, :rows, :rows].reshape(2, rows // 2, 2, rows // 2, 2, 3).sum(dim=(2, 4))
        for g in (output, torch_slope)
    ]
    torch.testing.assert_close(*windows)
    assert bool(((output != 0).sum() == (torch_slope != 0).sum()).item())


@each("dims", [(0, 1), (1,)])
def test_gradients_of_standardising_to_the_second_order(dims: tuple[int, ...]) -> None:
    x, gamma = random(3, 4, 2).requires_grad_(), random(2, seed=1).requires_grad_()
    y, mean, var = standardise(x, gamma, dims)
    torch.testing.assert_close(mean, x.mean(dim=dims, keepdim=True))
    torch.testing.assert_close(var, x.var(dim=dims, correction=0, keepdim=True))
    torch.testing.assert_close(y, gamma * (x - mean) / (var + EPSILON).sqrt())
    for part in range(3):
        arguments = (x,) if part else (x, gamma)
        function = lambda x, g=gamma, part=part: standardise(x, g, dims)[part]  # noqa: E731
        assert gradcheck(function, arguments)
        assert gradgradcheck(function, arguments)


@each(
    ("settings", "shape", "words"),
    [
        (
            {"filters": 12, "normalisation": "group"},
            (28, 28, 1),
            'filters is 12, wanted multiples of 8 with normalisation = "group"',
        ),
        (
            {"filters": (8, 8)},
            (28, 28, 1),
            "filters is [8, 8], wanted one number, or one for each of the 4 blocks",
        ),
        (
            {"filters": (8, 8, 8, 8), "kind": "resnet12"},
            (28, 28, 1),
            "filters is [8, 8, 8, 8], wanted one number",
        ),
        (
            {"views": 5, "normalisation": "group"},
            (28, 28, 1),
            "views is 5, wanted 1 with kind conv4 and normalisation group\n"
            "\n"
            'hint: more views need a network of images with normalisation = "running"',
        ),
        (
            {"kind": "mlp", "hidden": (64, 0)},
            (640,),
            "hidden is [64, 0], wanted 1 or more",
        ),
        (
            {},
            (15, 28, 1),
            'learner.network.kind is "conv4", which halves images four times,'
            " the examples have 15 × 28 pixels\n"
            "\n"
            "hint: set data.image_size to 16 or more",
        ),
        (
            {"halvings": 2},
            (3, 28, 1),
            'learner.network.kind is "conv4", which halves images twice,'
            " the examples have 3 × 28 pixels\n"
            "\n"
            "hint: set data.image_size to 4 or more",
        ),
        (
            {"halvings": 5},
            (28, 28, 1),
            "halvings is 5, wanted less than 5",
        ),
        (
            {},
            (640,),
            'learner.network.kind is "conv4", which reads images [H, W, C],'
            " the examples have the shape [640]\n"
            "\n"
            'hint: set learner.network.kind = "mlp" for vectors',
        ),
    ],
)
def test_what_a_network_cannot_be_is_said(
    settings: dict[str, Any], shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_network(NetworkConfig(**settings), shape, "convolution")
    said = [str(caught.value), *([f"hint: {caught.value.hint}"] if caught.value.hint else [])]
    assert "\n\n".join(said) == words


@each("form", ["convolution", "matmul"])
@each(("halving", "sizes"), [("max", [9, 4, 2, 1]), ("stride", [9, 5, 3, 2])])
@each("halvings", [0, 1, 2, 3])
def test_only_the_first_blocks_halve(
    halving: str, sizes: list[int], halvings: int, form: Form
) -> None:
    config = NetworkConfig(filters=8, halving=halving, halvings=halvings, normalisation="none")  # type: ignore[arg-type]
    network = build_network(config, (9, 9, 1), form)
    params = network.init(generator())
    features, _ = network(params, torch.rand(2, 9, 9, 1, generator=generator(1)))
    assert features.shape == (2, network.features) == (2, 8 * sizes[halvings] ** 2)


@each("form", ["convolution", "matmul"])
def test_each_block_may_have_filters_of_its_own(form: Form) -> None:
    config = NetworkConfig(filters=(8, 16, 24, 32), normalisation="group")
    network = build_network(config, (32, 32, 1), form)
    params = network.init(generator())
    sizes = [params[f"conv{block}.gamma"].numel() for block in range(4)]
    assert sizes == [8, 16, 24, 32]
    assert params["conv3.weight"].numel() == 9 * 24 * 32
    h, _ = network(params, torch.rand(2, 32, 32, 1, generator=generator()))
    assert h.shape == (2, network.features) == (2, 32 * 2 * 2)
    one, all_four = (
        build_network(NetworkConfig(filters=filters), (16, 16, 1), form).init(generator())
        for filters in (8, (8, 8, 8, 8))
    )
    assert all(torch.equal(one[name], all_four[name]) for name in one)


@each("kind", ["conv4", "resnet12"])
def test_the_least_image_has_features(kind: str) -> None:
    network = build_network(NetworkConfig(kind=kind, filters=8), (16, 16, 1), "convolution")  # type: ignore[arg-type]
    params = network.init(generator())
    h, _ = network(params, torch.rand(2, 16, 16, 1, generator=generator()))
    assert h.shape == (2, network.features)
    assert network.features > 0


@each("kind", ["support", "task", "transductive", "none"])
def test_the_maximum_before_the_affine_map_is_the_maximum_after_it(kind: Normalisation) -> None:
    """γ of both signs; the other form pools last, so the two orders are compared."""
    settings = NetworkConfig(filters=4, normalisation=kind)
    after, before = (build_network(settings, (17, 16, 1), form) for form in FORMS)
    params = {n: p.double() for n, p in after.init(generator()).items()}
    params |= {
        n: random(*p.shape, seed=3) for n, p in params.items() if n[-5:] in ("gamma", ".beta")
    }
    as_matrices = {n: as_matrix(p) if p.ndim == 4 else p for n, p in params.items()}
    support, query = random(6, 17, 16, 1), random(3, 17, 16, 1, seed=1)
    expected, statistics = after(params, support)
    output, layer_statistics = before(as_matrices, support)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(
        before(as_matrices, query, layer_statistics)[0], after(params, query, statistics)[0]
    )
