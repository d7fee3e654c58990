"""Networks for series: Conv4 along time, and Conv4 on a picture drawn of a pen's trace."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from handful.trainer.operations.normalise import (
    Normalisation,
    Params,
    Statistics,
    init_normalisation,
    normalise,
)
from handful.trainer.operations.pooling import larger_half

from .conv4 import Conv4

BLOCKS = 4
KERNEL = 5  # samples that a convolution sees


@dataclass(frozen=True, kw_only=True)
class Conv1d:
    """Series [B, T, C] → features [B, D]; each block halves T by the maximum over pairs.

    Sounds' energies [B, F, bands, 1] are read as F readings of as many channels as bands.

    A convolution is the shifted inputs side by side, times a matrix [5 C, O]: one form for networks
    that are frozen while adapting and for weights that a task adapts. `mean` averages over time,
    `flatten` keeps it.
    """

    shape: tuple[int, int]
    filters: int = 64
    readout: Literal["flatten", "mean"] = "flatten"
    normalisation: Normalisation = "running"

    @property
    def features(self) -> int:
        """D, the length of the features."""
        return self.filters * (1 if self.readout == "mean" else self.shape[0] // 2**BLOCKS)

    def init(self, generator: torch.Generator) -> Params:
        """Glorot-uniform weights; biases are the normalisation's β."""
        params: Params = {}
        inputs = self.shape[1]
        for block in range(BLOCKS):
            bound = math.sqrt(6 / (KERNEL * (inputs + self.filters)))
            weight = torch.rand(KERNEL * inputs, self.filters, generator=generator) * 2 - 1
            params[f"conv{block}.weight"] = weight * bound
            params |= init_normalisation(self.normalisation, f"conv{block}", self.filters)
            inputs = self.filters
        return params

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features [B, D] and the statistics of x, block by block."""
        gathered: Statistics = {}
        x = x.flatten(2)
        for block in range(BLOCKS):
            name = f"conv{block}"
            x = windows(x) @ params[f"{name}.weight"]
            x, layer_statistics = normalise(self.normalisation, params, name, x, statistics, -1)
            gathered |= layer_statistics
            x = torch.relu(halve(x))
        x = x.mean(dim=1) if self.readout == "mean" else x.flatten(1)
        return x, gathered


def windows(x: Tensor) -> Tensor:
    """x [B, T, C] → [B, T, 5 C]: each sample with its neighbours, zeros beyond the ends."""
    batch, time, channels = x.shape
    zeros = x.new_zeros(batch, KERNEL // 2, channels)
    padded = torch.cat([zeros, x, zeros], dim=1)
    return torch.cat([padded[:, i : i + time] for i in range(KERNEL)], dim=2)


def halve(x: Tensor) -> Tensor:
    """The maximum over pairs of samples of x [B, T, C]; an odd last sample is dropped."""
    batch, time, channels = x.shape
    pairs = time // 2
    x = x[:, : 2 * pairs] if time % 2 else x
    return larger_half(x.reshape(batch, pairs, 2 * channels))


CHANNELS = 7
POINTS = 4  # of a segment: one that is longer than four pixels is drawn as dots
BOX = 0.9  # of the picture's side, the longer side of the trace
REACH = 1.2  # pixels
INK = 4 / 3  # how dark: of a line half a picture long, before tanh and Λ, times a side's pixels
TINY = 1e-6


@dataclass(frozen=True)
class Trace:
    """Traces [B, T, C] → features [B, D]: x, y and, where C is 3, the pen, 1 where it is down.

    The pen of a sample is that of the way to it; 0 or less is up.

        segments  d_j = p_{j+1} − p_j, its length l_j, its direction u_j = d_j / l_j
        picture   I_c[r, s] = Σ over points q of all segments of f_c(j) Λ(q_y − r) Λ(q_x − s)

    The trace fills the picture: its box is centred and its longer side is BOX of the picture's. Λ
    is a triangle REACH pixels to either side, so a picture is two matrix products and has a
    gradient. The channels c are ink; ink times cos 2θ and sin 2θ, the line without its sense; ink
    times u, with it; ink times the time, by length from −1 to 1; and the way in the air. All but
    the first are divided by 1 + ink, the first is tanh(ink). Such maps of directions are the usual
    features of online characters (Bai and Huo 2005; Zhang, Bengio and Liu 2017, arXiv:1606.05763).
    As segments count by their length, a trace that repeats its last point at the end is the same
    trace.
    """

    picture: Conv4  # of pictures [P, P, CHANNELS]

    @property
    def features(self) -> int:
        """D, the length of the features."""
        return self.picture.features

    def init(self, generator: torch.Generator) -> Params:
        """The parameters of the Conv4."""
        return self.picture.init(generator)

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features [B, D] and the statistics of x, block by block."""
        return self.picture(params, draw(x, self.picture.shape[0]), statistics)


def draw(x: Tensor, pixels: int) -> Tensor:
    """Pictures [B, P, P, CHANNELS] of traces [B, T, 2 or 3]."""
    place = _fit_box(x[..., :2])
    step = place[:, 1:] - place[:, :-1]
    length = torch.sqrt((step * step).sum(dim=-1, keepdim=True) + TINY**2) - TINY
    way = step / (length + TINY)
    down = x[:, 1:, 2:].clamp(0, 1) if x.shape[2] > 2 else torch.ones_like(length)
    features = _features(way, length, down)  # [B, T − 1, CHANNELS]

    parts = (torch.arange(POINTS, device=x.device, dtype=x.dtype) + 0.5) / POINTS
    points = place[:, :-1, None] + step[:, :, None] * parts[:, None]  # [B, T − 1, POINTS, 2]
    count, segments = x.shape[0], step.shape[1]
    centre = (torch.arange(pixels, device=x.device, dtype=x.dtype) + 0.5) * (2 / pixels) - 1
    near = torch.relu(1 - (points[..., None] - centre).abs() * (pixels / 2 / REACH))
    across, upright = near[:, :, :, 0], near[:, :, :, 1]  # [B, T − 1, POINTS, P]
    weighed = across[..., None, :] * features[:, :, None, :, None]
    rows = upright.reshape(count, segments * POINTS, pixels).transpose(1, 2)
    flat = weighed.reshape(count, segments * POINTS, CHANNELS * pixels)
    picture = (rows @ flat).reshape(count, pixels, CHANNELS, pixels).transpose(2, 3)
    picture = picture * (pixels * INK / POINTS)
    ink = picture[..., :1]
    return torch.cat([torch.tanh(ink), picture[..., 1:] / (1 + ink)], dim=-1)


def _fit_box(place: Tensor) -> Tensor:
    """Places [B, T, 2] with the middle of their box at 0 and its longer side from −BOX to BOX."""
    low, high = place.amin(dim=1, keepdim=True), place.amax(dim=1, keepdim=True)
    side = (high - low).amax(dim=2, keepdim=True)
    return (place - (low + high) / 2) * (2 * BOX / (side + TINY))


def _features(way: Tensor, length: Tensor, down: Tensor) -> Tensor:
    """What each segment draws, [B, T − 1, CHANNELS]."""
    ink = length * down
    x, y = way[..., :1], way[..., 1:]
    so_far = torch.cumsum(length, dim=1) - length / 2
    time = 2 * so_far / (length.sum(dim=1, keepdim=True) + TINY) - 1
    directions = (ink * (x * x - y * y), ink * (2 * x * y), ink * x, ink * y)
    return torch.cat([ink, *directions, ink * time, length - ink], dim=-1)
