"""How far work of seconds is: a callback is told the share that is done, from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# Is told shares that rise, the last of them 1; what it raises ends the work
Progress: TypeAlias = Callable[[float], None]
# What a part of the work is called → who is told of it, if anybody
Tell: TypeAlias = Callable[[str], Progress | None]


class Meter:
    """Counts equal pieces of work as they are expected and done, and tells a callback the share.

    More work may show itself on the way; the share then waits until it rises again, and is below 1
    until the work ends.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        """Without `progress` nobody is told."""
        self._progress, self._expected, self._done, self._told = progress, 0, 0, 0.0

    def expect(self, pieces: int) -> None:
        """So many more pieces are to be done."""
        self._expected += pieces

    def tick(self) -> None:
        """One piece is done."""
        if self._progress is None:
            return
        self._done += 1
        share = self._done / (max(self._done, self._expected) + 1)
        if share > self._told:
            self._told = share
            self._progress(share)

    def end(self) -> None:
        """All of it is done."""
        if self._progress is not None:
            self._progress(1.0)


UNTOLD = Meter()  # of work whose progress nobody asked for


def tell_nobody(part: str) -> None:
    """Nobody is told."""
