"""Progress bars of a run: rate, remaining time, loss, accuracy; on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

KIB = 1024


class RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """As `3.4/s`, or nothing before the first."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")


class Bars:
    """A Reporter that draws one bar a phase and prints each validation."""

    def __init__(self, progress: Progress) -> None:
        """Bars among those of `progress`, which starts with the first of them."""
        self.progress = progress
        self._file: TaskID | None = None
        self._fetched = 0

    def phase(self, name: str, total: int, done: int) -> Callable[[dict[str, Any]], None]:
        """A bar for the phase; its task shows the newest line."""
        bar = self._add(name, total, done)

        def show(line: dict[str, Any]) -> None:
            facts = f"loss {line['loss']:.3f}" if "loss" in line else ""
            if "accuracy" in line:
                facts += f"  accuracy {100 * line['accuracy']:.1f} %"
            self.progress.update(bar, completed=line["step"], facts=facts)
            if "validation" in line:
                self.progress.console.print(
                    f"{name} step {line['step']}: validation {100 * line['validation']:.2f}"
                    f" ± {100 * line['interval']:.2f} %"
                )

        return show

    def count(self, name: str, total: int) -> Callable[[], None]:
        """A bar that moves by one a call."""
        bar = self._add(name, total, 0)
        return lambda: self.progress.advance(bar)

    def fetching(self, done: int, total: int | None) -> None:
        """A bar in KiB for the file that is downloaded; a new one where `done` starts anew."""
        if self._file is None or done < self._fetched:
            self._file = self._add("download, KiB", (total or 0) // KIB, 0)
        self._fetched = done
        self.progress.update(self._file, completed=done // KIB, total=(total or done) // KIB)

    def _add(self, name: str, total: int, done: int) -> TaskID:
        self.progress.start()  # no sooner: a command that fails at once leaves no empty line
        return self.progress.add_task(name, total=total, completed=done, facts="")


class Silent:
    """A Reporter that says nothing: of all processes but the first."""

    def phase(self, name: str, total: int, done: int) -> Callable[[dict[str, Any]], None]:
        """Nothing to show."""
        return lambda line: None

    def fetching(self, done: int, total: int | None) -> None:
        """Nothing to show."""


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars on stderr while the context lasts."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    progress = Progress(*columns, console=Console(stderr=True), redirect_stdout=False)
    try:
        yield Bars(progress)
    finally:
        if progress.tasks:
            progress.stop()
