"""Random numbers for distortions: one for each example, or one for all examples of a person."""

from __future__ import annotations

import torch
from torch import Tensor


class Draw:
    """Random numbers [B, 1, 1] for B examples; those of one number in `of` [B] share theirs.

    They are drawn on the CPU: every device distorts alike.
    """

    def __init__(
        self,
        count: int,
        generator: torch.Generator,
        device: torch.device,
        of: Tensor | None = None,
    ) -> None:
        """Of B, the `count`, draws, or of as many as there are numbers in `of`."""
        self.of = torch.arange(count) if of is None else of.cpu()
        self.count = int(self.of.max()) + 1 if count else 0
        self.generator, self.device = generator, device

    def share(self) -> Tensor:
        """Between 0 and 1."""
        return self._each(torch.rand(self.count, 1, 1, generator=self.generator))

    def either(self, most: float) -> Tensor:
        """Between −most and most."""
        return most * (2 * self.share() - 1)

    def normal(self, rows: int, columns: int) -> Tensor:
        """Normal deviates, [B, rows, columns]."""
        return self._each(torch.randn(self.count, rows, columns, generator=self.generator))

    def stretch(self, most: float, size: int, axis: int) -> Tensor:
        """Up to `most` neighbours of `size` along an axis."""
        width = most * self.share()
        start = self.share() * (size - width)
        place = self._along(size, axis)
        return (place >= start) & (place < start + width)

    def end(self, share: float, size: int) -> Tensor:
        """Of a share of the examples, up to a third of the frames at the beginning or the end."""
        width = size / 3 * self.share() * (self.share() < share)
        place = self._along(size, 1)
        last = self.share() < 0.5
        return torch.where(last, size - 1 - place, place) < width

    def _each(self, drawn: Tensor) -> Tensor:
        return drawn[self.of].to(self.device)

    def _along(self, size: int, axis: int) -> Tensor:
        shape = [1, 1, 1]
        shape[axis] = size
        return torch.arange(size, device=self.device).reshape(shape)
