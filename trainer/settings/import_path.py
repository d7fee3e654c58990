"""Classes of the user's own, by an import path: `module:Class`.

Importing a module runs its code. What the user names is imported: in a recipe, on the command line.
What a file names that may be another person's, a run's folder, is imported only with `--trust`.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from types import ModuleType
from typing import TypeVar

from .errors import ConfigError

IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
PAGE = "docs/own-learner.md"

K = TypeVar("K")


def is_import_path(name: str) -> bool:
    """Whether it is written `module:Class`, as no name of handful's own and no usual path is."""
    return bool(IMPORT_PATH.fullmatch(name))


def import_class(
    path: str, base: type[K], *, what: str, where: str, trusted: bool = True
) -> type[K]:
    """The subclass of `base` that `package.module:Class` names, also from the current folder.

    `what` it is, as `learner`. Not `trusted`, a module is used that this process has imported
    already, and none is imported. Raises a ConfigError that begins with `where` for that, when the
    module cannot be imported, when what it names is no such class, or when the class leaves
    functions out.
    """
    if not is_import_path(path):
        raise ConfigError(
            f"{where}: {path} is no import path of a {what}",
            hint="write module:Class, as my_module:MyClass for a class in my_module.py",
        )
    module_name, _, class_name = path.partition(":")
    if not trusted and module_name not in sys.modules:
        raise ConfigError(
            f"{where} names code of its own, {path}: reading it would run the module {module_name}",
            hint="if you know what that module does, say so with --trust",
        )
    kind = getattr(_import(module_name, where), class_name, None)
    hint = f"a {what} of your own is a subclass of {base.__name__}: see {PAGE}"
    if not isinstance(kind, type) or not issubclass(kind, base):
        raise ConfigError(f"{where}: {module_name} has no {what} {class_name}", hint=hint)
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise ConfigError(f"{where}: {class_name} does not have {', '.join(missing)}", hint=hint)
    return kind


def _import(name: str, where: str) -> ModuleType:
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
