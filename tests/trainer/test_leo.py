"""LEO: its equations by hand and in numpy, its gradients, its start, the authors' K copies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import gradcheck

from handful.runtime.package.manifest import InputSpec
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners.leo import (
    LEO,
    LEOConfig,
    decode,
    decoder,
    descend,
    deviation,
    divergence,
    encode,
    finetune_step,
    latent_moments,
    latent_step,
    orthogonality,
    squared_norm,
)

from .small import generator
from .small_leo import LATENT, SIZE, params, support

Array = NDArray[Any]


def test_three_steps_of_descent() -> None:
    # loss = 4 z², slope 8 z, so a step multiplies z by 1 − 0.1·8 = 0.2: 4 → 0.8 → 0.16 → 0.032
    z, positions, losses = torch.tensor(4.0), [], []
    for _ in range(3):
        z, loss = descend(lambda z: 4 * z * z, z, 0.1)
        positions.append(z)
        losses.append(loss)
    torch.testing.assert_close(torch.stack(positions), torch.tensor([0.8, 0.16, 0.032]))
    torch.testing.assert_close(torch.stack(losses), torch.tensor([64.0, 2.56, 0.1024]))


def numpy_moments(p: dict[str, Array], x: Array, y: Array) -> tuple[Array, Array]:
    """Equations 3 and 4, pair by pair."""
    e = [p["encoder"].T @ row for row in x]
    latent = len(e[0])
    codes = []
    for n in range(y.shape[1]):
        of_class = []
        for i in np.flatnonzero(y[:, n]):
            pairs = []
            for j in range(len(x)):
                hidden = np.maximum(0, p["relation.0"].T @ np.concatenate([e[i], e[j]]))
                pairs.append(p["relation.2"].T @ np.maximum(0, p["relation.1"].T @ hidden))
            of_class.append(np.mean(pairs, axis=0))
        codes.append(np.mean(of_class, axis=0))
    computed = np.stack(codes)
    return computed[:, :latent], np.maximum(np.exp(computed[:, latent:]) - 1, 1e-10)


def test_the_encoder_is_the_papers() -> None:
    p, s = params(), support()
    mean, std = numpy_moments({n: t.numpy() for n, t in p.items()}, s.x.numpy(), s.y.numpy())
    latent_mean, latent_std = latent_moments(p, s)
    np.testing.assert_allclose(latent_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(latent_std.numpy(), std, rtol=1e-12)
    noise = torch.randn(3, LATENT, generator=generator(5), dtype=torch.float64)
    z = encode(p, {}, s, {"z_noise": noise})["z"]
    np.testing.assert_allclose(z.numpy(), mean + std * noise.numpy(), rtol=1e-12)


def test_the_decoder_is_the_papers() -> None:
    p = params()
    z, noise = (torch.randn(3, d, generator=generator(d), dtype=torch.float64) for d in (3, 4))
    matrix = p["decoder"].numpy()
    codes = np.stack([matrix.T @ row for row in z.numpy()])
    offset = math.sqrt(2 / (SIZE + 3))
    std = np.maximum(np.exp(codes[:, SIZE:]) - 1 + offset, 1e-10)
    computed = decoder(p, {"z": z}, support(), {"w_noise": noise})["w"]
    np.testing.assert_allclose(computed.numpy(), codes[:, :SIZE] + std * noise.numpy(), rtol=1e-12)
    np.testing.assert_allclose(decode(p, z).numpy(), codes[:, :SIZE], rtol=1e-12)


def test_deviation_by_hand() -> None:
    u = torch.tensor([0.0, math.log(3.0), -5.0, math.log(1.5)])
    torch.testing.assert_close(deviation(u, 0.0), torch.tensor([1e-10, 2.0, 1e-10, 0.5]))
    torch.testing.assert_close(deviation(u[:2], 0.25), torch.tensor([0.25, 2.25]))


def test_divergence_by_hand() -> None:
    # z = μ: ½ z² − log σ, the mean of 0 and ½ − log 2
    mean = torch.tensor([0.0, 1.0])
    computed = divergence(mean, torch.tensor([1.0, 2.0]), mean)
    torch.testing.assert_close(computed, torch.tensor((0.5 - math.log(2)) / 2))
    # one standard deviation away: ½ (9 − 1) − log 2
    computed = divergence(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3.0]))
    torch.testing.assert_close(computed, torch.tensor(4 - math.log(2)))


def test_divergence_estimates_the_closed_form() -> None:
    mean, std = torch.tensor([0.7]), torch.tensor([0.6])
    z = mean + std * torch.randn(200_000, generator=generator(1))
    closed = 0.5 * (0.6**2 + 0.7**2 - 1) - math.log(0.6)
    assert float(divergence(mean, std, z)) == pytest.approx(closed, abs=5e-3)


def test_orthogonality_by_hand() -> None:
    # centred rows (1, −1, 0)/√2 and (1, 1, −2)/√6 are orthogonal; two equal rows correlate fully
    apart = torch.tensor([[1.0, -1.0, 0.0], [4.0, 4.0, 1.0]])
    torch.testing.assert_close(orthogonality(apart), torch.tensor(0.0))
    equal = torch.tensor([[1.0, -1.0, 0.0], [3.0, 1.0, 2.0]])
    torch.testing.assert_close(orthogonality(equal), torch.tensor(0.5))  # (0 + 1 + 1 + 0) / 4


def test_squared_norm_by_hand() -> None:
    maps = ("encoder", "relation.0", "relation.1", "relation.2", "decoder")
    filled_maps = {name: torch.full((2, 2), float(i)) for i, name in enumerate(maps)}
    torch.testing.assert_close(
        squared_norm({**filled_maps, "latent_lr": torch.ones(9)}), torch.tensor(60.0)
    )


def test_gradients_of_the_latent_step_in_all_entries() -> None:
    p, s = params(), support()
    z = torch.randn(3, LATENT, generator=generator(6), dtype=torch.float64)
    w_noise = torch.randn(3, SIZE, generator=generator(8), dtype=torch.float64)
    read = ("decoder", "latent_lr")

    def step(z: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        moved, loss = latent_step(
            {**p, **dict(zip(read, values, strict=True))}, {"z": z}, s, w_noise
        )
        return moved["z"], loss

    assert gradcheck(step, [t.clone().requires_grad_() for t in (z, *(p[n] for n in read))])


def test_gradients_of_the_finetuning_step_in_all_entries() -> None:
    p, s = params(), support()
    w = torch.randn(3, SIZE, generator=generator(6), dtype=torch.float64)

    def step(w: Tensor, rate: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        moved, loss = finetune_step({**p, "finetuning_lr": rate}, {"w": w}, Support(x, s.y))
        return moved["w"], loss

    leaves = [t.clone().requires_grad_() for t in (w, p["finetuning_lr"], s.x)]
    assert gradcheck(step, leaves)


def test_gradients_of_encoding_and_both_stages_in_all_entries() -> None:
    """The meta-gradient through the whole adaptation, with noise in every place."""
    config = LEOConfig(latent_dim=LATENT, latent_steps=2, finetuning_steps=2)
    learner = LEO(config, InputSpec(kind="array", shape=(SIZE,)), 3)
    p, s = params(), support()
    names = tuple(p)
    noise = {
        "z_noise": torch.randn(3, LATENT, generator=generator(1), dtype=torch.float64),
        "w_noise": torch.randn(3, SIZE, generator=generator(2), dtype=torch.float64),
    }

    def whole(*values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        return adapt(learner, parameters, s, noise=noise)["w"]

    assert gradcheck(whole, [p[n].clone().requires_grad_() for n in names])


def authors_latent_step(p: Tensors, z: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The reference's step: K copies [N, K, L], mean scores over copies, a summed loss."""
    z = z.detach().requires_grad_()
    w = z @ p["decoder"][:, :SIZE]  # [N, K, D]
    scores = torch.einsum("sd,lmd->slm", x, w).mean(dim=-1)
    loss = -(y * torch.log_softmax(scores, dim=-1)).sum()
    return z - p["latent_lr"] * torch.autograd.grad(loss, z)[0]


def authors_finetune_step(p: Tensors, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    w = w.detach().requires_grad_()
    scores = torch.einsum("sd,lmd->slm", x, w).mean(dim=-1)
    loss = -(y * torch.log_softmax(scores, dim=-1)).sum()
    return w - p["finetuning_lr"] * torch.autograd.grad(loss, w)[0]


def test_k_equal_copies_take_the_same_steps_as_one() -> None:
    shots = 4
    p, s = params(), support((shots,) * 3)
    z = encode(p, {}, s, {"z_noise": torch.zeros(3, LATENT, dtype=torch.float64)})["z"]
    copies = z[:, None].expand(-1, shots, -1)
    for _ in range(3):
        z = latent_step(p, {"z": z}, s)[0]["z"]
        copies = authors_latent_step(p, copies, s.x, s.y)
        for k in range(shots):
            torch.testing.assert_close(copies[:, k], z, rtol=1e-12, atol=1e-12)
    w = decode(p, z)
    copied = w[:, None].expand(-1, shots, -1)
    for _ in range(3):
        w = finetune_step(p, {"w": w}, s)[0]["w"]
        copied = authors_finetune_step(p, copied, s.x, s.y)
        torch.testing.assert_close(copied.mean(dim=1), w, rtol=1e-12, atol=1e-12)
