"""Ctrl-C and SIGTERM ask a run to save and stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # from a person, and from a system that shuts down


@contextmanager
def interrupted() -> Iterator[Callable[[], bool]]:
    """A signal asks the run to save and stop; a second one ends it at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        previous = {number: signal.signal(number, ask) for number in SIGNALS}
    except ValueError:  # not the main thread: no signal comes here
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
