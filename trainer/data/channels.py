"""What a backbone subtracts from each channel of its pictures, and divides it by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .config import DataConfig


@dataclass(frozen=True)
class Channels:
    """The mean and the deviation of each channel, of pixels that run from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, config: DataConfig) -> Channels | None:
        """Those of the settings, which have both or none."""
        mean, std = config.preprocessing.mean, config.preprocessing.std
        return None if mean is None or std is None else cls(mean, std)

    def factors(self, layout: str | None) -> tuple[Tensor, Tensor]:
        """a and b of x · a + b, shaped for pictures [B, C, H, W] ("CHW") or [B, H, W, C]."""
        shape = (1, -1, 1, 1) if layout == "CHW" else (1, 1, 1, -1)
        mean, std = (torch.tensor(t, dtype=torch.float64) for t in (self.mean, self.std))
        return (1 / std).float().reshape(shape), (-mean / std).float().reshape(shape)

    def apply(self, x: Tensor, layout: str | None) -> Tensor:
        """Pictures [B, ...] with values from 0 to 1 as the backbone reads them."""
        scale, offset = self.factors(layout)
        return x * scale.to(x.device) + offset.to(x.device)
