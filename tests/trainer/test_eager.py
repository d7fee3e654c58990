"""The forms for one task at a time have the values and gradients of the forms for many."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import Learner
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.learners.meta_lstm import MetaLSTM, MetaLSTMConfig
from handful.trainer.learners.reptile import Reptile, ReptileConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.networks.conv4 import Conv4
from handful.trainer.operations import convolution
from handful.trainer.operations.convolution import convolve, max_pool2x2
from handful.trainer.operations.normalise import moments
from handful.trainer.training.gradient import meta_gradient

from ..each import each

DRAW = 7
IMAGE = InputSpec(kind="image", shape=(16, 16, 1))


def maps(*shape: int, binary: bool = False) -> Tensor:
    """Maps [B, C, H, W], channels last in memory; binary ones are full of equal entries."""
    draw = torch.Generator().manual_seed(DRAW)
    x = torch.rand(*shape, generator=draw, dtype=torch.float64)
    x = (x > 0.5).double() if binary else x
    return x.contiguous(memory_format=torch.channels_last)


def last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


@each("stride", [1, 2])
@each("channels", [1, 3, 4])
def test_a_convolution_is_that_of_the_other_form(channels: int, stride: int) -> None:
    x = maps(2, channels, 7, 6)
    weight = torch.randn(9 * channels, 5, dtype=torch.float64)
    ours = convolution.convolve_eagerly(x, weight, stride)
    torch.testing.assert_close(last(ours), convolve(last(x), weight, stride))


@each("size", [(4, 4), (5, 7)])
@each("binary", [False, True])
def test_moments_and_maxima_are_those_of_the_other_form(
    binary: bool, size: tuple[int, int]
) -> None:
    x = maps(3, 4, *size, binary=binary)
    slopes = []
    for form in ("eager", "other"):
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        if form == "eager":
            mean, var, pooled = convolution.pooled_moments(leaf)
        else:
            mean, var = (m.permute(0, 3, 1, 2) for m in moments(last(leaf), (0, 1, 2)))
            pooled = max_pool2x2("matmul", last(leaf)).permute(0, 3, 1, 2)
        results = torch.cat([t.flatten() for t in (mean, var, pooled)])
        weights = torch.arange(1.0, results.numel() + 1, dtype=torch.float64)
        (slope,) = torch.autograd.grad((results * weights).sum(), leaf, create_graph=True)
        (curvature,) = torch.autograd.grad((slope**2 * torch.cos(x)).sum(), leaf)
        slopes.append((results.detach(), slope.detach(), curvature))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other)


def test_first_and_second_derivatives_are_right() -> None:
    x = maps(2, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(convolution.pooled_moments, (x,))
    assert torch.autograd.gradgradcheck(convolution.pooled_moments, (x,))


@each("halving", ["max", "stride"])
@each("normalisation", ["support", "task", "none", "group", "transductive"])
@each("binary", [False, True])
def test_a_network_alone_is_the_network_under_vmap(
    binary: bool, normalisation: str, halving: str
) -> None:
    """Features, the meta-gradient's second order, and statistics; γ of either sign."""
    kind: dict[str, Any] = {"halving": halving, "normalisation": normalisation}
    network = Conv4(shape=(16, 16, 1), filters=(8,), form="matmul", **kind)
    draw = torch.Generator().manual_seed(DRAW)
    params = {name: p.double() for name, p in network.init(draw).items()}
    for name, p in params.items():
        if name.endswith("gamma"):
            p[::2] *= -1
    x = last(maps(6, 1, 16, 16, binary=binary))

    def results(params: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        h, statistics = network(params, x, None)
        gathered = [s.flatten() for _, s in sorted(statistics.items())]
        return h, torch.cat([h.new_zeros(1), *gathered])

    found = []
    for many in (False, True):
        leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
        if many:
            h, s = (r[0] for r in vmap(results, in_dims=(None, 0))(leaves, x[None]))
        else:
            h, s = results(leaves, x)
        loss = (h**2).sum() + s.sum()
        slopes = torch.autograd.grad(loss, [*leaves.values()], create_graph=True)
        curvature = sum((slope**2).sum() for slope in slopes)
        seconds = torch.autograd.grad(curvature, [*leaves.values()], materialize_grads=True)  # type: ignore[arg-type]
        found.append([h, s, *slopes, *seconds])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("halving", ["max", "stride"])
@pytest.mark.parametrize("name", ["reptile", "fomaml", "meta-lstm"])
def test_steps_of_first_order_by_fused_kernels_are_those_of_the_other_form(
    name: str, halving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One task at a time against two under vmap, whose batch norm is written out, in float64."""
    network = NetworkConfig(filters=4, halving=halving, normalisation="support")  # type: ignore[arg-type]
    learners: dict[str, Learner] = {
        "reptile": Reptile(ReptileConfig(network=network, batch=4), IMAGE, 2),
        "fomaml": MAML(MAMLConfig(network=network, first_order=True), IMAGE, 2),
        "meta-lstm": MetaLSTM(MetaLSTMConfig(network=network, inner_steps=3), IMAGE, 2),
    }
    learner = learners[name]
    draw = torch.Generator().manual_seed(DRAW)
    params = {n: p.double() for n, p in learner.init(draw).items()}
    y = torch.eye(2).repeat(3, 1).expand(2, -1, -1).double()
    support, query = torch.rand(2, 2, 6, *IMAGE.shape, generator=draw, dtype=torch.float64)
    tasks = Episode(support, y, query, y, torch.arange(2).expand(2, -1))
    names = tuple(n for n in params if not learner.is_frozen(n))
    fused: list[int] = []
    batch_norm = torch.native_batch_norm

    def counted(x: Tensor, *rest: Any) -> Any:
        fused.append(len(x))
        return batch_norm(x, *rest)

    monkeypatch.setattr(torch, "native_batch_norm", counted)
    found, calls = [], []
    for chunk in (1, 2):
        found.append(meta_gradient(learner, params, names, tasks, {}, progress=0.5, chunk=chunk))
        calls.append(len(fused))
    steps = 5 if name != "meta-lstm" else 3
    assert calls == [2 * steps * 4] * 2  # of each task's steps in each block, and not under vmap
    (alone, loss, outcome), (together, other_loss, other_outcome) = found
    torch.testing.assert_close(loss, other_loss)
    torch.testing.assert_close(alone, together, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(outcome.buffers, other_outcome.buffers)


def test_it_is_for_one_task_on_a_cpu() -> None:
    seen = []

    def look(x: Tensor) -> Tensor:
        seen.append(convolution.is_eager(x))
        return x

    vmap(look)(torch.rand(2, 1))
    assert seen == [False]
    assert convolution.is_eager(torch.rand(2))
    assert not convolution.is_eager(torch.rand(2, device="meta"))
