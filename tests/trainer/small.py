"""Small data that the trainer's tests share."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.data.domains import DomainSet, add_domains
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.sources.pictures import drawing_spec
from handful.trainer.episodes import Episode
from handful.trainer.form.stage import Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.operations.normalise import Normalisation

SIZE, FEATURES, WAY = 20, 10, 5  # 20 → 10 → 5 → 3 → 2: four pixels for statistics at the end
IMAGE = drawing_spec(SIZE)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(classes: int = 60, each: int = 8, seed: int = 0) -> LabelledSet:
    """A random picture a class, and noise on it."""
    draw = generator(seed)
    prototypes = torch.randint(0, 256, (classes, 1, SIZE, SIZE, 1), generator=draw).float()
    noise = torch.randn(classes, each, SIZE, SIZE, 1, generator=draw) * 40
    x = (prototypes + noise).clamp(0, 255).to(torch.uint8).flatten(0, 1)
    return LabelledSet(x, torch.full((classes,), each), names(classes), IMAGE)


def vectors(classes: int = 60, each: int = 8, size: int = FEATURES, seed: int = 0) -> LabelledSet:
    """A random vector a class, and noise on it."""
    draw = generator(seed)
    prototypes = torch.randn(classes, 1, size, generator=draw)
    x = (prototypes + 0.4 * torch.randn(classes, each, size, generator=draw)).flatten(0, 1)
    spec = InputSpec(kind="array", shape=(size,))
    return LabelledSet(x, torch.full((classes,), each), names(classes), spec)


def of_persons(data: LabelledSet, persons: int = 4) -> DomainSet:
    """Its first classes as named ones: each person has four recordings with every class twice."""
    taken = data.take(range(WAY))
    each = 2 * persons * 4
    rows = torch.arange(each).repeat(WAY) % int(taken.counts[0])
    rows = rows + torch.arange(WAY).repeat_interleave(each) * int(taken.counts[0])
    person = [f"p{row % persons}" for row in range(each)] * WAY
    recording = [str(row // persons % 4) for row in range(each)] * WAY
    shift = torch.arange(each) % persons  # of a person: float examples differ by it
    x = taken.x[rows]
    if x.is_floating_point():
        x = x + 0.3 * shift.repeat(WAY).reshape(-1, *[1] * (x.ndim - 1))
    counts = torch.full((WAY,), each)
    return add_domains(replace(taken, x=x, counts=counts), person, recording)


def names(classes: int) -> tuple[str, ...]:
    return tuple(f"class {c}" for c in range(classes))


def double(tensors: Tensors) -> Tensors:
    """The floats among them in float64."""
    return {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}


def double_episode(episode: Episode) -> Episode:
    return Episode(*(t.double() if t.is_floating_point() else t for t in episode))


def uneven(
    data: LabelledSet, shots: list[int], *, queries: int = 2, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Support [S, ...], one-hot labels and queries of a task with these shots.

    Of named classes the task has all, and those that have no shots have no examples.
    """
    if data.named is not None:
        shots = [*shots, *[0] * (len(data.classes) - len(shots))][: len(data.classes)]
        return data.draw_uneven(shots, queries=queries, generator=generator(seed))
    classes = torch.randperm(len(data.classes), generator=generator(seed))[: len(shots)].tolist()
    starts = data.start.tolist()
    support = [range(starts[c], starts[c] + shot) for c, shot in zip(classes, shots, strict=True)]
    query = [
        range(starts[c] + shot, starts[c] + shot + queries)
        for c, shot in zip(classes, shots, strict=True)
    ]
    y = torch.eye(len(shots)).repeat_interleave(torch.tensor(shots), dim=0)
    x, q = (data.x[[row for rows in part for row in rows]] for part in (support, query))
    return data.as_float(x), y, data.as_float(q)


def conv4(normalisation: Normalisation, filters: int = 8) -> NetworkConfig:
    return NetworkConfig(filters=filters, halving="stride", normalisation=normalisation)


def relation_conv4() -> NetworkConfig:
    """Maps of 5×5, whose sides the relation module halves twice."""
    return NetworkConfig(filters=8, halvings=2)


VECTOR = InputSpec(kind="array", shape=(3,))


def series(classes: int = 60, each: int = 8, seed: int = 0) -> LabelledSet:
    """A random path in the plane a class, a third channel, and noise on them: [16, 3]."""
    draw = generator(seed)
    prototypes = torch.randn(classes, 1, 16, 3, generator=draw)
    x = (prototypes + 0.4 * torch.randn(classes, each, 16, 3, generator=draw)).flatten(0, 1)
    spec = InputSpec(kind="array", shape=(16, 3))
    return LabelledSet(x, torch.full((classes,), each), names(classes), spec)
