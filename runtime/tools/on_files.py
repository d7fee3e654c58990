"""Adapting and predicting on picture files: what `handful adapt` and `handful predict` do."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handful.runtime.arrays import Floats
from handful.runtime.errors import InputError, TaskFileError
from handful.runtime.images import MAX_FILES, quiet, read_each, read_folder, read_image, unreadable
from handful.runtime.learner import Learner, load
from handful.runtime.package.decode import read_bytes
from handful.runtime.package.files import sha256
from handful.runtime.package.shipped import SHIPPED, shipped
from handful.runtime.pictures.folders import printable
from handful.runtime.task import Task
from handful.runtime.task_file import package_hash


@dataclass(frozen=True)
class Answer:
    """What a task says of one picture."""

    file: str  # as given; control characters and undecodable bytes are escaped
    label: str | None  # None: none of the task's classes
    score: float  # the probability of the likeliest class
    probabilities: dict[str, float]


def adapt_folder(package: str | Path, pictures: Path, out: Path, *, force: bool = False) -> Task:
    """Adapt to a folder of pictures, one sub-folder a class, and save the task to `out`."""
    if os.path.lexists(out) and not force:  # a link that leads nowhere counts, too
        raise TaskFileError(f"{out} exists", hint="name another file, or replace it with --force")
    learner = load(package)
    most = learner.manifest.limits.support.max or MAX_FILES
    with quiet():
        classes = read_folder(pictures, learner.input, most=most)
    task = learner.adapt(classes)
    task.save(out)
    return task


def predict_files(
    task: Path,
    pictures: Sequence[Path],
    *,
    package: str | Path | None = None,
    unknown: float | None = None,
) -> list[Answer]:
    """The answers of a saved task; `package` made it, and may be left out where it ships.

    With `unknown` a picture may be of none of the classes: of such pictures so large a share is
    still given a label. InputError with all pictures that cannot be read, after the others were
    looked at.
    """
    learner = load(package) if package is not None else _maker_of(task)
    loaded = learner.load_task(task)
    bad: dict[Path, InputError] = {}
    decoded = read_each(pictures, lambda file: read_image(file, learner.input), bad)
    with quiet():
        answers = [_answer(loaded, file, picture, unknown) for file, picture in decoded]
    if bad:
        raise unreadable(bad, len(pictures))
    return answers


def _answer(task: Task, file: Path, picture: Floats, unknown: float | None) -> Answer:
    scores = task.predict_proba(picture)
    best = int(scores.argmax())
    probabilities = dict(zip(task.classes, map(float, scores), strict=True))
    label = task.classes[best] if unknown is None else task.predict(picture, unknown=unknown)
    return Answer(printable(str(file)), label, float(scores[best]), probabilities)


def _maker_of(task: Path) -> Learner:
    wanted = package_hash(task)
    for name in shipped():
        if sha256(read_bytes(SHIPPED / name)) == wanted:
            return load(SHIPPED / name)  # the very folder that was compared
    raise TaskFileError(
        f"{task.name} was saved with a package that does not ship with handful",
        hint="name the package: --package FOLDER",
    )
