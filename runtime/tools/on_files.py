"""Adapting and predicting on files of any kind: what `handful adapt` and `predict` do.

A task file with the package that made it: found by its hash, opened, written again.

Warnings of examples that are nearly the same: of two classes, or twice of one.

Two examples are compared by the distance of their embeddings, as a share of the usual one: the
median over all pairs that are not copies. The limits were chosen so that examples that differ are
left alone: in 300 tasks of each of five sizes (2- and 5-way 1-shot, 5- and 20-way 5-shot, 5-way
20-shot) no two examples of one class came closer than 0.089, and no two of two classes closer than
0.195. These were the training classes of strokes, the closest, of words, and of Omniglot by two
packages, and the validation classes of Caltech-101 by EfficientNet-Lite0. Copies have 0. A movement
with 1 % of noise has 0.03 (the median of 300), a character shifted by a pixel 0.17 by the embedding
of LEO, a photograph without its outermost two pixels 0.20, and one that was saved again at JPEG
quality 70 0.30: of copies that were altered many are not found.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import (
    InputError,
    InputWarning,
    PackageError,
    SupportSetError,
    TaskFileError,
)
from handful.runtime.inputs.examples import KINDS, files_of, read_folder
from handful.runtime.inputs.folders import MAX_FILES, files_below, printable, read_each, unreadable
from handful.runtime.inputs.pictures import quiet
from handful.runtime.learner import Learner, load
from handful.runtime.negatives import MAX_NEGATIVES
from handful.runtime.package.decode import read_bytes
from handful.runtime.package.files import sha256
from handful.runtime.package.manifest import InputSpec, Manifest
from handful.runtime.package.read import SHIPPED, shipped
from handful.runtime.task import Task
from handful.runtime.task_file import maker

SAME_CLASS, OTHER_CLASS = 0.08, 0.18  # of the usual distance
COPY = 1e-12  # of the squared lengths, which is rounding
MOST_EXAMPLES = 5000  # that are compared; of more, those at even steps
BLOCK = 256  # rows of distances at a time
MOST_LISTED = 5  # pairs of either kind


class Origin(NamedTuple):
    """Where an example is from."""

    name: str  # its file often
    source: str  # the same for windows of a recording, which are alike by nature


@dataclass(frozen=True)
class Near:
    """Two examples, by their places in the support set, and their share of the usual distance."""

    first: int
    second: int
    share: float


def near_pairs(x: Array, labels: Sequence[str]) -> list[Near]:
    """The pairs of examples x [S, ...] that are nearly the same, the nearest first."""
    chosen = np.arange(0, len(x), -(-len(x) // MOST_EXAMPLES) or 1)
    flat = x.reshape(len(x), -1)[chosen].astype(np.float64)
    flat -= flat.mean(axis=0)  # so that rounding is small beside the distances
    index = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    classes = np.array([index[label] for label in labels])[chosen]
    lengths = (flat * flat).sum(axis=1)
    usual = _usual(flat)
    found: list[Near] = []
    for at in range(0, len(flat), BLOCK):
        squared = _squared(flat[at : at + BLOCK], flat, lengths[at : at + BLOCK], lengths)
        share = np.sqrt(squared) / usual if usual else np.where(squared > 0, np.inf, 0.0)
        same = classes[at : at + BLOCK, None] == classes
        near = share <= np.where(same, SAME_CLASS, OTHER_CLASS)
        for i, j in zip(*np.nonzero(near), strict=True):
            if at + i < j:
                found.append(Near(int(chosen[at + i]), int(chosen[j]), float(share[i, j])))
    return sorted(found, key=lambda pair: (pair.share, pair.first, pair.second))


def _usual(flat: Array) -> float:
    """The median distance of those that are not copies, over at most BLOCK · 2 examples."""
    some = flat[:: -(-len(flat) // (2 * BLOCK)) or 1]
    lengths = (some * some).sum(axis=1)
    distances = np.sqrt(_squared(some, some, lengths, lengths)[np.triu_indices(len(some), 1)])
    apart = distances[distances > 0]
    return float(np.median(apart)) if apart.size else 0.0


def _squared(a: Array, b: Array, of_a: Array, of_b: Array) -> Array:
    """Squared distances [A, B] of rows with these squared lengths; of copies exactly 0."""
    lengths = of_a[:, None] + of_b
    squared = lengths - 2 * a @ b.T
    return np.where(squared <= COPY * lengths, 0.0, squared)


def warn_of_near(
    x: Array, labels: Sequence[str], origins: Sequence[Origin], *, since: int = 0
) -> None:
    """An InputWarning for each of the nearest pairs, and one for how many more there are.

    Pairs of one class and source are left out, and those of the first `since` examples, which were
    looked at before.
    """
    names, sources = [origin.name for origin in origins], [origin.source for origin in origins]
    pairs = [pair for pair in near_pairs(x, labels) if pair.second >= since]
    other = [pair for pair in pairs if labels[pair.first] != labels[pair.second]]
    alike = [pair for pair in pairs if labels[pair.first] == labels[pair.second]]
    same = [pair for pair in alike if sources[pair.first] != sources[pair.second]]
    for pair in other[:MOST_LISTED]:
        _warn(
            f"{names[pair.first]} and {names[pair.second]} are nearly the same to this package, but"
            f" of the classes {labels[pair.first]} and {labels[pair.second]}"
        )
    if len(other) > MOST_LISTED:
        _warn(f"{len(other) - MOST_LISTED} more pairs of two classes are nearly the same")
    for pair in same[:MOST_LISTED]:
        _warn(
            f"{names[pair.first]} and {names[pair.second]}, both of {labels[pair.first]}, are"
            " nearly the same: together they teach little more than one"
        )
    if len(same) > MOST_LISTED:
        _warn(f"{len(same) - MOST_LISTED} more pairs of one class are nearly the same")


def _warn(text: str) -> None:
    warnings.warn(text, InputWarning, stacklevel=4)


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


@dataclass(frozen=True)
class Answer:
    """What a task says of one file, or of one of the examples in it."""

    file: str  # as given; control characters and undecodable bytes are escaped; of several
    # examples in a file with its place behind, from 0: `walk.csv[3]`
    label: str | None  # None: none of the task's classes
    # of a label alone: a probability says which of the classes, and nothing of none of them
    score: float | None  # the probability of the label
    probabilities: dict[str, float] | None


def adapt_folder(
    package: str | Path,
    folder: Path,
    out: Path,
    *,
    others: Path | None = None,
    force: bool = False,
) -> Task:
    """Adapt to a folder of files, one sub-folder a class, and save the task to `out`.

    Files in the folder `others`, and in those below it, are examples of none of the classes. An
    InputWarning names examples that are nearly the same, see `near`.
    """
    free(out, force=force)
    learner = load(package)
    examples = folder_examples(folder, learner.manifest)
    task = learner.adapt(examples)
    if others is not None:
        task = task.with_negatives(other_examples(others, learner.input))
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


def other_examples(folder: Path, spec: InputSpec) -> list[Array]:
    """The examples in the files of a folder and of those below it, whatever these are called."""
    kind = KINDS[spec.kind]
    kind.ready()
    files = files_below(folder, kind.files)
    if len(files) > MAX_NEGATIVES:
        raise SupportSetError(
            f"{len(files)} {kind.files.word}s in {printable(str(folder))}, at most {MAX_NEGATIVES}"
            " examples of other things are taken",
            hint="leave some of them out",
        )
    bad: dict[Path, InputError] = {}
    with quiet():
        read = read_each(files, lambda file: kind.read(file, spec), bad)
        examples = [example for _, few in read for example in few]
    if bad:
        raise unreadable(bad, len(files), kind.files)
    return examples


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
    label = task.classes[best] if unknown is None else task.predict(example, unknown=unknown)
    if label is None:
        return Answer(printable(file), None, None, None)
    probabilities = dict(zip(task.classes, map(float, scores), strict=True))
    return Answer(printable(file), label, float(scores[best]), probabilities)
