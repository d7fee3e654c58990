"""The sizes of a task: its classes, the support examples of each, the queries of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskSize:
    """An N-way K-shot task: way is N, shot is K; `queries` counts the queries of one class.

    A regression has one function where others have N classes: its way is 1.
    """

    way: int
    shot: int
    queries: int

    def __str__(self) -> str:
        """As people say it."""
        if self.way == 1:
            return f"{self.shot} example{'s'[: self.shot > 1]}"
        return f"{self.way}-way {self.shot}-shot"
