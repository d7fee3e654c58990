"""Finding packages: a folder, or the name of one that ships with handful."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import PackageError
from .learner import Learner, open_package
from .manifest import FILE
from .sessions import Provider

SHIPPED = Path(__file__).parent.parent / "exported"


def shipped() -> list[str]:
    """The names of the packages that ship with handful."""
    if not SHIPPED.is_dir():
        return []
    return sorted(folder.name for folder in SHIPPED.iterdir() if (folder / FILE).is_file())


def find(path: str | Path) -> Path:
    """The folder that `path` is, or the folder of the shipped package of that name."""
    folder = Path(path)
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise PackageError(
            f"{path} is a file, wanted a folder",
            hint="an exported package is a folder; unpack archives first",
        )
    if str(path) == folder.name and (SHIPPED / folder / FILE).is_file():
        return SHIPPED / folder
    raise PackageError(
        f"no folder {path}, and no shipped package of that name",
        hint=f"shipped packages: {', '.join(shipped()) or 'none'}",
    )


def load(
    path: str | Path,
    *,
    providers: Sequence[Provider] | None = None,
    threads: int = 1,
    session_options: Any = None,
) -> Learner:
    """The learner of a package: a folder made by `handful export`, or a shipped package's name.

    `session_options` (an onnxruntime.SessionOptions) takes the place of the defaults.
    """
    return open_package(
        find(path), providers=providers, threads=threads, session_options=session_options
    )
