"""A learner by its name: one of handful's, or a class of the user's by its import path."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import sys
import traceback
from types import ModuleType

from handful.trainer.errors import ConfigError, there_are

from . import LEARNERS
from .form import Learner

IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
FORM = "a learner of your own is a subclass of handful.trainer.learners.Learner: see"
PAGE = "docs/own-learner.md"


def find_learner(name: str, *, where: str) -> type[Learner]:
    """The class of that name; `package.module:Class` is imported, also from the current folder.

    Raises a ConfigError that begins with `where` when there is none, when the module cannot be
    imported, or when what it names is no learner.
    """
    if ":" not in name:
        if name not in LEARNERS:
            hint = there_are(name, LEARNERS, more=", or module:Class of your own")
            raise ConfigError(f"{where}: there is no learner {name}", hint=hint)
        return LEARNERS[name]
    if not IMPORT_PATH.fullmatch(name):
        raise ConfigError(
            f"{where}: {name} is no import path of a learner",
            hint="write module:Class, as my_module:MyLearner for a class in my_module.py",
        )
    module_name, _, class_name = name.partition(":")
    kind = getattr(_imported(module_name, where), class_name, None)
    if not isinstance(kind, type) or not issubclass(kind, Learner):
        raise ConfigError(
            f"{where}: {module_name} has no learner {class_name}", hint=f"{FORM} {PAGE}"
        )
    _complete(kind, where)
    return kind


def _imported(name: str, where: str) -> ModuleType:
    """The module; the `handful` command finds those in the current folder, as `python -m` does."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _broken(name, where, error) from error
        raise ConfigError(
            f"{where}: there is no module {name}",
            hint="give the command in the folder that holds it, or install it",
        ) from None
    except Exception as error:  # a user's module may raise anything
        raise _broken(name, where, error) from error


def _broken(name: str, where: str, error: Exception) -> ConfigError:
    """Why the module's own code failed: the error, and the innermost line outside the importer."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame for frame in frames if "importlib" not in frame.filename]
    at = f" ({os.path.basename(lines[-1].filename)}, line {lines[-1].lineno})" if lines[1:] else ""
    return ConfigError(
        f"{where}: {name} cannot be imported: {type(error).__name__}: {error}{at}",
        hint="put it right there: the module's own code failed",
    )


def _complete(kind: type[Learner], where: str) -> None:
    """Refuse a class whose functions or settings are missing, before anything is trained."""
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise ConfigError(
            f"{where}: {kind.__name__} does not have {', '.join(missing)}", hint=f"{FORM} {PAGE}"
        )
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
