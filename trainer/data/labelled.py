"""A labelled set: all examples in memory, sorted by class, drawn from by index.

Tasks may take their classes within groups: from one alphabet, or from a few, and not from all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec, Seen
from handful.trainer.data.distortions.pictures import DistortConfig
from handful.trainer.episodes import Episode, EpisodeSource, Rows, TaskSize, draw, sample
from handful.trainer.settings.errors import DataError

from .distortions import Distortion, change_of
from .log_mel import LogMelConfig


@dataclass(frozen=True)
class Within:
    """Which tasks take their classes from few groups, as from one alphabet, and from how many."""

    share: float = 0.0  # of the tasks; the others draw from all classes
    groups: int = 1  # of such a task, which takes as many classes from each, or one less

    def least(self, way: int) -> int:
        """The classes that a group must have, to be drawn for a task of so many."""
        return -(-way // self.groups)


EVERYWHERE, ONE_GROUP = Within(), Within(share=1.0)


def draw_classes(
    count: int,
    large_groups: Callable[[int], Sequence[Tensor]],
    way: int,
    generator: torch.Generator,
    within: Within,
) -> Tensor:
    """The classes of a task [N], of all `count` or of few groups.

    `large_groups` gives the classes of each group that has at least so many. Each of them is as
    likely as any other; smaller ones are never drawn.
    """
    # a share of 0 or 1 decides nothing by chance: 0 draws what was drawn before there were groups
    chance = 0 < within.share < 1
    if not within.share or (chance and float(torch.rand((), generator=generator)) >= within.share):
        return torch.randperm(count, generator=generator)[:way]
    groups = large_groups(within.least(way))
    picked = torch.randperm(len(groups), generator=generator)[: within.groups].tolist()
    classes = []
    for n, group in enumerate(picked):
        members, wanted = groups[group], (way + n) // within.groups
        classes.append(members[torch.randperm(len(members), generator=generator)[:wanted]])
    return torch.cat(classes)


BATCH = 512  # examples embedded at a time
TURN = ((0.0, -1.0), (1.0, 0.0))  # a quarter turn of places written as rows
MIRROR = ((-1.0, 0.0), (0.0, 1.0))  # left and right change places
SEEN, PERCENTILES = 8192, torch.tensor([0.01, 0.99], dtype=torch.float64)  # for the manifest
Apply = Callable[[Callable[[Tensor], Tensor], Iterable[Tensor]], Iterable[Tensor]]


class ClassFacts(NamedTuple):
    """What a class was when it was read: by this a later reading sees whether it is the same."""

    examples: int
    fingerprint: str  # the first 16 hex digits of a sha256 over all of them, in their order


@dataclass(frozen=True)
class LabelledSet(EpisodeSource):
    """Examples [M, ...] sorted by class, uint8 pixels [M, H, W, C] or float32 anything.

    Where a frozen backbone made the embeddings in `x`, `pictures` describes what it reads; an
    exported package begins there. Where they are log-mel energies, `log_mel` says how they came
    about. `facts` and `left_out` are of the source as it was read, before
    anything was rotated, embedded or taken from it.
    """

    x: Tensor
    counts: Tensor  # [C] int64: class c is the rows start[c] .. start[c] + counts[c]
    classes: tuple[str, ...]
    input: InputSpec
    pictures: InputSpec | None = None
    facts: Mapping[str, ClassFacts] = field(default_factory=dict)  # of each class that was read
    left_out: tuple[str, ...] = ()  # files that could not be read, by their path in the source
    groups: tuple[str, ...] = ()  # of each class, "" where it has none; (): none has one
    within: Within = EVERYWHERE  # which of its tasks come from few groups
    distort: Distortion | None = None  # of the examples of its tasks
    log_mel: LogMelConfig | None = None  # of energies of sounds

    @property
    def start(self) -> Tensor:
        """The first row of each class, [C]."""
        return self.counts.cumsum(0) - self.counts

    @property
    def labels(self) -> Tensor:
        """The class of each row, [M] int64."""
        numbers = torch.arange(len(self.counts), device=self.counts.device)
        return numbers.repeat_interleave(self.counts)

    def to(self, device: torch.device) -> LabelledSet:
        """The same set on a device."""
        return replace(self, x=self.x.to(device), counts=self.counts.to(device))

    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        """Tasks of `size.way` classes, their examples drawn without replacement."""
        as_met = partial(self._distort, generator=generator) if self.distort else None
        return sample(self, size, tasks=tasks, generator=generator, as_met=as_met)

    def with_drawing(self, within: Within, distort: Distortion | None = None) -> LabelledSet:
        """The same set, whose tasks come from few groups, or hold distorted examples."""
        return replace(self, within=within, distort=distort)

    def draw(self, size: TaskSize, generator: torch.Generator) -> Rows:
        """The rows of one task, [1, ...]."""
        return draw(self, size, generator)

    def draw_classes(self, way: int, generator: torch.Generator) -> Tensor:
        """The classes of a task, by position, [N]."""
        return draw_classes(len(self.counts), self.large_groups, way, generator, self.within)

    def check(self, size: TaskSize, *, where: str, prefix: str = "") -> None:
        """Refuse tasks that need more classes, groups or examples than there are."""
        require(self, size, where=where, prefix=prefix)
        if self.distort is not None:
            change_of(self.x, self.distort, self.log_mel, where=where, prefix=prefix)

    def holds(self, shots: Sequence[int]) -> bool:
        """Whether there are so many classes, and each has the most examples and one more."""
        return len(shots) <= len(self.classes) and max(shots) < int(self.counts.min())

    def draw_uneven(
        self, shots: Sequence[int], *, queries: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Support [S, ...], one-hot labels [S, N] and queries [N·queries, ...] on the CPU."""
        classes = torch.randperm(len(self.classes), generator=generator)[: len(shots)].tolist()
        support, query, labels = [], [], []
        for n, (c, shot) in enumerate(zip(classes, shots, strict=True)):
            order = torch.randperm(int(self.counts[c]), generator=generator) + int(self.start[c])
            support.append(order[:shot])
            query.append(order[shot : shot + queries])
            labels += [n] * shot
        y = torch.eye(len(shots))[labels]
        rows = [self.x[torch.cat(part).to(self.x.device)].cpu() for part in (support, query)]
        return self.as_float(rows[0]), y, self.as_float(rows[1])

    def embed_with(self, embed: Callable[[Tensor], Tensor]) -> LabelledSet:
        """The same labels for every example embedded once."""
        return self.with_features(self.map_batches(embed))

    @torch.no_grad()
    def map_batches(
        self, function: Callable[[Tensor], Tensor], batch: int = BATCH, apply: Apply = map
    ) -> Tensor:
        """The function of all examples as the learner sees them, some at a time.

        `apply` takes it to each batch, as `map` does; that of worker processes shares them.
        """
        batches = (self.as_float(x) for x in torch.split(self.x, batch))
        return torch.cat(list(apply(function, batches)))

    @property
    def of_domain(self) -> Tensor:
        """The domain of each row, [M] int64: here all rows are of one."""
        return torch.zeros_like(self.labels)

    def take_some(self, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """At most `count` examples as the learner sees them, their classes and their domains."""
        if len(self.x) <= count:
            return self.as_float(self.x), self.labels, self.of_domain
        rows = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(seed))[:count]
        rows = rows.sort().values.to(self.x.device)
        return self.as_float(self.x[rows]), self.labels[rows], self.of_domain[rows]

    def measure_seen(self) -> Seen:
        """Of examples as the learner sees them: percentiles of their means and deviations."""
        x = self.take_some(SEEN, seed=0)[0].flatten(1).double().cpu()
        pairs = [
            tuple(float(f"{v:.6g}") for v in torch.quantile(of_each, PERCENTILES))
            for of_each in (x.mean(dim=1), x.std(dim=1, correction=0))
        ]
        return Seen(mean=(pairs[0][0], pairs[0][1]), deviation=(pairs[1][0], pairs[1][1]))

    def with_features(self, x: Tensor) -> LabelledSet:
        """The same labels for embedded examples [M, ...]."""
        spec = InputSpec(kind="array", shape=tuple(x.shape[1:]))
        return replace(self, x=x, input=spec, distort=None, log_mel=None)

    def as_float(self, x: Tensor) -> Tensor:
        """Pixels as the learner sees them, pixel · scale + offset; floats as they are."""
        return self._scale(x.float()) if x.dtype == torch.uint8 else x

    def _scale(self, pixels: Tensor) -> Tensor:
        return pixels * self.input.scale + self.input.offset

    def _distort(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Pixels, series or energies [B, ...] as a learner sees them, each distorted anew."""
        distort = self.distort or DistortConfig()
        change = change_of(self.x, distort, self.log_mel, where="the data")
        changed = change(x, generator)
        return self._scale(changed) if self.x.dtype == torch.uint8 else changed

    def take(self, classes: Sequence[int]) -> LabelledSet:
        """The set of these classes, in this order."""
        starts, counts = self.start.tolist(), self.counts.tolist()
        rows = [torch.arange(starts[c], starts[c] + counts[c]) for c in classes]
        return replace(
            self,
            x=self.x[torch.cat(rows) if rows else torch.empty(0, dtype=torch.int64)],
            counts=self.counts[torch.as_tensor(classes, dtype=torch.int64)],
            classes=tuple(self.classes[c] for c in classes),
            groups=tuple(self.groups[c] for c in classes) if self.groups else (),
        )

    def group(self, separator: str) -> LabelledSet:
        """Each class in the group that its name begins with: "Greek/alpha" in "Greek"."""
        groups = tuple(name.rpartition(separator)[0] for name in self.classes)
        return replace(self, groups=groups if any(groups) else ())

    @cached_property
    def members(self) -> dict[str, Tensor]:
        """The classes of each group, by position."""
        members: dict[str, list[int]] = {}
        for position, group in enumerate(self.groups):
            if group:
                members.setdefault(group, []).append(position)
        return {group: torch.tensor(classes) for group, classes in members.items()}

    def large_groups(self, least: int) -> list[Tensor]:
        """The classes of each group that has at least so many, by position."""
        return [classes for classes in self.members.values() if len(classes) >= least]

    def rotate(self) -> LabelledSet:
        """Four times the classes: turned by 90, 180 and 270 degrees, each is a class of its own.

        So is each turn of a group a group of its own: Greek upside down is another alphabet.
        """
        if self.x.ndim != 4 or self.x.shape[1] != self.x.shape[2]:
            raise DataError(
                f"rotations need square images, found examples of shape {list(self.x.shape[1:])}",
                hint="set data.rotations = false",
            )
        parts = torch.split(self.x, self.counts.tolist())
        return replace(
            self,
            x=torch.cat([part.rot90(k, (1, 2)) for part in parts for k in range(4)]),
            counts=self.counts.repeat_interleave(4),
            classes=tuple(f"{name}@{90 * k}" for name in self.classes for k in range(4)),
            groups=tuple(g and f"{g}@{90 * k}" for g in self.groups for k in range(4)),
        )


Kind = TypeVar("Kind", bound=LabelledSet)


def as_kind(kind: type[Kind], data: LabelledSet, **changes: Any) -> Kind:
    """The same examples and all that is known of them, as a set of another kind."""
    same = {of.name: getattr(data, of.name) for of in fields(LabelledSet)}
    return kind(**same | changes)


def label_examples(groups: Mapping[str, Tensor], spec: InputSpec, *, where: str) -> LabelledSet:
    """A set from class name → examples [K, ...]; the classes keep their order."""
    if not groups:
        raise DataError(f"no classes in {where}")
    first = next(iter(groups.values()))
    for name, x in groups.items():
        if not len(x):
            raise DataError(f"class {name} in {where} has no examples")
        if x.shape[1:] != first.shape[1:]:
            raise DataError(
                f"class {name} in {where} has examples of shape {list(x.shape[1:])},"
                f" wanted {list(first.shape[1:])} as in class {next(iter(groups))}"
            )
    return LabelledSet(
        torch.cat(list(groups.values())),
        torch.tensor([len(x) for x in groups.values()]),
        tuple(groups),
        spec,
    )


def with_symmetries(data: LabelledSet, count: Literal[1, 4, 8]) -> LabelledSet:
    """Series [M, T, C] turned by quarters in the plane of their first two channels: 4 × classes.

    With 8 each of these is mirrored as well. The turns of a group are groups of their own.

    A character upside down or in a mirror is a character that a learner has not seen, as quarter
    turns are on Omniglot (Vinyals et al. 2016). It multiplies the classes to learn from by four or
    by eight; those of validation and test stay as they are.
    """
    if data.x.dtype != torch.float32 or data.x.ndim != 3 or data.x.shape[2] < 2:
        raise DataError(
            f"data.symmetries is {count}, but the examples are not series [T, C] whose first two"
            f" channels are a plane: {str(data.x.dtype).split('.')[-1]} {list(data.x.shape[1:])}",
            hint="set data.symmetries = 1; drawings have data.rotations",
        )
    matrix, turn, mirror = torch.eye(2), torch.tensor(TURN), torch.tensor(MIRROR)
    matrices, endings = [], []
    for flipped in range(count // 4):
        for quarter in range(4):
            matrices.append(matrix)
            endings.append(f"@{90 * quarter}" + ("m" if flipped else ""))
            matrix = matrix @ turn
        matrix = mirror
    parts = torch.split(data.x, data.counts.tolist())
    x = [
        torch.cat([part[..., :2] @ matrix.to(part.device), part[..., 2:]], dim=-1)
        for part in parts
        for matrix in matrices
    ]
    return replace(
        data,
        x=torch.cat(x),
        counts=data.counts.repeat_interleave(count),
        classes=tuple(name + ending for name in data.classes for ending in endings),
        groups=tuple(g and g + ending for g in data.groups for ending in endings),
    )


def require(data: LabelledSet, size: TaskSize, *, where: str, prefix: str = "") -> None:
    """Refuse tasks that the set cannot fill: too few classes, or a class with too few examples.

    `prefix` is what the names of the settings begin with: `meta.`, `meta.validation_`, `--`.
    """
    if len(data.classes) < size.way:
        raise DataError(
            f"{where} has {len(data.classes)} classes, a task needs {size.way}",
            hint=f"lower {prefix}way, or give the split more classes",
        )
    if data.within.share:
        _require_groups(data, size.way, where=where, prefix=prefix)
    smallest = int(data.counts.argmin())
    if int(data.counts[smallest]) < size.shot + size.queries:
        raise DataError(
            f"class {data.classes[smallest]} of {where} has {int(data.counts[smallest])} examples,"
            f" a task needs {size.shot} + {size.queries}",
            hint=f"lower {prefix}shot or {prefix}queries, or leave the class out",
        )


def _require_groups(data: LabelledSet, way: int, *, where: str, prefix: str) -> None:
    """Refuse tasks within groups where too few groups have the classes for it."""
    if not data.members:
        raise DataError(
            f"the classes of {where} belong to no groups, as class {data.classes[0]}",
            hint="a group is what a class's name begins with, up to data.group_separator",
        )
    least, groups = data.within.least(way), data.within.groups
    large = data.large_groups(least)
    if len(large) < groups:
        most = max(len(classes) for classes in data.members.values())
        raise DataError(
            f"{len(large)} of {len(data.members)} groups of {where} have {least} classes or more,"
            f" a task needs {groups}; the largest has {most}",
            hint=f"lower {prefix}way, or draw from all classes",
        )
