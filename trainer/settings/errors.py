"""Errors of settings, of data, and of learners that break the form or cannot be exported."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from handful.runtime.errors import HandfulError, InputError


class ConfigError(HandfulError):
    """A setting that a learner, a network or a run does not allow."""


class SettingError(ConfigError, ValueError):
    """One setting of a dataclass, named as its field; whoever knows its section says where it is.

    It is a ValueError so that pydantic reports it with the path of the section it was raised in.
    """

    def __init__(self, name: str, fault: str, *, hint: str | None = None) -> None:
        """`name` is the field's, `fault` goes on from there: `is 0, wanted more than 0`."""
        super().__init__(f"{name} {fault}", hint=hint)
        self.name, self.fault = name, fault


class ExportError(HandfulError):
    """A learner cannot be exported as asked."""


class LearnerError(ExportError):
    """A learner's function returns what its form does not allow: nothing can run or export it."""


def there_are(wrong: str, names: Iterable[str], *, more: str = "") -> str:
    """A hint for a name that does not exist: the closest one, if one is close, then all of them."""
    listed = list(names)
    close = difflib.get_close_matches(wrong, listed, n=1)
    return "".join(
        [f"did you mean {close[0]}? " if close else "", f"there are: {', '.join(listed)}", more]
    )


class DataError(HandfulError):
    """A data set is missing, unreadable, or has not what was asked of it."""


class BadFilesError(DataError):
    """Files of a data set cannot be read; all of them are named, a line each."""

    def __init__(self, bad: Mapping[Path, InputError], count: int, what: str = "pictures") -> None:
        """`bad` are those of `count` files that cannot be read, and why; `what` the files are."""
        lines = [str(error) for error in bad.values()]
        if len(lines) > 1:
            lines = [f"{len(lines)} of {count} {what} cannot be read:", *lines]
        hints = [error.hint or "" for error in bad.values()]
        convert = dict.fromkeys(hint for hint in hints if hint.startswith("convert "))
        mend = "mend or remove them, or leave them out with --skip-bad"
        super().__init__("\n  ".join(lines), hint="; ".join([mend, *convert]))
        self.bad, self.count, self.what = bad, count, what
