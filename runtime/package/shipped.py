"""Finding packages: a folder, or the name of one that ships with handful."""

import os
import stat
from pathlib import Path
from typing import Any

from handful.runtime.errors import PackageError

from .files import brief, is_folder, mode_of
from .manifest import FILE
from .names import is_basename

SHIPPED = Path(__file__).parents[2] / "exported"


def shipped() -> list[str]:
    """The names of the packages that ship with handful."""
    if not SHIPPED.is_dir():
        return []
    return sorted(folder.name for folder in SHIPPED.iterdir() if (folder / FILE).is_file())


def find(path: Any) -> Path:
    """The folder of the package that `path` means, a string or a path.

    A string that is a plain name means the shipped package of that name, whatever lies in the
    working directory; `./name` means the folder. A pathlib.Path means a folder, where there is one.
    """
    text = _text(path)
    if not text:
        raise PackageError("the package's path is empty", hint=_hint())
    is_shipped = is_basename(text) and stat.S_ISREG(mode_of(SHIPPED / text / FILE))
    folder = Path(text)
    if is_shipped and (isinstance(path, str) or not is_folder(folder)):
        return SHIPPED / text
    if is_folder(folder):
        return folder
    if mode_of(folder):
        raise PackageError(
            f"{brief(path)} is a file, wanted a folder",
            hint="an exported package is a folder; unpack archives first",
        )
    raise PackageError(
        f"no folder {brief(path)}, and no shipped package of that name", hint=_hint()
    )


def _text(path: Any) -> str:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise PackageError(
            f"the package is of type {type(path).__name__}, wanted a path or a name", hint=_hint()
        )
    return text


def _hint() -> str:
    return f"shipped packages: {', '.join(shipped()) or 'none'}"
