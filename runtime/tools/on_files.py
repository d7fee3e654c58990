"""Adapting and predicting on files of any kind: `handful adapt`, `add`, `remove` and `predict`.

A task file names the package that made it by its hash; it is opened, changed and written again.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.engine import LoadedPackage
from handful.runtime.errors import (
    AdaptError,
    EmptyWarning,
    HandfulError,
    InputError,
    InputWarning,
    PackageError,
    SupportSetError,
    TaskFileError,
)
from handful.runtime.inputs.examples import KINDS, files_of, find_empty, read_folder
from handful.runtime.inputs.folders import (
    MAX_FILES,
    Below,
    Unread,
    files_below,
    make_printable,
    read_each,
    unreadable,
)
from handful.runtime.inputs.pictures import silence_pillow
from handful.runtime.inputs.remarks import WINDOWS, say_once
from handful.runtime.learner import Learner, load
from handful.runtime.negatives import MAX_NEGATIVES
from handful.runtime.package.decode import identify, read_bytes
from handful.runtime.package.files import check_free
from handful.runtime.package.manifest import FILE, InputSpec, Manifest
from handful.runtime.package.read import SHIPPED, list_shipped
from handful.runtime.progress import Meter, Progress, Tell, tell_nobody
from handful.runtime.support import LEARNT, number_examples
from handful.runtime.task import ANSWERED, Task
from handful.runtime.task_file import maker
from handful.runtime.unlike import warn_of_empty

from .near import Origin, warn_of_near
from .rollouts import Acted, act_on_files, is_policy, read_rollout

# the parts of the work, as people are told of them
READING, ADAPTING = "reading", "adapting"
READING_OTHERS, COMPARING = "reading other things", "comparing with them"
TASK_FIRST = "the task file stands first: handful predict TASK FILES, handful remove TASK LABELS"
FIRST, HEADER = b"about.npy", 30  # of a task file: its first member, which stands behind so much
NETWORK = ("//", "\\\\")  # how the names of other machines' folders begin


def adapt_folder(
    package: str | Path,
    folder: Path | None,
    out: Path,
    *,
    others: Path | None = None,
    new: Sequence[str] = (),
    force: bool = False,
    tell: Tell = tell_nobody,
) -> Task:
    """Adapt to a folder of files, one sub-folder a class, and save the task to `out`.

    A policy is given a file instead, see `rollouts`. Without a folder the task is the one of
    `Learner.start`. `new` are classes beyond those that the package names, where it names any.
    Files in the folder `others`, and in those below it, are examples of none of the classes. An
    InputWarning names examples that are nearly the same, see `near`. `tell` is asked for each part
    of the work who is told how much of it is done.
    """
    check_free(out, TaskFileError, force=force)
    if folder is not None and is_package(folder) and not is_package(package):
        raise PackageError(
            f"{make_printable(str(package))} is no package, {make_printable(str(folder))} is one",
            hint="the package stands first: handful adapt PACKAGE FOLDER --out TASK",
        )
    learner = load(package)
    if folder is None or learner.manifest.task == "policy":
        _refuse_beside(learner, folder, others=others, new=new)
        task = learner.start()
        if folder is not None:
            task = task.add(read_rollout(folder, learner.name), progress=tell(ADAPTING))
        save_task(task, out)
        return task
    examples = folder_examples(folder, learner.manifest, tell(READING))
    origins = folder_origins(folder, learner.input, examples)
    with empty_by_name():
        task = learner.adapt(examples, new=new, progress=tell(ADAPTING))
        if others is not None:
            negatives = other_examples(others, learner.input, tell(READING_OTHERS))
            task = task.with_negatives(negatives, progress=tell(COMPARING))
    save_task(task, out)
    _warn_of_empty(examples, learner.input, origins)
    support = task._support
    warn_of_near(support.x, support.labels, origins)
    return task


def _refuse_beside(
    learner: LoadedPackage, folder: Path | None, *, others: Path | None, new: Sequence[str]
) -> None:
    """SupportSetError for options that say something of classes, where there are none to learn."""
    given = "--others" if others is not None else "--new" if new else None
    if given is not None:
        what = "no files" if folder is None else f"package {learner.name} is a policy"
        raise SupportSetError(f"{given} beside {what}", hint=f"leave {given} out")


def is_package(place: str | Path) -> bool:
    """Whether it is the name of a shipped package or a package's folder, and no other file."""
    if os.path.isdir(place):
        return os.path.isfile(os.path.join(place, FILE))
    return not os.path.lexists(place) and str(place) in list_shipped()


def folder_examples(
    folder: Path, manifest: Manifest, progress: Progress | None = None
) -> dict[str, Array]:
    """{label: examples [n, ...]} of a folder, no more than the package can take."""
    most = manifest.limits.support.max or MAX_FILES
    with say_once(notes=True), silence_pillow():
        read = read_folder(folder, manifest.input, most=most, progress=progress)
    # each class leaves its list as it is stacked, so that no more than one is in memory twice
    return {label: np.stack(read.pop(label)) for label in list(read)}


def folder_origins(folder: Path, spec: InputSpec, examples: dict[str, Array]) -> list[Origin]:
    """What each example of a folder is called: its file, or its number where files hold several."""
    origins: list[Origin] = []
    for label, files in files_of(folder, spec).items():
        if len(files) == len(examples[label]):
            origins += [Origin(make_printable(str(file)), str(file)) for file in files]
        else:
            numbers = range(1, len(examples[label]) + 1)
            origins += [Origin(f"example {number} of {label}", label) for number in numbers]
    return origins


@contextmanager
def empty_by_name() -> Iterator[None]:
    """Silence a task's words about examples with nothing in them: the file's name says it here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyWarning)
        yield


def other_examples(folder: Path, spec: InputSpec, progress: Progress | None = None) -> list[Array]:
    """The examples in the files of a folder and of those below it, whatever these are called."""
    kind = KINDS[spec.kind]
    kind.ready()
    found = files_below(folder, kind.files)
    _say_passed_over(folder, found, None)
    files = found.files
    if len(files) > MAX_NEGATIVES:
        raise SupportSetError(
            f"{len(files)} {kind.files.word}s in {make_printable(str(folder))},"
            f" at most {MAX_NEGATIVES} examples of other things are taken",
            hint="leave some of them out",
        )
    bad: dict[Path, InputError] = {}
    meter = Meter(progress)
    meter.expect(len(files))
    with say_once(notes=True), silence_pillow():
        read = read_each(files, lambda file: kind.read(file, spec), bad, meter)
        examples = [example for _, few in read for example in few]
        meter.end()
    if bad:
        raise unreadable(bad, len(files), kind.files)
    return examples


def _say_passed_over(folder: Path, found: Below, unread: list[Unread] | None) -> None:
    for line in found.list_passed_over(folder):
        warnings.warn(line, InputWarning, stacklevel=3)
    for message, hint in found.faults:
        if unread is None:
            raise InputError(message, hint=hint)
        unread.append(Unread(make_printable(str(folder)), message, hint))


def save_task(task: Task, out: Path) -> None:
    """Save a task with the place of its package, unless that ships with handful."""
    path = task.learner.path
    task.save(out, note_place=path is not None and path.parent != SHIPPED)


def _warn_of_empty(examples: dict[str, Array], spec: InputSpec, origins: Sequence[Origin]) -> None:
    found = np.concatenate([find_empty(few, spec) for few in examples.values()])
    warn_of_empty(found, spec, lambda at: origins[at].name, LEARNT, level=4)


def add_folder(
    task: Path,
    folder: Path,
    out: Path | None = None,
    *,
    package: str | Path | None = None,
    new: Sequence[str] = (),
    force: bool = False,
    tell: Tell = tell_nobody,
) -> Task:
    """Adapt a saved task to a folder of more files, of its classes and new ones.

    `new` and `tell` are as for `adapt_folder`. The new task is written to `out`, or over the old
    one with `force`, whole or not at all.
    """
    place = place_for(task, out, force=force)
    _refuse_swapped(task, [folder])
    old = open_task(task, package)
    if is_policy(old):
        _refuse_beside(old.learner, folder, others=None, new=new)
        rollout = read_rollout(folder, old.learner.name)
        gone_on = old.add(rollout, progress=tell(ADAPTING))
        save_task(gone_on, place)
        return gone_on
    examples = folder_examples(folder, old.learner.manifest, tell(READING))
    added = folder_origins(folder, old.learner.input, examples)
    with empty_by_name():
        task_with_more = old.add(examples, new=new, progress=tell(ADAPTING))
    save_task(task_with_more, place)
    _warn_of_empty(examples, old.learner.input, added)
    known = [Origin(name, name) for name in number_examples(old._support.labels)]
    origins = [*known, *added]
    support = task_with_more._support
    warn_of_near(support.x, support.labels, origins, since=len(known))
    return task_with_more


def place_for(task: Path, out: Path | None, *, force: bool) -> Path:
    """Where a changed task is written: `out`, or in place of the old one if `force` says so."""
    if out is None and not force:
        raise TaskFileError(
            f"{task} would be replaced",
            hint="name another file by --out, or replace it with --force",
        )
    if out is not None:
        check_free(out, TaskFileError, force=force)
    return task if out is None else out


def _refuse_swapped(task: Path, files: Sequence[Path]) -> None:
    """TaskFileError where a task file stands among the files instead of before them."""
    if not _is_task(task) and (tasks := [file for file in files if _is_task(file)]):
        raise TaskFileError(
            f"{make_printable(str(task))} is no task file, {make_printable(str(tasks[0]))} is one",
            hint=TASK_FIRST,
        )


def _is_task(place: Path) -> bool:
    """Whether the file begins as a saved task does: an archive whose first array says about it."""
    try:
        with open(place, "rb") as file:
            begin = file.read(HEADER + len(FIRST))
    except (OSError, ValueError):
        return False
    return begin.startswith(b"PK\x03\x04") and begin[HEADER:] == FIRST


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
    _refuse_swapped(task, [Path(label) for label in labels])
    new = open_task(task, package)
    for label in dict.fromkeys(labels):
        new = new.remove(label)
    save_task(new, place)
    return new


@dataclass(frozen=True)
class Answer:
    """What a task says of one file, or of one of the examples in it."""

    file: str  # as given; control characters and undecodable bytes are escaped; of several
    # examples in a file with its place behind, from 0: `walk.csv[3]`
    label: str | None  # None: none of the task's classes
    # of a label alone: a probability says which of the classes, and nothing of none of them
    score: float | None  # the probability of the label
    probabilities: dict[str, float] | None


def answer_files(
    task: Path,
    files: Sequence[Path],
    *,
    package: str | Path | None = None,
    unknown: float | None = None,
    unread: list[Unread] | None = None,
    windows: bool = False,
) -> list[Answer] | list[Acted]:
    """What `predict_files` gives; of a policy its actions, see `act_on_files`."""
    _refuse_swapped(task, files)
    loaded = open_task(task, package)
    if not is_policy(loaded):
        return _predict(loaded, files, unknown, unread, windows)
    if unknown is not None or windows:
        raise AdaptError(
            f"package {loaded.learner.name} is a policy: it acts on every observation",
            hint="leave --unknown and --windows out",
        )
    return act_on_files(loaded, files, unread)


def predict_files(
    task: Path,
    files: Sequence[Path],
    *,
    package: str | Path | None = None,
    unknown: float | None = None,
    unread: list[Unread] | None = None,
    windows: bool = False,
) -> list[Answer]:
    """The answers of a saved task; `package` made it, and may be left out where it is found.

    A folder stands for the files in it, see `files_below`; an InputWarning says what is passed
    over. With `unknown` an example may be of none of the classes: of such examples so large a share
    is still given a label. With `windows` a recording is cut, as a stream is, though the package
    takes it whole. Files that cannot be read are added to `unread`; without that list an InputError
    names all of them, after the others were looked at.
    """
    _refuse_swapped(task, files)
    return _predict(open_task(task, package), files, unknown, unread, windows)


def _predict(
    task: Task,
    files: Sequence[Path],
    unknown: float | None,
    unread: list[Unread] | None,
    windows: bool,
) -> list[Answer]:
    kind = KINDS[task.learner.input.kind].files
    single: list[Path] = []
    for given in files:
        if not os.path.isdir(given):
            single.append(given)
            continue
        found = files_below(given, kind)
        _say_passed_over(given, found, unread)
        single += found.files
    return answers_of(task, single, unknown, unread=unread, windows=windows)


def answers_of(
    task: Task,
    files: Sequence[Path],
    unknown: float | None = None,
    observe: Callable[[Path, Answer, Array], None] | None = None,
    *,
    unread: list[Unread] | None = None,
    windows: bool = False,
) -> list[Answer]:
    """What a task says of each file, or of each of the examples in it; as `predict_files`.

    `observe` is told each answer with its file and its example, which nobody keeps otherwise.
    """
    spec = task.learner.input
    if windows:
        if spec.kind != "array" or len(spec.shape) != 2:
            raise InputError(f"package {task.learner.name} takes no series, and nothing is cut")
        spec = replace(spec, whole=None)
    kind = KINDS[spec.kind]
    kind.ready()
    bad: dict[Path, HandfulError] = {}
    answers = []
    with say_once(notes=True, asked=(WINDOWS,) if windows else ()), silence_pillow():
        for file in files:
            try:
                examples = kind.read(file, spec)
                several = len(examples) > 1
                of_file = []
                for i, one in enumerate(examples):
                    name = f"{file}[{i}]" if several else str(file)
                    with empty_by_name():
                        of_file.append(_answer(task, name, one, unknown))
                    _warn_of_an_empty(name, one, spec)
            except (InputError, AdaptError) as error:  # nothing that another file could mend
                bad[file] = error
                continue
            answers += of_file
            if observe is not None:
                for answer, one in zip(of_file, examples, strict=True):
                    observe(file, answer, one)
    if bad and unread is None:
        raise unreadable(bad, len(files), kind.files)
    if unread is not None:
        unread += [Unread(make_printable(str(file)), str(e), e.hint) for file, e in bad.items()]
    return answers


def _answer(task: Task, file: str, example: Array, unknown: float | None) -> Answer:
    scores = task.predict_proba(example)
    best = int(scores.argmax())
    label = task.classes[best] if unknown is None else task.predict(example, unknown=unknown)
    if label is None:
        return Answer(make_printable(file), None, None, None)
    probabilities = dict(zip(task.classes, map(float, scores), strict=True))
    return Answer(make_printable(file), label, float(scores[best]), probabilities)


def _warn_of_an_empty(name: str, example: Array, spec: InputSpec) -> None:
    found = find_empty(example[None], spec)
    warn_of_empty(found, spec, lambda at: make_printable(name), ANSWERED, level=4)


def open_task(task: Path, package: str | Path | None = None) -> Task:
    """The task in a file; `package` made it, and may be left out where it ships or was noted."""
    if is_package(task):
        raise TaskFileError(
            f"{make_printable(str(task))} is a package, wanted a task file",
            hint=f"handful adapt {make_printable(str(task))} FOLDER --out task.npz writes one",
        )
    if os.path.isdir(task):
        raise TaskFileError(
            f"{make_printable(str(task))} is a folder, wanted a task file", hint=TASK_FIRST
        )
    learner = load(package) if package is not None else maker_of(task)
    return learner.load_task(task)


def maker_of(task: Path) -> Learner:
    """The package that made the task: one that ships, or the one in the noted place.

    Each is compared by its hash; a package that was moved or changed since is a TaskFileError.
    """
    wanted = maker(task)
    for name in list_shipped():
        if identify(read_bytes(SHIPPED / name)) == wanted.identity:
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
        return identify(read_bytes(place)) == identity
    except PackageError:
        return False
