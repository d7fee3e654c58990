"""Where LEO's maps start: at random as in the paper, or where it decodes class means."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

FIRST_STD = 0.1  # σ of z at the prototype start: log(1 + 0.1) is what u must be on average


class _Start(Protocol):
    @property
    def latent_dim(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def start_noise(self) -> float: ...


def glorot_maps(size: int, latent: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Glorot-uniform maps, as in the authors' code: encoder, relation net, decoder; no biases."""
    shapes = {
        "encoder": (size, latent),
        "relation.0": (2 * latent, 2 * latent),
        "relation.1": (2 * latent, 2 * latent),
        "relation.2": (2 * latent, 2 * latent),
        "decoder": (latent, 2 * size),
    }
    return {
        name: (torch.rand(shape, generator=generator) * 2 - 1) * math.sqrt(6 / sum(shape))
        for name, shape in shapes.items()
    }


def prototype_maps(params: dict[str, Tensor], x: Tensor, config: _Start) -> dict[str, Tensor]:
    """Maps with z_n = the class mean's first L principal coordinates and w_n = temperature × it.

    x [M, D] are centred features. The relation net passes its first argument on as
    relu(e) − relu(−e); a share of the random start stays beside it.
    """
    size, latent = params["encoder"].shape
    kept = min(size, latent)
    directions = torch.linalg.eigh(x.T @ x / x.shape[0])[1].flip(1)[:, :kept]  # [D, kept]
    basis = torch.zeros(size, latent, device=x.device)
    basis[:, :kept] = directions
    # z of unit order: the prior of the latent code is N(0, 1)
    spread = (x @ basis).square().mean().sqrt()
    eye, zero = torch.eye(latent, device=x.device), torch.zeros(latent, latent, device=x.device)
    both = torch.cat([eye, -eye], dim=1)
    scale = (x @ basis / spread).abs().sum(dim=1).mean()
    deviations = torch.full((2 * latent, latent), math.log1p(FIRST_STD), device=x.device) / scale
    exact = {
        "encoder": basis / spread,
        "relation.0": torch.cat([both, torch.cat([zero, zero], dim=1)]),
        "relation.1": torch.eye(2 * latent, device=x.device),
        "relation.2": torch.cat([torch.cat([eye, -eye]), deviations], dim=1),
        "decoder": torch.cat(
            [config.temperature * spread * basis.T, torch.zeros(latent, size, device=x.device)],
            dim=1,
        ),
    }
    # a share of the random start stays beside the prototypes, so that every weight can move
    random = {"relation.0": config.start_noise, "relation.1": config.start_noise}
    return {
        name: value + random.get(name, 0.0) * params[name].to(x.device)
        for name, value in exact.items()
    }
