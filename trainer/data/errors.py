"""What can be wrong with data, named exactly."""

from collections.abc import Mapping
from pathlib import Path

from handful.runtime.errors import HandfulError, InputError


class DataError(HandfulError):
    """A data set is missing, unreadable, or has not what was asked of it."""


class BadFilesError(DataError):
    """Files of a data set cannot be read; all of them are named, a line each."""

    def __init__(self, bad: Mapping[Path, InputError], count: int, word: str = "pictures") -> None:
        """`bad` are those of `count` files that cannot be read, and why."""
        lines = [str(error) for error in bad.values()]
        if len(lines) > 1:
            lines = [f"{len(lines)} of {count} {word} cannot be read:", *lines]
        super().__init__(
            "\n  ".join(lines), hint="mend or remove them, or leave them out with --skip-bad"
        )
        self.bad, self.count = bad, count
