"""Finding packages: a folder, or the name of one that ships with handful."""

from pathlib import Path

from handful.runtime.errors import PackageError

from .manifest import FILE

SHIPPED = Path(__file__).parents[2] / "exported"


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
