"""Episodes: what a task is, how large, and where tasks come from: classes, functions, worlds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.evaluate import Episodes


@dataclass(frozen=True)
class TaskSize:
    """An N-way K-shot task: way is N, shot is K; `queries` counts the queries of one class.

    A regression has one function where others have N classes: its way is 1. Where the classes are
    named a task has all of them, and examples of `given` of them alone; None: of all.
    """

    way: int
    shot: int
    queries: int
    given: int | None = None

    def __str__(self) -> str:
        """As people say it."""
        if self.way == 1:
            return f"{self.shot} example{'s'[: self.shot > 1]}"
        if self.given is not None:
            return f"{self.way}-way {self.shot}-shot, {self.given} of the classes given"
        return f"{self.way}-way {self.shot}-shot"

    @property
    def examples(self) -> int:
        """Support examples in all."""
        return self.shot * (self.way if self.given is None else self.given)


class Episode(NamedTuple):
    """An N-way K-shot task, or a batch of T of them with a leading [T].

    In regression the targets [S, O] stand in place of one-hot labels [S, N]; of a policy what it
    did, see `trainer/form/task.py`.
    """

    support_x: Tensor  # [S, ...] float32, S = N * K
    support_y: Tensor  # [S, N] one-hot
    query_x: Tensor  # [Q, ...], Q = N * queries
    query_y: Tensor  # [Q, N] one-hot
    classes: Tensor  # [N] int64, which of the set's classes they are: for losses over all classes


# what tasks are of: classes that are others each time, the same named classes, numbers, or what a
# policy did
Asked = Literal["classification", "named classes", "regression", "policy"]


@dataclass(frozen=True)
class Asks:
    """What tasks ask for, beside classes that are others each time: one of these, or none."""

    targets: int | None = None  # the numbers that a regression predicts
    # how many classes every task has where these keep their meaning and their order; any of them
    # may have no example, or all of them
    named_way: int | None = None
    actions: int | None = None  # the numbers that a policy sets

    @property
    def kind(self) -> Asked:
        """What that is called."""
        if self.actions is not None:
            return "policy"
        if self.named_way is not None:
            return "named classes"
        return "classification" if self.targets is None else "regression"


CLASSES = Asks()


class EpisodeSource(ABC):
    """Where tasks come from: `episodes` draws them, and a source of one's own has no more to do."""

    input: InputSpec  # what one example is
    # O, the numbers that a regression predicts, of a policy its actions and their advantage;
    # None: classes
    targets: int | None = None
    actions: int | None = None  # A, the numbers that a policy sets; None: no policy is asked for

    @property
    def named(self) -> tuple[str, ...] | None:
        """The classes of every task, in their order; None: each task has others, in any order."""
        return None

    @property
    def asks(self) -> Asks:
        """What its tasks ask of a learner."""
        if self.actions is not None:
            return Asks(actions=self.actions)
        if self.named is not None:
            return Asks(named_way=len(self.named))
        return Asks(targets=self.targets)

    @abstractmethod
    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        """A batch of T tasks, [T, ...], as float32; the same for the same state of the generator.

        The generator is a CPU one whatever the device, so that every device draws the same tasks.
        In regression `size.shot` and `size.queries` are all support examples and all queries.
        """

    def check(self, size: TaskSize, *, where: str, prefix: str = "") -> None:  # noqa: B027
        """Refuse tasks of a size that the source cannot fill; a function fills any.

        `where` is what to call the source, `prefix` what the names of the settings begin with.
        """

    def to(self, device: torch.device) -> EpisodeSource:
        """The same source, whose episodes lie on the device."""
        return self if device.type == "cpu" else OnDevice(self, device)

    def embed_with(self, embed: Callable[[Tensor], Tensor]) -> EpisodeSource:
        """The same tasks of embedded examples; `embed` takes x [B, ...] to h [B, ...]."""
        return Embedded(self, embed)

    def played_by(
        self, learner: Any, params: Mapping[str, Tensor], *, rounds: int = 1
    ) -> EpisodeSource:
        """The source whose tasks this learner makes as it is now; most do not depend on it."""
        return self

    def take_some(self, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """At most `count` examples [M, ...] as the learner sees them, to prepare its start on.

        With them their classes [M] int64, in regression their targets [M, O], and the domain of
        each [M] int64, 0 where all are of one.
        """
        size = TaskSize(1, PER_TASK, PER_TASK)
        generator = torch.Generator().manual_seed(seed)
        tasks = -(-count // PER_TASK)
        drawn = self.episodes(size, tasks=tasks, generator=generator)
        classes = drawn.classes.repeat_interleave(PER_TASK, dim=1)
        y = classes if self.targets is None else drawn.support_y
        x, y = drawn.support_x.flatten(0, 1)[:count], y.flatten(0, 1)[:count]
        return x, y, torch.zeros(len(x), dtype=torch.int64, device=x.device)

    def holds(self, shots: Sequence[int]) -> bool:
        """Whether it has a task with so many examples of each class, and one more of each."""
        return True

    def draw_uneven(
        self, shots: Sequence[int], *, queries: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Support [S, ...], labels or targets [S, ...] and queries of one task, on the CPU.

        Class n has `shots[n]` examples and `queries` queries; a function has as many in all.
        """
        size = TaskSize(1, sum(shots), queries * len(shots))
        drawn = self.episodes(size, tasks=1, generator=generator)
        support_x, support_y, query_x = (part[0].cpu() for part in drawn[:3])
        return support_x, support_y, query_x

    def size(self, way: int, shot: int, queries: int) -> TaskSize:
        """The size of its tasks: a regression has one function where others have N classes.

        Where the classes are named a task has all of them, whatever `way` is.
        """
        if self.named is not None:
            return TaskSize(len(self.named), shot, queries)
        return TaskSize(way if self.targets is None else 1, shot, queries)

    def persons(self, size: TaskSize, *, episodes: int, seed: int) -> Array | None:
        """Whose each of the tasks of this seed is, [E]: results are means over these.

        None: every task stands for itself.
        """
        return None

    def mix_domains(self) -> EpisodeSource:
        """The same examples in tasks that mix all domains: for a classifier for everybody."""
        return self


PER_TASK = 10  # examples of a task, where some are drawn to prepare on


class OnDevice(EpisodeSource):
    """Another source's tasks, moved to a device."""

    def __init__(self, source: EpisodeSource, device: torch.device) -> None:
        """`source` draws on the CPU."""
        self.source, self.device = source, device
        self.input, self.targets, self.actions = source.input, source.targets, source.actions

    @property
    def named(self) -> tuple[str, ...] | None:
        """Those of the other source."""
        return self.source.named

    def played_by(
        self, learner: Any, params: Mapping[str, Tensor], *, rounds: int = 1
    ) -> EpisodeSource:
        """The other source's, where it draws: on the CPU."""
        there = {name: value.cpu() for name, value in params.items()}
        return OnDevice(self.source.played_by(learner, there, rounds=rounds), self.device)

    def size(self, way: int, shot: int, queries: int) -> TaskSize:
        """As the other source has it."""
        return self.source.size(way, shot, queries)

    def check(self, size: TaskSize, *, where: str, prefix: str = "") -> None:
        """As the other source does."""
        self.source.check(size, where=where, prefix=prefix)

    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        """As the other source draws them."""
        drawn = self.source.episodes(size, tasks=tasks, generator=generator)
        return Episode(*(part.to(self.device) for part in drawn))


class Embedded(EpisodeSource):
    """Another source's tasks, embedded when they are drawn."""

    def __init__(self, source: EpisodeSource, embed: Callable[[Tensor], Tensor]) -> None:
        """`embed` takes x [B, ...] to h [B, ...]."""
        self.source, self.embed = source, embed
        self.input, self.targets = source.input, source.targets

    @property
    def named(self) -> tuple[str, ...] | None:
        """Those of the other source."""
        return self.source.named

    @torch.no_grad()
    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        """As the other source draws them."""
        drawn = self.source.episodes(size, tasks=tasks, generator=generator)
        support_x, query_x = (
            torch.unflatten(self.embed(x.flatten(0, 1)), 0, x.shape[:2])
            for x in (drawn.support_x, drawn.query_x)
        )
        return drawn._replace(support_x=support_x, query_x=query_x)


class Rows(NamedTuple):
    """Many tasks of one size as rows of a labelled set.

    A row of −1 is none at all: where a class has fewer examples than were asked for.
    """

    support: Tensor  # [E, S]
    support_y: Tensor  # [E, S], 0 to N − 1
    query: Tensor  # [E, Q]
    query_y: Tensor  # [E, Q]
    classes: Tensor  # [E, N]


class Labelled(Protocol):
    """What drawing by index reads of a labelled set."""

    @property
    def x(self) -> Tensor: ...  # noqa: D102
    @property
    def counts(self) -> Tensor: ...  # noqa: D102
    @property
    def start(self) -> Tensor: ...  # noqa: D102
    def as_float(self, x: Tensor) -> Tensor: ...  # noqa: D102
    def draw_classes(self, way: int, generator: torch.Generator) -> Tensor: ...  # noqa: D102
    def draw(self, size: TaskSize, generator: torch.Generator) -> Rows: ...  # noqa: D102


def draw(data: Labelled, size: TaskSize, generator: torch.Generator) -> Rows:
    """One task [1, ...], grouped by class: K and `queries` rows of each, each drawn once.

    The generator is a CPU one whatever the device, so that every device draws the same tasks.
    """
    classes = data.draw_classes(size.way, generator)
    counts = data.counts.cpu()[classes]
    keys = torch.rand(size.way, int(counts.max()), generator=generator)
    keys[torch.arange(keys.shape[1]) >= counts[:, None]] = 2.0  # past a class's end: drawn last
    rows = data.start.cpu()[classes][:, None] + keys.argsort(dim=1)[:, : size.shot + size.queries]
    numbers = torch.arange(size.way)
    task = (
        rows[:, : size.shot].reshape(-1),
        numbers.repeat_interleave(size.shot),
        rows[:, size.shot :].reshape(-1),
        numbers.repeat_interleave(size.queries),
        classes,
    )
    return Rows(*(part[None] for part in task))


def draw_rows(data: Labelled, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Rows:
    """The rows of so many tasks, one after the other from the generator."""
    drawn = [data.draw(size, generator) for _ in range(tasks)]
    return Rows(*(torch.cat(part) for part in zip(*drawn, strict=True)))


def rows_of(data: Labelled, size: TaskSize, *, episodes: int, seed: int) -> Rows:
    """The rows of the tasks of this seed: the same for embedded data and for the raw."""
    generator = torch.Generator().manual_seed(seed)
    return draw_rows(data, size, tasks=episodes, generator=generator)


def as_episodes(rows: Rows) -> Episodes:
    """The tasks as the runtime takes them."""
    return Episodes(*(part.numpy() for part in rows[:4]))


def take(
    data: Labelled,
    size: TaskSize,
    rows: Rows,
    as_met: Callable[[Tensor], Tensor] | None = None,
) -> Episode:
    """The tasks of these rows, [T, ...], as float32 on the data's device.

    `as_met` gives examples [B, ...] as the learner meets them, by default as the data have them.
    A single task leaves out rows that are none; of several none may be.
    """
    device = data.x.device
    as_met = as_met or data.as_float
    if len(rows.support) == 1:
        there = rows.support[0] >= 0
        rows = rows._replace(support=rows.support[:, there], support_y=rows.support_y[:, there])

    def batch(at: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.eye(size.way)[classes].to(device)
        x = data.x[at.to(device)]
        return as_met(x.flatten(0, 1)).reshape(*x.shape), y

    support, query = batch(rows.support, rows.support_y), batch(rows.query, rows.query_y)
    return Episode(*support, *query, rows.classes.to(device))


def sample(
    data: Labelled,
    size: TaskSize,
    *,
    tasks: int,
    generator: torch.Generator,
    as_met: Callable[[Tensor], Tensor] | None = None,
) -> Episode:
    """A batch of T tasks, [T, ...], as float32 on the data's device."""
    return take(data, size, draw_rows(data, size, tasks=tasks, generator=generator), as_met)
