"""Small maps and a small support set for tests of LEO's equations."""

from __future__ import annotations

import torch

from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners import leo

from .small import double, generator

SIZE, LATENT = 4, 3


def params() -> Tensors:
    """Random maps and rates in float64."""
    draw = generator(3)
    maps = leo.glorot_maps(SIZE, LATENT, draw)
    rates = {"latent_lr": torch.rand(LATENT, generator=draw) + 0.5}
    rates["finetuning_lr"] = torch.rand(SIZE, generator=draw)
    return double({**maps, **rates})


def support(shots: tuple[int, ...] = (2, 1, 3)) -> Support:
    y = torch.eye(len(shots)).repeat_interleave(torch.tensor(shots), dim=0).double()
    return Support(torch.randn(len(y), SIZE, generator=generator(4), dtype=torch.float64), y)
