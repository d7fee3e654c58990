"""Errors of settings that do not fit, and of learners that break the form or cannot be exported."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from handful.runtime.errors import HandfulError


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
