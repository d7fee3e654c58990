"""The sizes of a task: its classes, the support examples of each, the queries of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskSize:
    """An N-way K-shot task: way is N, shot is K; `queries` counts the queries of one class."""

    way: int
    shot: int
    queries: int

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.way}-way {self.shot}-shot"
