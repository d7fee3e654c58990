"""The interface through which a run reports its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


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
