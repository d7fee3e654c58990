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
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """As `3.4/s`, or nothing before the first."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="cyan")


class Bars:
    """A Reporter that draws one bar a phase and prints each validation."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def phase(self, name: str, total: int, done: int) -> Callable[[dict[str, Any]], None]:
        """A bar for the phase; its task shows the newest line."""
        bar = self.progress.add_task(name, total=total, completed=done, facts="")

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
        bar = self.progress.add_task(name, total=total, facts="")
        return lambda: self.progress.advance(bar)


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
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bars(progress)
