"""LEO's functions of the code z and of the weights w: encoder, decoder, and the two steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .features import class_means
from .form import Noise, Support, Tensors, cross_entropy
from .inner_gradient import grad_and_value

Scores = Callable[[Tensor, Tensor], Tensor]  # x [B, D], w [N, D] → [B, N]

STD_FLOOR = 1e-10  # the authors' lower bound of a standard deviation


def latent_moments(params: Tensors, support: Support) -> tuple[Tensor, Tensor]:
    """μ and σ of z, each [N, L]: equation 4 with the relation network of equation 3."""
    e = support.x @ params["encoder"]  # [S, L]
    latent = e.shape[1]
    first = params["relation.0"]  # [2 L, 2 L]: the two halves act on e_i and on e_j
    pair = torch.relu((e @ first[:latent])[:, None, :] + (e @ first[latent:])[None, :, :])
    hidden = torch.relu(pair @ params["relation.1"]).mean(dim=1)  # [S, 2 L]
    # the last layer is linear, so the means may be taken on its inputs
    codes = class_means(hidden, support.y) @ params["relation.2"]  # [N, 2 L]
    return codes[:, :latent], deviation(codes[:, latent:], offset=0.0)


def encode(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """z [N, L] = μ + σ ε."""
    mean, std = latent_moments(params, support)
    return {"z": mean + std * noise["z_noise"]}


def decode(params: Tensors, z: Tensor, noise: Tensor | None = None) -> Tensor:
    """w [N, D] = μ_w + σ_w ε of z [N, L]: equation 5; without noise its mean."""
    size = params["decoder"].shape[1] // 2
    if noise is None:
        return z @ params["decoder"][:, :size]
    codes = z @ params["decoder"]  # [N, 2 D]
    # the authors' offset: the deviation starts at Glorot's √(2 / (D + N))
    offset = (2 / (size + z.shape[0])) ** 0.5
    return codes[:, :size] + deviation(codes[:, size:], offset) * noise


def decoder(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """w [N, D] of the optimised z."""
    return {"w": decode(params, state["z"], noise["w_noise"])}


def product(x: Tensor, w: Tensor) -> Tensor:
    """⟨x, w_n⟩, the paper's scores, for x [B, D] and w [N, D]: [B, N]."""
    return x @ w.T


def latent_step(
    params: Tensors,
    state: Tensors,
    support: Support,
    noise: Tensor | None = None,
    *,
    scores: Scores = product,
) -> tuple[Tensors, Tensor]:
    """z ← z − α N ∇_z L(decode(z)): equation 7; `noise` [N, D] draws w in training."""
    z, loss = descend(
        lambda z: cross_entropy(scores(support.x, decode(params, z, noise)), support.y),
        state["z"],
        params["latent_lr"] * support.y.shape[1],
    )
    return {"z": z}, loss


def finetune_step(
    params: Tensors, state: Tensors, support: Support, *, scores: Scores = product
) -> tuple[Tensors, Tensor]:
    """w ← w − α_w N ∇_w L(w)."""
    w, loss = descend(
        lambda w: cross_entropy(scores(support.x, w), support.y),
        state["w"],
        params["finetuning_lr"] * support.y.shape[1],
    )
    return {"w": w}, loss


def descend(
    loss: Callable[[Tensor], Tensor], x: Tensor, lr: Tensor | float
) -> tuple[Tensor, Tensor]:
    """x − lr ∇loss(x), and the loss at x."""
    gradient, value = grad_and_value(loss)(x)
    return x - lr * gradient, value


def deviation(u: Tensor, offset: float) -> Tensor:
    """σ = max(exp(u) − 1 + offset, 1e-10)."""
    return torch.clamp(torch.exp(u) - 1 + offset, min=STD_FLOOR)
