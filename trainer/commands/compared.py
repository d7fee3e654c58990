"""What `handful compare` found: as data, as text, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import TaskName
from handful.runtime.tools.bench import Bench
from handful.runtime.tools.text import MEASURED_AS, difference, mean, table
from handful.trainer.episodes import TaskSize
from handful.trainer.evaluation import Result, summarise
from handful.trainer.evaluation.accuracy import count_as
from handful.trainer.export.card import markdown_table

Kind = Literal["run", "package", "learner", "yardstick"]
Rows = Sequence[Sequence[Any]]
NONE = "–"  # of a run, which has neither bytes nor a time on a device


@dataclass(frozen=True)
class Cost:
    """What a package takes on this machine."""

    bytes: int  # manifest and graphs
    bench: Bench

    def as_json(self) -> dict[str, Any]:
        """One flat object."""
        fields = asdict(self.bench)
        del fields["package"]
        return {"bytes": self.bytes, **fields}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One of those that are compared, with a result for each size of task."""

    name: str
    kind: Kind
    results: tuple[Result, ...]  # each compared with all references on its episodes
    cost: Cost | None = None  # of packages


@dataclass(frozen=True, kw_only=True)
class Compared:
    """All of them; a difference is an advantage over one of the `references`, by their names."""

    task: TaskName
    seed: int
    references: tuple[str, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[TaskSize, ...]:
        """The sizes of task that each was measured on."""
        return tuple(result.size for result in self.entries[0].results)

    def as_json(self) -> dict[str, Any]:
        """Plain dicts and lists, whose fields do not change their names."""
        return {
            "task": self.task,
            "seed": self.seed,
            "references": list(self.references),
            "notes": list(self.notes),
            "entries": [
                {
                    "name": entry.name,
                    "kind": entry.kind,
                    "results": [result.as_json() for result in entry.results],
                    "cost": entry.cost.as_json() if entry.cost else None,
                }
                for entry in self.entries
            ],
        }

    def as_text(self) -> str:
        """A table for each size of task, one of costs, and the notes."""
        parts = [f"{title}\n\n{table(head, rows)}" for title, head, rows in self._tables()]
        notes = "\n".join(f"note: {note}" for note in self.notes)
        return "\n\n".join(filter(None, [*parts, notes]))

    def as_markdown(self) -> str:
        """The same in Markdown."""
        parts = [f"{title}\n\n{markdown_table(head, rows)}" for title, head, rows in self._tables()]
        notes = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join(filter(None, [*parts, notes]))

    def _tables(self) -> list[tuple[str, Sequence[str], Rows]]:
        """A title, a head and rows for each table."""
        tables = [self._of_size(at, size) for at, size in enumerate(self.sizes)]
        if any(entry.cost for entry in self.entries):
            tables.append(self._costs())
        return tables

    def _of_size(self, at: int, size: TaskSize) -> tuple[str, Sequence[str], Rows]:
        number = {entry.name: place for place, entry in enumerate(self.entries, start=1)}
        better = "below" if self.task == "regression" else "above"
        head = [
            *("", "measured", "", MEASURED_AS[self.task]),
            *(f"{better} {number[name]} by" for name in self.references),
        ]
        rows = []
        for entry in self.entries:
            ahead = {other.name: difference(other) for other in entry.results[at].compared}
            rows.append(
                (
                    number[entry.name],
                    entry.name,
                    entry.kind,
                    mean(entry.results[at]),
                    *(ahead.get(name, "") for name in self.references),
                )
            )
        asked = {"classification": "queries a class", "regression": "queries"}.get(self.task)
        queries = f", {size.queries} {asked}" if asked else ""
        first = self.entries[0].results[at]
        episodes = f"{first.episodes} episodes"
        if first.persons is not None:
            episodes += f" of {first.persons} persons"
        return f"{size}{queries}, {episodes}, seed {self.seed}:", head, rows

    def _costs(self) -> tuple[str, Sequence[str], Rows]:
        costs = [(e.name, e.cost) for e in self.entries if e.kind in ("run", "package")]
        bench = next(cost.bench for _, cost in costs if cost)
        size = TaskSize(bench.way, bench.shot, 1)
        title = (
            f"on this machine, {size}, {bench.threads} thread, medians of {bench.runs}; memory is"
            " the most that a process has resident from its start to its first adapted prediction:"
        )
        head = ["package", "bytes", "embed ms", "adapt ms", "predict ms", "memory MiB"]
        rows = [[name, *_numbers(cost)] for name, cost in costs]
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        aligned = [
            [row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            for row in [head, *rows]
        ]
        return title, aligned[0], aligned[1:]


def _numbers(cost: Cost | None) -> list[str]:
    if cost is None:
        return [NONE] * 5
    bench = cost.bench
    times = (f"{ms:.2f}" for ms in (bench.embed_ms, bench.adapt_ms, bench.predict_ms))
    memory = "unknown" if bench.peak_rss_mib is None else f"{bench.peak_rss_mib:.1f}"
    return [str(cost.bytes), *times, memory]


def entries_of(
    measures: Sequence[tuple[TaskSize, Mapping[str, Array]]],
    kinds: Mapping[str, Kind],
    references: Sequence[str],
    *,
    task: TaskName = "classification",
    costs: Mapping[str, Cost] | None = None,
    like: Sequence[Result] = (),
) -> tuple[Entry, ...]:
    """An entry for each name in `kinds`, compared with the references on the same episodes.

    `measures` has for each size the accuracy or error on each episode, [E], by name; or that of
    each person, [P], and `like` a result for each size which says on how many episodes.
    """
    counted = like or (None,) * len(measures)
    return tuple(
        Entry(
            name=name,
            kind=kind,
            results=tuple(
                _count(
                    summarise(
                        by_name[name],
                        size,
                        task=task,
                        against={other: by_name[other] for other in references if other != name},
                    ),
                    of,
                )
                for (size, by_name), of in zip(measures, counted, strict=True)
            ),
            cost=(costs or {}).get(name),
        )
        for name, kind in kinds.items()
    )


def _count(result: Result, like: Result | None) -> Result:
    return result if like is None else count_as(result, like)
