"""Named classes: a set whose tasks are one domain each, a person or a device, with all its classes.

A domain is called by its values: `12/1`, the first session of person 12. What stands before the
first `/` is the person: sets are split by persons, and results are means over them. Within a domain
every example belongs to a recording, of which the support set and the queries never share one.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.trainer.episodes import Episode, Rows, TaskSize, rows_of, take
from handful.trainer.settings.errors import DataError

from .distortions import Distortion, change_of
from .labelled import EVERYWHERE, ClassFacts, LabelledSet, Within, as_kind
from .layout import natural, select_classes
from .splits import Part, choose, shorten

ATTEMPTS, FEW = 50, 3  # at two sides on which every class has an example; classes in a message
ALIKE = 0.8  # of two names' letters


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How many examples the classes of a training task have: each its own number."""

    shots: tuple[int, ...]
    partial: float = 0.0  # the share of steps whose tasks have examples of half of the classes
    empty: float = 0.0  # and the share of those that have none

    def draw(self, way: int, tasks: int, generator: torch.Generator) -> Tensor:
        """Examples of each class of each task, [T, N]; in all as many in every task of a step."""
        chance = float(torch.rand((), generator=generator))
        at = torch.randint(len(self.shots), (way,), generator=generator)
        shots = torch.tensor(self.shots)[at]
        if chance < self.empty:
            shots[:] = 0
        elif chance < self.empty + self.partial:
            shots[way // 2 :] = 0
        order = torch.stack([torch.randperm(way, generator=generator) for _ in range(tasks)])
        return shots[order]


def person_of(domain: str) -> str:
    """Whose the domain is."""
    return domain.partition("/")[0]


def _empty() -> Tensor:
    return torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class DomainSet(LabelledSet):
    """A labelled set with the domain and the recording of every example.

    `facts` are of each domain, not of each class.
    """

    domain: Tensor = field(default_factory=_empty)  # [M] int64, of each row, among `domains`
    recording: Tensor = field(default_factory=_empty)  # [M] int64, of each row, within its domain
    domains: tuple[str, ...] = ()
    mix: Mix | None = None  # of training tasks; None: as many examples of each class as asked for

    @property
    def of_domain(self) -> Tensor:
        """The domain of each row."""
        return self.domain.to(self.x.device)

    @property
    def named(self) -> tuple[str, ...]:
        """All its classes."""
        return self.classes

    def mix_domains(self) -> LabelledSet:
        """The same examples in tasks over all domains."""
        return as_kind(AllDomains, self, within=EVERYWHERE)

    def with_drawing(
        self, within: Within, distort: Distortion | None = None, mix: Mix | None = None
    ) -> DomainSet:
        """The same set, whose tasks hold distorted examples, or mixed numbers of them."""
        return replace(self, within=within, distort=distort, mix=mix)

    def take_domains(self, chosen: Sequence[int]) -> DomainSet:
        """The set of these domains, in this order."""
        number = torch.full((len(self.domains),), -1)
        number[list(chosen)] = torch.arange(len(chosen))
        rows = (number[self.domain] >= 0).nonzero()[:, 0]
        return replace(
            self,
            x=self.x[rows],
            counts=self.labels[rows].bincount(minlength=len(self.classes)),
            domain=number[self.domain[rows]],
            recording=self.recording[rows],
            domains=tuple(self.domains[d] for d in chosen),
            facts={
                name: self.facts[name] for d in chosen if (name := self.domains[d]) in self.facts
            },
        )

    def take_classes(self, names: Sequence[str]) -> DomainSet:
        """The set of these classes in this order; of all, where none are given."""
        if not names:
            return self
        select_classes(names, self.classes)
        order = torch.cat(
            [(self.labels == self.classes.index(name)).nonzero()[:, 0] for name in names]
        )
        return replace(
            self,
            x=self.x[order],
            counts=torch.stack([self.counts[self.classes.index(name)] for name in names]),
            classes=tuple(names),
            domain=self.domain[order],
            recording=self.recording[order],
        )

    def take(self, classes: Sequence[int]) -> DomainSet:
        """The set of these classes, in this order."""
        return self.take_classes([self.classes[c] for c in classes])

    @cached_property
    def tables(self) -> list[list[tuple[Tensor, Tensor]]]:
        """Of each domain and class its rows and their recordings."""
        domain, recording, labels = (t.cpu() for t in (self.domain, self.recording, self.labels))
        tables = []
        for d in range(len(self.domains)):
            rows = (domain == d).nonzero()[:, 0]
            of_class = (rows[labels[rows] == c] for c in range(len(self.classes)))
            tables.append([(at, recording[at]) for at in of_class])
        return tables

    @cached_property
    def usable(self) -> list[int]:
        """The domains from which a task can be drawn: every class on both sides."""
        generator = torch.Generator().manual_seed(0)
        return [d for d in range(len(self.domains)) if self._sides(d, generator) is not None]

    def _sides(self, d: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]] | None:
        """The rows of each class on the support side and on the other; None where there are none.

        Half of the domain's recordings, drawn anew, are on either side; half of each class's where
        none holds two classes.
        """
        table = self.tables[d]
        sets = [torch.unique(of_class) for _, of_class in table]
        recordings = torch.unique(torch.cat(sets))
        apart = len(recordings) == sum(map(len, sets))
        for _ in range(ATTEMPTS if len(recordings) > 1 else 0):
            halves = []
            for own in sets if apart else [recordings]:
                order = own[torch.randperm(len(own), generator=generator)]
                halves.append(order[: (len(order) + 1) // 2])
            chosen = torch.cat(halves)
            on_side = [(rows, torch.isin(of_class, chosen)) for rows, of_class in table]
            if all(bool(side.any()) and not bool(side.all()) for _, side in on_side):
                return [(rows[side], rows[~side]) for rows, side in on_side]
        return None

    def recordings(self) -> list[list[int]]:
        """How many recordings each class has in each domain."""
        return [[len(torch.unique(of)) for _, of in table] for table in self.tables]

    def say_lacking(self, domains: Iterable[int]) -> str:
        """What the domains lack for a task, and which lack it."""
        counts = self.recordings()
        lacking: dict[str, list[str]] = {}
        for d in domains:
            lacking.setdefault(self._lacking(counts[d]), []).append(self.domains[d])
        return "; ".join(f"{shorten(names)} ({what})" for what, names in lacking.items())

    def find_alike(self) -> list[str]:
        """Pairs of classes with nearly one name, of which no domain has both."""
        counts = [list(of_class) for of_class in zip(*self.recordings(), strict=True)]
        folded = [name.casefold() for name in self.classes]
        return [
            f"{self.classes[a]} and {self.classes[b]}"
            for a, b in combinations(range(len(folded)), 2)
            if difflib.SequenceMatcher(None, folded[a], folded[b]).ratio() > ALIKE
            and not any(map(min, zip(counts[a], counts[b], strict=True)))
        ]

    def _lacking(self, counts: Sequence[int]) -> str:
        for fewest, words in ((0, "no"), (1, "one recording of")):
            names = [n for n, count in zip(self.classes, counts, strict=True) if count == fewest]
            if names:
                more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
                return f"{words} {', '.join(names[:FEW])}{more}"
        return "no half of its recordings has every class"

    def draw(self, size: TaskSize, generator: torch.Generator) -> Rows:
        """One task [1, ...] of a domain: as many examples of each class, or of `given` of them."""
        way = len(self.classes)
        shots = torch.full((way,), size.shot)
        if size.given is not None:
            shots[torch.randperm(way, generator=generator)[size.given :]] = 0
        return self.task(shots, size.queries, generator)

    def task(
        self,
        shots: Tensor,
        queries: int,
        generator: torch.Generator,
        *,
        repeat: bool = False,
    ) -> Rows:
        """One task [1, ...] with `shots` [N] examples of the classes and `queries` of each.

        Where there are fewer queries some come twice; so do support examples if they may `repeat`,
        else their rows are −1.
        """
        if not self.usable:
            raise DataError("no domain has every class in two recordings")
        d = self.usable[int(torch.randint(len(self.usable), (), generator=generator))]
        sides = self._sides(d, generator)
        assert sides is not None  # else it were not usable
        support, query = [], []
        for (given, asked), shot in zip(sides, shots.tolist(), strict=True):
            support.append(_some(given, shot, generator, repeat=repeat))
            query.append(_some(asked, queries, generator, repeat=True))
        numbers = torch.arange(len(shots))
        task = (
            torch.cat(support),
            numbers.repeat_interleave(shots),
            torch.cat(query),
            numbers.repeat_interleave(queries),
            numbers,
        )
        return Rows(*(part[None] for part in task))

    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        """Tasks of one domain each; with a `mix` of so many examples as it draws.

        Where examples are distorted those of a task are one person's, support and queries alike.
        """
        if self.mix is None:
            rows = [self.draw(size, generator) for _ in range(tasks)]
        else:
            drawn = self.mix.draw(len(self.classes), tasks, generator)
            rows = [self.task(of, size.queries, generator, repeat=True) for of in drawn]
        whole = Rows(*(torch.cat(part) for part in zip(*rows, strict=True)))
        if self.distort is None:
            return take(self, size, whole)
        episode = take(self, size, whole, lambda x: x)
        x = torch.cat([episode.support_x, episode.query_x], dim=1)
        of = torch.arange(tasks, device=x.device).repeat_interleave(x.shape[1])
        change = change_of(self.x, self.distort, self.log_mel, where="the data")
        changed = change(x.flatten(0, 1), generator, of).reshape(x.shape)
        changed = self._scale(changed) if self.x.dtype == torch.uint8 else changed
        count = episode.support_x.shape[1]
        return episode._replace(support_x=changed[:, :count], query_x=changed[:, count:])

    def persons(self, size: TaskSize, *, episodes: int, seed: int) -> Array:
        """The number of the person of each task of this seed, [E]."""
        rows = rows_of(self, size, episodes=episodes, seed=seed)
        names = [person_of(name) for name in self.domains]
        number = {name: n for n, name in enumerate(dict.fromkeys(names))}
        of_domain = torch.tensor([number[name] for name in names])
        found: Array = of_domain[self.domain.cpu()[rows.query[:, 0]]].numpy()
        return found

    def check(self, size: TaskSize, *, where: str, prefix: str = "") -> None:
        """Refuse a set from which no task can be drawn."""
        if not self.usable:
            counts = [of_class for of_class in zip(*self.recordings(), strict=True)]
            kept = [name for name, of in zip(self.classes, counts, strict=True) if min(of) > 1]
            fewer = f" = {json.dumps(kept, ensure_ascii=False)}" if len(kept) > 1 else ""
            alike = "".join(f"are {pair} one class? " for pair in self.find_alike()[:FEW])
            raise DataError(
                f"none of the {len(self.domains)} domains of {where} has every class in two"
                f" recordings or more: {self.say_lacking(range(len(self.domains)))}",
                hint=f"{alike}support and query never share a recording: name finer ones with"
                f" data.recording, or fewer classes with data.classes{fewer}",
            )
        if self.distort is not None:
            self.mix_domains().check(replace(size, shot=1, queries=1, given=None), where=where)

    def holds(self, shots: Sequence[int]) -> bool:
        """Whether the numbers are of all classes."""
        return len(shots) == len(self.classes)

    def draw_uneven(
        self, shots: Sequence[int], *, queries: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Support [S, ...], one-hot labels [S, N] and queries [N·queries, ...] on the CPU."""
        rows = self.task(torch.tensor(shots), queries, generator, repeat=True)
        x, query = (self.x[at[0].to(self.x.device)].cpu() for at in (rows.support, rows.query))
        return self.as_float(x), torch.eye(len(shots))[rows.support_y[0]], self.as_float(query)


def describe_domains(data: DomainSet) -> str:
    """One line: persons, domains, recordings; recordings and examples of a class in a domain."""
    persons = list(dict.fromkeys(map(person_of, data.domains)))
    pairs = torch.stack([data.domain, data.recording])
    recordings = torch.unique(pairs, dim=1).shape[1]
    counts = [len(rows) for table in data.tables for rows, _ in table]
    each = [count for of_domain in data.recordings() for count in of_domain]
    return (
        f"{len(persons)} persons, {len(data.domains)} domains, {recordings} recordings; of a class"
        f" in a domain {min(each)} to {max(each)} recordings, {min(counts)} to {max(counts)}"
        " examples"
    )


def list_doubts(parts: Mapping[Part, LabelledSet]) -> list[str]:
    """What somebody should know before results are believed: a sentence each."""
    where: dict[str, list[str]] = {}
    for part, data in parts.items():
        for doubt in doubts_about(data) if isinstance(data, DomainSet) else ():
            where.setdefault(doubt, []).append(part)
    return [f"{', '.join(names)}: {doubt}" for doubt, names in where.items()]


def doubts_about(data: DomainSet) -> Iterator[str]:
    """Those of one part."""
    if left := [d for d in range(len(data.domains)) if d not in set(data.usable)]:
        yield (
            f"no task is drawn from {data.say_lacking(left)}, as support and query never share a"
            " recording"
        )
    if left and (alike := data.find_alike()):
        yield f"no domain has both {', or both '.join(alike[:FEW])}: are they one class?"
    persons = {person_of(data.domains[d]) for d in data.usable}
    if len(persons) == 1:
        yield (
            f"all tasks are of one person, {persons.pop()}: what is measured on them says nothing"
            " of others, and its interval is 0"
        )
    pairs = torch.stack([data.domain, data.recording])
    if len(data.x) and torch.unique(pairs, dim=1).shape[1] == len(data.x):
        yield (
            "every example is a recording of its own; if they are windows of longer ones, these"
            " overlap both sides of a task and accuracies are too good: name the recording with"
            " data.recording, or in data.files with {recording}"
        )


@dataclass(frozen=True)
class AllDomains(LabelledSet):
    """The examples of all domains together; a task has all classes, in any order."""

    def size(self, way: int, shot: int, queries: int) -> TaskSize:
        """A task of all classes."""
        return TaskSize(len(self.classes), shot, queries)


def _some(rows: Tensor, count: int, generator: torch.Generator, *, repeat: bool) -> Tensor:
    """So many of the rows in random order; what they lack comes again, or is −1."""
    order = rows[torch.randperm(len(rows), generator=generator)]
    if len(order) >= count:
        return order[:count]
    if repeat:
        return order.repeat(-(-count // len(order)))[:count]
    return torch.cat([order, order.new_full((count - len(order),), -1)])


def add_domains(
    data: LabelledSet,
    domain: Sequence[str],
    recording: Sequence[object] | None,
) -> DomainSet:
    """The set with the domain and the recording of each row; without any each is its own."""
    names = sorted(set(domain), key=natural)
    number = {name: n for n, name in enumerate(names)}
    of_row = torch.tensor([number[name] for name in domain])
    if recording is None:
        recordings = torch.arange(len(domain))
    else:
        known: dict[object, int] = {}
        recordings = torch.tensor([known.setdefault(value, len(known)) for value in recording])
    return as_kind(DomainSet, data, domain=of_row, recording=recordings, domains=tuple(names))


def choose_domains(
    domains: Sequence[str], how: str, part: Part, seed: int, recorded: Sequence[str] | None = None
) -> list[int]:
    """The domains of the persons of a part, by position: at random, or by a JSON file.

    Where a run has recorded its domains these are taken.
    """
    if recorded is not None:
        return choose(domains, how, part, seed, recorded, what="domain")
    persons = tuple(dict.fromkeys(map(person_of, domains)))
    chosen = {persons[p] for p in choose(persons, how, part, seed, what="person")}
    return [d for d, name in enumerate(domains) if person_of(name) in chosen]


def fingerprint_domains(data: DomainSet) -> dict[str, ClassFacts]:
    """Each domain by its examples, with their classes and recordings, in the order of the set."""
    head = f"{data.x.dtype} {list(data.x.shape[1:])} {' '.join(data.classes)}".encode()
    labels = data.labels
    facts = {}
    for d, name in enumerate(data.domains):
        rows = (data.domain == d).nonzero()[:, 0]
        digest = hashlib.sha256(head)
        for part in (
            data.x[rows],
            labels[rows],
            torch.unique(data.recording[rows], return_inverse=True)[1],
        ):
            digest.update(part.numpy().tobytes())
        facts[name] = ClassFacts(len(rows), digest.hexdigest()[:16])
    return facts
