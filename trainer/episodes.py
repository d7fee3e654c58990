"""Episodes: N-way K-shot tasks drawn by index from a labelled set that lies on the device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from handful.trainer.data.labelled import LabelledSet
from handful.trainer.sizes import TaskSize


class Episode(NamedTuple):
    """An N-way K-shot task, or a batch of T of them with a leading [T]."""

    support_x: Tensor  # [S, ...] float32, S = N * K
    support_y: Tensor  # [S, N] one-hot
    query_x: Tensor  # [Q, ...], Q = N * queries
    query_y: Tensor  # [Q, N] one-hot
    classes: Tensor  # [N] int64, which of the set's classes they are: for losses over all classes


class Rows(NamedTuple):
    """Many tasks of one size as rows of a labelled set, grouped by class."""

    support: Tensor  # [E, S], S = N * K
    query: Tensor  # [E, Q], Q = N * queries
    classes: Tensor  # [E, N]


def draw(data: LabelledSet, size: TaskSize, generator: torch.Generator) -> Rows:
    """Rows of one task: support [N, K], query [N, queries] and classes [N], each drawn once.

    The generator is a CPU one whatever the device, so that every device draws the same tasks.
    """
    classes = torch.randperm(len(data.classes), generator=generator)[: size.way]
    counts = data.counts.cpu()[classes]
    keys = torch.rand(size.way, int(counts.max()), generator=generator)
    keys[torch.arange(keys.shape[1]) >= counts[:, None]] = 2.0  # past a class's end: drawn last
    rows = data.start.cpu()[classes][:, None] + keys.argsort(dim=1)[:, : size.shot + size.queries]
    return Rows(rows[:, : size.shot], rows[:, size.shot :], classes)


def draw_rows(data: LabelledSet, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Rows:
    """The rows of so many tasks, one after the other from the generator."""
    drawn = [draw(data, size, generator) for _ in range(tasks)]
    parts = zip(*drawn, strict=True)
    return Rows(*(torch.stack([rows.reshape(-1) for rows in part]) for part in parts))


def one_hot(way: int, per_class: int) -> Tensor:
    """The labels of a task's rows: [N * per_class, N]."""
    return torch.eye(way).repeat_interleave(per_class, dim=0)


def taken(data: LabelledSet, size: TaskSize, rows: Rows) -> Episode:
    """The tasks of these rows, [T, ...], as float32 on the data's device."""
    device = data.x.device

    def batch(at: Tensor, per_class: int) -> tuple[Tensor, Tensor]:
        y = one_hot(size.way, per_class).to(device).expand(len(at), -1, -1)
        return data.as_float(data.x[at.to(device)]), y

    support, query = batch(rows.support, size.shot), batch(rows.query, size.queries)
    return Episode(*support, *query, rows.classes.to(device))


def sample(data: LabelledSet, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
    """A batch of T tasks, [T, ...], as float32 on the data's device."""
    return taken(data, size, draw_rows(data, size, tasks=tasks, generator=generator))
