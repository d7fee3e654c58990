"""Episodes: N-way K-shot tasks drawn by index from a labelled set that lies on the device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from handful.trainer.data.labelled import LabelledSet


class Episode(NamedTuple):
    """An N-way K-shot task, or a batch of T of them with a leading [T]."""

    support_x: Tensor  # [S, ...] float32, S = N * K
    support_y: Tensor  # [S, N] one-hot
    query_x: Tensor  # [Q, ...], Q = N * queries
    query_y: Tensor  # [Q, N] one-hot


def draw(
    data: LabelledSet, *, way: int, shot: int, queries: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows of one task: support [N, K] and query [N, queries], without replacement.

    The generator is a CPU one whatever the device, so that every device draws the same tasks.
    """
    classes = torch.randperm(len(data.classes), generator=generator)[:way]
    counts = data.counts.cpu()[classes]
    keys = torch.rand(way, int(counts.max()), generator=generator)
    keys[torch.arange(keys.shape[1]) >= counts[:, None]] = 2.0  # past a class's end: drawn last
    rows = data.start.cpu()[classes][:, None] + keys.argsort(dim=1)[:, : shot + queries]
    return rows[:, :shot], rows[:, shot:]


def sample(
    data: LabelledSet, *, tasks: int, way: int, shot: int, queries: int, generator: torch.Generator
) -> Episode:
    """A batch of T tasks, [T, ...], as float32 on the data's device."""
    drawn = [
        draw(data, way=way, shot=shot, queries=queries, generator=generator) for _ in range(tasks)
    ]
    eye = torch.eye(way, device=data.x.device)

    def batch(which: int, per_class: int) -> tuple[Tensor, Tensor]:
        rows = torch.stack([d[which].reshape(-1) for d in drawn]).to(data.x.device)
        y = eye.repeat_interleave(per_class, dim=0).expand(tasks, -1, -1)
        return data.as_float(data.x[rows]), y

    return Episode(*batch(0, shot), *batch(1, queries))
