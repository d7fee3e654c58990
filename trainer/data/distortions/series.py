"""Random distortions of series [T, C], whose first two channels are places in a plane.

The unit of length is the series' own: the root mean square distance of its places from their mean,
in each of the two directions. What is uniform lies between minus and plus the amount that is set.

    rotation   degrees, about the mean place
    shear      sideways, as a share of the height
    scale      of width and height, each by itself, as a share of it
    elastic    the plane waves: a sum of WAVES sine waves whose amplitudes are normal deviates
    wander     the hand drifts: KNOTS normal deviates along the series, straight lines between them
    strokes    each stroke (a run of samples with the third channel above 0) moves by a normal
               deviate; later ones than the last of STROKES move with that
    warp       time runs unevenly: a reading comes up to so much of the length earlier or later, in
               the middle of the series most; read between neighbours, all channels alike
    noise      a normal deviate of each place
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .pictures import DistortConfig, uniform

WAVES, LONGEST = 4, 1.2  # the wave numbers are normal deviates times this, in radians a unit
KNOTS = 8
STROKES = 8
SMALL = 1e-6


def distort_series(x: Tensor, config: DistortConfig, generator: torch.Generator) -> Tensor:
    """Series [B, T, C], C two or more, each distorted anew, in the units that they came in.

    The generator is a CPU one: every device distorts alike.
    """
    x = _warp(x, config.warp, generator) if config.warp else x
    middle = x[..., :2].mean(dim=1, keepdim=True)
    place = x[..., :2] - middle
    unit = (place.square().mean(dim=(1, 2), keepdim=True) + SMALL**2).sqrt()
    place = (place / unit) @ _affine(len(x), config, generator).to(x.device)
    for amount, move in ((config.elastic, _wave), (config.wander, _wander)):
        if amount:
            place = place + amount * move(place, generator)
    if config.strokes:
        place = place + config.strokes * _move_strokes(x, generator)
    if config.noise:
        place = place + config.noise * torch.randn(place.shape, generator=generator).to(x.device)
    return torch.cat([place * unit + middle, x[..., 2:]], dim=-1)


def _affine(count: int, config: DistortConfig, generator: torch.Generator) -> Tensor:
    """Matrices [B, 2, 2] from the right: scale, then shear, then rotation."""
    angle = uniform(count, math.radians(config.rotation), generator)
    shear = uniform(count, config.shear, generator)
    wide, high = (1 + uniform(count, config.scale, generator) for _ in range(2))
    cos, sin = angle.cos(), angle.sin()
    of_x = torch.stack([wide * cos, wide * sin], dim=1)
    of_y = torch.stack([high * (shear * cos - sin), high * (shear * sin + cos)], dim=1)
    return torch.stack([of_x, of_y], dim=1)


def _wave(place: Tensor, generator: torch.Generator) -> Tensor:
    """How the plane's waves move places [B, T, 2]."""
    count = len(place)
    wave = LONGEST * torch.randn(count, 2, WAVES, generator=generator)
    phase = 2 * math.pi * torch.rand(count, 1, WAVES, generator=generator)
    amplitude = torch.randn(count, WAVES, 2, generator=generator)
    angles = place @ wave.to(place.device) + phase.to(place.device)
    return angles.sin() @ amplitude.to(place.device)


def _wander(place: Tensor, generator: torch.Generator) -> Tensor:
    """A drift [B, T, 2] through KNOTS random places."""
    knots = torch.randn(len(place), 2, KNOTS, generator=generator)
    drift = F.interpolate(knots, size=place.shape[1], mode="linear", align_corners=True)
    return drift.transpose(1, 2).to(place.device)


def _move_strokes(x: Tensor, generator: torch.Generator) -> Tensor:
    """A move of each stroke, for each sample of x [B, T, 3]: [B, T, 2]."""
    moves = torch.randn(len(x), STROKES, 2, generator=generator).to(x.device)
    down = x[..., 2] > 0
    begins = down & ~F.pad(down[:, :-1], (1, 0), value=True)
    stroke = begins.cumsum(dim=1).clamp(max=STROKES - 1)
    return moves.gather(1, stroke[..., None].expand(-1, -1, 2))


def _warp(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """The series read at the times t + a sin(πt), t from 0 to 1."""
    count, length, channels = x.shape
    time = torch.linspace(0, 1, length)
    shift = uniform(count, amount, generator)[:, None]
    at = ((time + shift * torch.sin(math.pi * time)) * (length - 1)).clamp(0, length - 1)
    before = at.floor().clamp(max=max(length - 2, 0)).long()
    share = (at - before)[..., None].to(x.device)
    rows = before[..., None].expand(-1, -1, channels).to(x.device)
    after = (rows + 1).clamp(max=length - 1)
    return x.gather(1, rows) * (1 - share) + x.gather(1, after) * share
