"""A task file with the package that made it: found by its hash, opened, written again."""

import os
from pathlib import Path

from handful.runtime.errors import PackageError, TaskFileError
from handful.runtime.learner import Learner, load
from handful.runtime.package.decode import read_bytes
from handful.runtime.package.files import sha256
from handful.runtime.package.shipped import SHIPPED, shipped
from handful.runtime.task import Task
from handful.runtime.task_file import maker

NETWORK = ("//", "\\\\")  # how the names of other machines' folders begin


def opened(task: Path, package: str | Path | None = None) -> Task:
    """The task in a file; `package` made it, and may be left out where it ships or was noted."""
    learner = load(package) if package is not None else maker_of(task)
    return learner.load_task(task)


def written(task: Task, out: Path) -> None:
    """Save a task with the place of its package, unless that ships with handful."""
    task.save(out, note_place=task.learner.path.parent != SHIPPED)


def place_for(task: Path, out: Path | None, *, force: bool) -> Path:
    """Where a changed task is written: `out`, or in place of the old one if `force` says so."""
    if out is None and not force:
        raise TaskFileError(
            f"{task} would be replaced",
            hint="name another file by --out, or replace it with --force",
        )
    if out is not None:
        free(out, force=force)
    return task if out is None else out


def free(out: Path, *, force: bool) -> None:
    """Refuse to write over what is there; a link that leads nowhere counts, too."""
    if os.path.lexists(out) and not force:
        raise TaskFileError(f"{out} exists", hint="name another file, or replace it with --force")


def maker_of(task: Path) -> Learner:
    """The package that made the task: one that ships, or the one in the noted place.

    Each is compared by its hash; a package that was moved or changed since is a TaskFileError.
    """
    wanted = maker(task)
    for name in shipped():
        if sha256(read_bytes(SHIPPED / name)) == wanted.identity:
            return load(SHIPPED / name)  # the very folder that was compared
    if wanted.place is not None and _lies_at(Path(wanted.place), wanted.identity):
        return load(Path(wanted.place))
    raise TaskFileError(
        f"{task.name} was saved with a package that does not ship with handful",
        hint="name the package: --package FOLDER",
    )


def _lies_at(place: Path, identity: str) -> bool:
    """Whether the package is there; a file from anybody makes no call to another machine."""
    if not place.is_absolute() or str(place).startswith(NETWORK):
        return False
    try:
        return sha256(read_bytes(place)) == identity
    except PackageError:
        return False
