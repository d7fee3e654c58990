"""Random distortions: of drawings an affine map, a waving grid, another pen, noise.

Each example gets a draw of its own, where nothing else is said uniform between minus and plus the
amount that is set. A run distorts the examples that it trains on, `evaluate --distort` those of its
test classes.

    rotation   degrees
    shear      sideways, as a share of the height
    scale      of width and height, each by itself, as a share of it
    shift      sideways and down, in pixels
    elastic    each of 5 × 5 points moves by a normal deviate of so many pixels, the rest follows:
               the elastic distortions of Simard, Steinkraus and Platt (2003), with a coarse grid
    pen        0 to 1: bright strokes are up to so many pixels thicker on either side (none is
               thinner: at 28 pixels a side nothing would be left of it)
    noise      a normal deviate of each pixel, as a share of the range from black to white

Those of series are in distort_series.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers

BRIGHTEST = 255.0
PICTURES_ONLY, SERIES_ONLY = ("shift", "pen"), ("wander", "strokes", "warp")
POINTS = 5  # of the elastic grid, in each direction
BATCH = 2048  # examples distorted at a time


@dataclass(frozen=True, kw_only=True)
class DistortConfig:
    """How much is distorted; 0 is not at all. Units of length of a series are its own."""

    rotation: float = 0.0  # degrees
    shear: float = 0.0  # of the height
    scale: float = 0.0  # of width and of height
    shift: float = 0.0  # pixels; pictures only
    elastic: float = 0.0  # pixels, or units
    pen: float = 0.0  # pixels on either side of a stroke, at most 1; pictures only
    noise: float = 0.0  # of the range from black to white, or units
    wander: float = 0.0  # units; series only, as all that follow
    strokes: float = 0.0  # units
    warp: float = 0.0  # of the length, at most 0.3, so that time never runs backwards

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least=dict.fromkeys(vars(self), 0))
        for name, most in (("pen", 1.0), ("scale", 0.9), ("warp", 0.3)):
            if getattr(self, name) > most:
                raise SettingError(name, f"is {getattr(self, name)}, wanted 0 to {most}")

    @property
    def moves(self) -> bool:
        """Whether anything changes its place."""
        return any((self.rotation, self.shear, self.scale, self.shift, self.elastic))

    @property
    def anything(self) -> bool:
        """Whether anything is distorted at all."""
        rest = (self.pen, self.noise, self.wander, self.strokes, self.warp)
        return self.moves or any(rest)


def distort_pictures(x: Tensor, config: DistortConfig, generator: torch.Generator) -> Tensor:
    """Pixels [B, H, W, C], 0 to 255, as float32 of the same range, each example distorted anew.

    The generator is a CPU one: every device distorts alike. What comes in from outside the picture
    is as its nearest border.
    """
    pixels = x.float().permute(0, 3, 1, 2)
    if config.moves:
        grid = _grid(pixels.shape, config, generator).to(x.device)
        pixels = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    if config.pen:
        wider = F.max_pool2d(pixels, 3, 1, 1)
        amount = config.pen * torch.rand(len(x), 1, 1, 1, generator=generator)
        pixels = pixels + amount.to(x.device) * (wider - pixels)
    if config.noise:
        noise = torch.randn(pixels.shape, generator=generator).to(x.device)
        pixels = pixels + BRIGHTEST * config.noise * noise
    return pixels.clamp(0, BRIGHTEST).permute(0, 2, 3, 1)


def distort_once(
    x: Tensor, seed: int, change: Callable[[Tensor, torch.Generator], Tensor]
) -> Tensor:
    """Every example changed once, by this seed: pictures [M, H, W, C] are uint8 as they were."""
    generator = torch.Generator().manual_seed(seed)
    parts = [change(part, generator) for part in torch.split(x, BATCH)]
    if x.dtype == torch.uint8:
        parts = [part.round().to(torch.uint8) for part in parts]
    return torch.cat(parts)


def uniform(count: int, most: float, generator: torch.Generator) -> Tensor:
    """Between −most and most, [count]."""
    return most * (2 * torch.rand(count, generator=generator) - 1)


def _grid(shape: torch.Size, config: DistortConfig, generator: torch.Generator) -> Tensor:
    """Where each pixel [B, H, W] of the distorted picture comes from: x and y in −1 … 1."""
    count, _, height, width = shape
    angle = uniform(count, math.radians(config.rotation), generator)
    shear = uniform(count, config.shear, generator)
    across, down = (1 + uniform(count, config.scale, generator) for _ in range(2))
    right, lower = (uniform(count, config.shift, generator) * 2 / side for side in (width, height))
    cos, sin = angle.cos(), angle.sin()
    rows = (
        # rotation · shear · scale, between coordinates that are −1 and 1 at the borders
        (cos * across, (cos * shear - sin) * down * (height / width), right),
        (sin * across * (width / height), (sin * shear + cos) * down, lower),
    )
    matrix = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    grid = F.affine_grid(matrix, [count, 1, height, width], align_corners=False)
    if not config.elastic:
        return grid
    moves = torch.randn(count, 2, POINTS, POINTS, generator=generator) * config.elastic
    waves = F.interpolate(moves, size=(height, width), mode="bicubic", align_corners=True)
    return grid + waves.permute(0, 2, 3, 1) * (2 / torch.tensor([width, height]))
