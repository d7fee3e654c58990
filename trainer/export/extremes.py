"""Degenerate support sets, which show whether small constants still keep quotients finite."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec

SHOTS = (2, 1, 1)


def extremes(
    spec: InputSpec, example: Tensor, *, max_way: int | None, targets: int | None
) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """What it is, raw support [S, ...], labels [S, N] or targets [S, O], and queries [3, ...].

    All zeros and all ones, which lie within the declared range, and one real example under every
    label, or with several targets; each is asked about all three.
    """
    shots = SHOTS[: max_way or len(SHOTS)]
    labels = torch.tensor([n for n, shot in enumerate(shots) for _ in range(shot)])
    y = torch.eye(len(shots))[labels]
    if targets is not None:
        y = labels[:, None].float().expand(-1, targets) - 1
    low, high = spec.range or (0.0, 1.0)
    zeros = torch.full_like(example, min(max(0.0, low), high))
    ones = torch.full_like(example, min(max(1.0, low), high))
    query = torch.stack([zeros, ones, example])
    for name, x in (
        ("on zeros", zeros),
        ("on ones", ones),
        ("on equal examples under different labels", example),
    ):
        yield name, x.expand(len(labels), *x.shape).contiguous(), y, query
