"""Random parameters of functions, one for each task of a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Evenly from low to high."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def log_uniform(
    low: float, high: float, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Evenly on a logarithmic scale, as factors are drawn."""
    return torch.exp(uniform(math.log(low), math.log(high), shape, generator))
