"""Progress of a run: the interface that it reports to, and bars or plain lines on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

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

from .log import ACCURACY, ERROR, RETURN, VALIDATION, VALIDATION_ERROR, VALIDATION_RETURN

KIB = 1024
PATIENCE = 15.0  # seconds without a word where there are no bars
ROOM = {"words": 80, "rate": 80, "facts": 60, "remaining": 40}  # columns that a terminal must have
NAME_AND_COUNT = 26  # columns of `20-way 5-shot` and `10000/10000`, each with a space
TAKEN = {"words": 9, "rate": 9, "facts": 20, "remaining": 8}  # columns of these, likewise
LEAST_BAR, MOST_BAR = 4, 40


class Reporter(Protocol):
    """Receives the progress of a run."""

    def phase(self, name: str, total: int, done: int) -> Callable[[dict[str, Any]], None]:
        """A new phase of `total` steps; the result is called with each line of progress."""
        ...

    def fetching(self, done: int, total: int | None) -> None:
        """A download of the data: the bytes so far, and of the whole file where known."""
        ...

    def say(self, text: str) -> None:
        """Something that a person should know."""
        ...


class Silent:
    """A Reporter that says nothing; others may inherit from it what they do not report."""

    def phase(self, name: str, total: int, done: int) -> Callable[[dict[str, Any]], None]:
        """Nothing to show."""
        return lambda line: None

    def fetching(self, done: int, total: int | None) -> None:
        """Nothing to show."""

    def say(self, text: str) -> None:
        """Nothing to say."""


@contextmanager
def bars(console: Console | None = None) -> Iterator[Bars]:
    """Bars while the context lasts: on stderr, or on another console."""
    console = console or Console(stderr=True)
    shown = [name for name, width in ROOM.items() if console.width >= width]
    remaining = console.width - NAME_AND_COUNT - sum(TAKEN[name] for name in shown)
    columns: dict[str, ProgressColumn] = {
        "rate": RateColumn(),
        "remaining": TimeRemainingColumn(),
        "facts": TextColumn("{task.fields[facts]}", markup=False),
    }
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(max(LEAST_BAR, min(MOST_BAR, remaining))),
        MofNCompleteColumn(),
        *(column for name, column in columns.items() if name in shown),
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=False,
    )
    report = Bars(progress)
    try:
        yield report
    finally:
        report.close()


class Bars:
    """A Reporter that draws one bar a phase and prints each validation.

    Where stderr is no terminal there are no bars: a line for each phase at its end, and of what
    takes long a line every `PATIENCE` seconds.
    """

    def __init__(self, progress: Progress) -> None:
        """Bars among those of `progress`, which starts with the first of them."""
        self.progress = progress
        self._file: TaskID | None = None
        self._fetched = 0

    def phase(self, name: str, total: int, done: int) -> Callable[[dict[str, Any]], None]:
        """A bar for the phase; its task shows the newest line."""
        bar = self._add(name, total, done)

        def show(line: dict[str, Any]) -> None:
            self.progress.update(bar, completed=line["step"], facts=self._facts(line))
            if validated := _validation(line):
                self._print(f"{name} step {line['step']}: validation {validated}")

        return show

    def count(self, name: str, total: int) -> Callable[[], None]:
        """A bar that moves by one a call."""
        bar = self._add(name, total, 0)
        done, said = 0, time.monotonic()

        def advance() -> None:
            nonlocal done, said
            self.progress.advance(bar)
            done += 1
            if self.progress.disable and done < total and time.monotonic() - said >= PATIENCE:
                said = time.monotonic()
                self._print(f"{name}: {done} of {total}")

        return advance

    def fetching(self, done: int, total: int | None) -> None:
        """A bar in KiB for the file that is downloaded; a new one where `done` starts anew."""
        if self._file is None or done < self._fetched:
            self._file = self._add("download, KiB", (total or 0) // KIB, 0)
        self._fetched = done
        self.progress.update(self._file, completed=done // KIB, total=(total or done) // KIB)

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._print(f"note: {text}")

    def close(self) -> None:
        """Leave the bars as they are, or say what each phase came to."""
        if self.progress.tasks:
            self.progress.stop()
        for task in self.progress.tasks if self.progress.disable else ():
            end = f"{task.description}: {task.completed:.0f} of {task.total:.0f}"
            self._print(", ".join(filter(None, [end, task.fields["facts"]])))

    def _facts(self, line: dict[str, Any]) -> str:
        """Loss and accuracy, in as many words as there is room for."""
        width = self.progress.console.width if not self.progress.disable else ROOM["words"]
        if width < ROOM["facts"]:
            return ""
        words = width >= ROOM["words"]
        loss = [f"loss {line['loss']:.4g}"] if "loss" in line else []
        right = [f"{'accuracy ' * words}{100 * line[ACCURACY]:.1f} %"] if ACCURACY in line else []
        error = [f"{'error ' * words}{line[ERROR]:.4g}"] if ERROR in line else []
        gained = [f"{'return ' * words}{line[RETURN]:.2f}"] if RETURN in line else []
        return "  ".join([*loss, *right, *error, *gained])

    def _print(self, text: str) -> None:
        """A line that is broken by the terminal at most, never by a file."""
        self.progress.console.print(text, soft_wrap=True, markup=False, highlight=False)

    def _add(self, name: str, total: int, done: int) -> TaskID:
        self.progress.start()  # no sooner: a command that fails at once leaves no empty line
        return self.progress.add_task(name, total=total, completed=done, facts="")


class RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """As `3.4/s`, or nothing before the first."""
        speed = task.speed or 0.0
        rate = f"{speed:.1f}/s" if speed < 1000 else f"{speed:.0f}/s"
        return Text(rate if speed else "", style="cyan")


def _validation(line: dict[str, Any]) -> str:
    """The measure on the validation tasks, where the line has one."""
    if VALIDATION_RETURN in line:
        return f"return {line[VALIDATION_RETURN]:.2f} ± {line['interval']:.2g}"
    if VALIDATION_ERROR in line:
        return f"error {line[VALIDATION_ERROR]:.4g} ± {line['interval']:.2g}"
    if VALIDATION in line:
        return f"{100 * line[VALIDATION]:.2f} ± {100 * line['interval']:.2f} %"
    return ""
