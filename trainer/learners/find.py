"""A learner by its name: one of handful's, or a class of the user's by its import path."""

from __future__ import annotations

import dataclasses

from handful.trainer.errors import ConfigError, there_are
from handful.trainer.import_path import import_class

from . import LEARNERS
from .form import Learner


def find_learner(name: str, *, where: str) -> type[Learner]:
    """The class of that name; `package.module:Class` is imported, also from the current folder.

    Raises a ConfigError that begins with `where` when there is none, or when it is not complete.
    """
    if ":" in name:
        kind = import_class(name, Learner, what="learner", where=where)  # type: ignore[type-abstract]
        _complete(kind, where)
        return kind
    if name not in LEARNERS:
        hint = there_are(name, LEARNERS, more=", or module:Class of your own")
        raise ConfigError(f"{where}: there is no learner {name}", hint=hint)
    return LEARNERS[name]


def _complete(kind: type[Learner], where: str) -> None:
    """Refuse a class without a name or settings, before anything is trained."""
    if not isinstance(getattr(kind, "name", None), str):
        raise ConfigError(
            f"{where}: {kind.__name__} has no name",
            hint='give the class a line name = "my-learner", which packages show',
        )
    if not dataclasses.is_dataclass(getattr(kind, "Config", None)):
        raise ConfigError(
            f"{where}: {kind.__name__} has no Config",
            hint="give the class its settings, a frozen dataclass: Config = MyConfig",
        )
