"""Adapting and predicting on pictures and sounds: what `handful adapt` and `predict` do."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handful.runtime import images, sounds
from handful.runtime.arrays import Floats
from handful.runtime.errors import InputError, TaskFileError
from handful.runtime.learner import Learner, load
from handful.runtime.package.decode import read_bytes
from handful.runtime.package.files import sha256
from handful.runtime.package.shipped import SHIPPED, shipped
from handful.runtime.pictures.folders import printable
from handful.runtime.task import Task
from handful.runtime.task_file import package_hash


@dataclass(frozen=True)
class Answer:
    """What a task says of one file."""

    file: str  # as given; control characters and undecodable bytes are escaped
    label: str
    score: float  # the label's probability
    probabilities: dict[str, float]


def adapt_folder(package: str | Path, folder: Path, out: Path, *, force: bool = False) -> Task:
    """Adapt to a folder of files, one sub-folder a class, and save the task to `out`."""
    if os.path.lexists(out) and not force:  # a link that leads nowhere counts, too
        raise TaskFileError(f"{out} exists", hint="name another file, or replace it with --force")
    learner = load(package)
    read_folder = sounds.read_folder if learner.input.kind == "audio" else images.read_folder
    most = learner.manifest.limits.support.max or images.MAX_FILES
    with images.quiet():
        classes = read_folder(folder, learner.input, most=most)
    task = learner.adapt(classes)
    task.save(out)
    return task


def predict_files(
    task: Path, files: Sequence[Path], *, package: str | Path | None = None
) -> list[Answer]:
    """The answers of a saved task; `package` made it, and may be left out where it ships.

    InputError with all files that cannot be read, after the others were looked at.
    """
    learner = load(package) if package is not None else _maker_of(task)
    loaded = learner.load_task(task)
    bad: dict[Path, InputError] = {}
    heard = learner.input.kind == "audio"
    read = sounds.read_sound if heard else images.read_image
    decoded = images.read_each(files, lambda file: read(file, learner.input), bad)
    with images.quiet():
        answers = [_answer(loaded, file, example) for file, example in decoded]
    if bad and heard:
        raise sounds.unreadable(bad.values(), len(files))
    if bad:
        raise images.unreadable(bad, len(files))
    return answers


def _answer(task: Task, file: Path, example: Floats) -> Answer:
    scores = task.predict_proba(example)
    best = int(scores.argmax())
    probabilities = dict(zip(task.classes, map(float, scores), strict=True))
    return Answer(printable(str(file)), task.classes[best], float(scores[best]), probabilities)


def _maker_of(task: Path) -> Learner:
    wanted = package_hash(task)
    for name in shipped():
        if sha256(read_bytes(SHIPPED / name)) == wanted:
            return load(SHIPPED / name)  # the very folder that was compared
    raise TaskFileError(
        f"{task.name} was saved with a package that does not ship with handful",
        hint="name the package: --package FOLDER",
    )
