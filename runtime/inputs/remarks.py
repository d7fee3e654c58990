"""What is to be said of files that are read: of each kind once, with how many more there are.

What was guessed, or cut, is an InputWarning. What became of a file as it should is an InputNote,
which the commands alone say.
"""

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from handful.runtime.errors import InputNote, InputWarning

RESAMPLED, FILLED = NOTES = ("resampled", "filled")
WINDOWS = "windows"  # a recording that was cut into them


class _Said:
    """Remarks by their kind, each with what ends it."""

    def __init__(self, notes: bool, asked: Collection[str]) -> None:
        self.notes, self.asked = notes, asked
        self.found: dict[str, list[tuple[str, str]]] = {}

    def say(self) -> None:
        """One warning for each kind."""
        for kind, words in self.found.items():
            (first, hint), more = words[0], len(words) - 1
            also = f"; and so for {more} more file{'s' if more > 1 else ''}" if more else ""
            as_it_should = kind in NOTES or kind in self.asked
            category = InputNote if as_it_should else InputWarning
            warnings.warn(first + also + hint, category, stacklevel=3)


_said: ContextVar[_Said | None] = ContextVar("said", default=None)


@contextmanager
def say_once(*, notes: bool = False, asked: Collection[str] = ()) -> Iterator[None]:
    """What is remarked within is said at the end, once for all files; nothing where it fails.

    With `notes`, as the commands want it, also what became of files as it should, which is so of
    the kinds that somebody `asked` for.
    """
    if _said.get() is not None:
        yield
        return
    said = _Said(notes, asked)
    token = _said.set(said)
    try:
        yield
    finally:
        _said.reset(token)
    said.say()


def remark(kind: str, words: str, hint: str = "") -> None:
    """Say the words of this kind, now or at the end of `say_once`; `hint` follows how many more."""
    with say_once():
        said = _said.get()
        if said is not None and (kind not in NOTES or said.notes):
            said.found.setdefault(kind, []).append((words, hint))
