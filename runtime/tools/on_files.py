"""Adapting and predicting on files of any kind: what `handful adapt` and `predict` do."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError
from handful.runtime.examples import KINDS, files_of, read_folder
from handful.runtime.images import quiet
from handful.runtime.learner import load
from handful.runtime.package.manifest import InputSpec, Manifest
from handful.runtime.pictures.folders import (
    MAX_FILES,
    files_below,
    printable,
    read_each,
    unreadable,
)
from handful.runtime.task import Task

from .near import Origin, warn_of_near
from .saved_tasks import free, opened, place_for, written


@dataclass(frozen=True)
class Answer:
    """What a task says of one file, or of one of the examples in it."""

    file: str  # as given; control characters and undecodable bytes are escaped; of several
    # examples in a file with its place behind, from 0: `walk.csv[3]`
    label: str | None  # None: none of the task's classes
    score: float  # the probability of the likeliest class
    probabilities: dict[str, float]


def adapt_folder(package: str | Path, folder: Path, out: Path, *, force: bool = False) -> Task:
    """Adapt to a folder of files, one sub-folder a class, and save the task to `out`.

    An InputWarning names examples that are nearly the same, see `near`.
    """
    free(out, force=force)
    learner = load(package)
    examples = folder_examples(folder, learner.manifest)
    task = learner.adapt(examples)
    written(task, out)
    support = task._support
    warn_of_near(support.x, support.labels, folder_origins(folder, learner.input, examples))
    return task


def add_folder(
    task: Path,
    folder: Path,
    out: Path | None = None,
    *,
    package: str | Path | None = None,
    force: bool = False,
) -> Task:
    """Adapt a saved task to a folder of more files, of its classes and new ones.

    The new task is written to `out`, or over the old one with `force`, whole or not at all.
    """
    place = place_for(task, out, force=force)
    old = opened(task, package)
    examples = folder_examples(folder, old.learner.manifest)
    new = old.add(examples)
    written(new, place)
    known = [Origin(name, name) for name in numbered(old)]
    origins = [*known, *folder_origins(folder, new.learner.input, examples)]
    warn_of_near(new._support.x, new._support.labels, origins, since=len(known))
    return new


def remove_classes(
    task: Path,
    labels: Sequence[str],
    out: Path | None = None,
    *,
    package: str | Path | None = None,
    force: bool = False,
) -> Task:
    """Adapt a saved task without some of its classes; written as `add_folder` writes it."""
    place = place_for(task, out, force=force)
    new = opened(task, package)
    for label in dict.fromkeys(labels):
        new = new.remove(label)
    written(new, place)
    return new


def folder_examples(folder: Path, manifest: Manifest) -> dict[str, list[Array]]:
    """{label: [examples]} of a folder, no more than the package can take."""
    most = manifest.limits.support.max or MAX_FILES
    with quiet():
        return read_folder(folder, manifest.input, most=most)


def folder_origins(folder: Path, spec: InputSpec, examples: dict[str, list[Array]]) -> list[Origin]:
    """What each example of a folder is called: its file, or its number where files hold several."""
    origins: list[Origin] = []
    for label, files in files_of(folder, spec).items():
        if len(files) == len(examples[label]):
            origins += [Origin(printable(str(file)), str(file)) for file in files]
        else:
            numbers = range(1, len(examples[label]) + 1)
            origins += [Origin(f"example {number} of {label}", label) for number in numbers]
    return origins


def numbered(task: Task) -> list[str]:
    """What the examples of a task are called, whose files are not known: `example 2 of cup`."""
    seen: Counter[str] = Counter()
    names = []
    for label in task._support.labels:
        seen[label] += 1
        names.append(f"example {seen[label]} of {label}")
    return names


def predict_files(
    task: Path,
    files: Sequence[Path],
    *,
    package: str | Path | None = None,
    unknown: float | None = None,
) -> list[Answer]:
    """The answers of a saved task; `package` made it, and may be left out where it is found.

    A folder stands for the files in it, see `files_below`. With `unknown` an example may be of none
    of the classes: of such examples so large a share is still given a label. InputError with all
    files that cannot be read, after the others were looked at.
    """
    loaded = opened(task, package)
    kind = KINDS[loaded.learner.input.kind].files
    single = [
        file
        for given in files
        for file in (files_below(given, kind) if os.path.isdir(given) else [given])
    ]
    return answers_of(loaded, single, unknown)


def answers_of(
    task: Task,
    files: Sequence[Path],
    unknown: float | None = None,
    observe: Callable[[Path, Answer, Array], None] | None = None,
) -> list[Answer]:
    """What a task says of each file, or of each of the examples in it; as `predict_files`.

    `observe` is told each answer with its file and its example, which nobody keeps otherwise.
    """
    spec = task.learner.input
    kind = KINDS[spec.kind]
    bad: dict[Path, InputError] = {}
    answers = []
    with quiet():
        for file, examples in read_each(files, lambda file: kind.read(file, spec), bad):
            for i, one in enumerate(examples):
                name = f"{file}[{i}]" if len(examples) > 1 else str(file)
                answers.append(_answer(task, name, one, unknown))
                if observe is not None:
                    observe(file, answers[-1], one)
    if bad:
        raise unreadable(bad, len(files), kind.files)
    return answers


def _answer(task: Task, file: str, example: Array, unknown: float | None) -> Answer:
    scores = task.predict_proba(example)
    best = int(scores.argmax())
    probabilities = dict(zip(task.classes, map(float, scores), strict=True))
    label = task.classes[best] if unknown is None else task.predict(example, unknown=unknown)
    return Answer(printable(file), label, float(scores[best]), probabilities)
