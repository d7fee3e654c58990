"""How well a saved task answers for a folder of files of known classes: `handful test`."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError, SupportSetError
from handful.runtime.inputs.examples import files_of
from handful.runtime.task import Task

from .on_files import Answer, Unread, answers_of, opened
from .text import probability, table

NONE = "-"  # none of the classes, in text
MOST_COLUMNS = 20  # of a confusion matrix in text; of a larger one the pairs are listed


@dataclass(frozen=True)
class Checked:
    """One answer, and the class of the folder that its file lies in."""

    wanted: str
    answer: Answer
    right: bool
    file: Path


@dataclass(frozen=True)
class Outcome:
    """All answers, in the order of the task's classes, then of other folders."""

    classes: tuple[str, ...]  # of the folder: the rows of `confusion`
    answers: tuple[str | None, ...]  # of the task: its columns; None: none of the classes
    checked: tuple[Checked, ...]
    unread: tuple[Unread, ...] = ()  # files that have no answer, and do not count

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return sum(c.right for c in self.checked) / len(self.checked)

    @property
    def per_class(self) -> dict[str, tuple[int, int]]:
        """{class: (right answers, examples)}."""
        right = Counter(c.wanted for c in self.checked if c.right)
        count = Counter(c.wanted for c in self.checked)
        return {label: (right[label], count[label]) for label in self.classes}

    @property
    def confusion(self) -> list[list[int]]:
        """How often each class, a row, was given each answer, a column."""
        pairs = Counter((c.wanted, c.answer.label) for c in self.checked)
        return [[pairs[label, answer] for answer in self.answers] for label in self.classes]

    @property
    def wrong(self) -> list[Checked]:
        """The wrong answers, the most confident first."""
        wrong = [c for c in self.checked if not c.right]
        return sorted(wrong, key=lambda c: (-(c.answer.score or 0), c.answer.file))

    @property
    def confused(self) -> list[tuple[str, str | None, int]]:
        """(class, wrong answer, how often), the most frequent first."""
        pairs = Counter((c.wanted, c.answer.label) for c in self.checked if not c.right)
        return [(wanted, label, count) for (wanted, label), count in pairs.most_common()]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "accuracy": self.accuracy,
            "right": sum(c.right for c in self.checked),
            "count": len(self.checked),
            "per_class": {
                label: {"accuracy": right / count, "right": right, "count": count}
                for label, (right, count) in self.per_class.items()
            },
            "classes": self.classes,
            "answers": self.answers,
            "confusion": self.confusion,
            "wrong": [{"class": c.wanted, **asdict(c.answer)} for c in self.wrong],
            "unread": [{"file": u.file, "error": u.error} for u in self.unread],
        }


def measure_folder(
    task: Path,
    folder: Path,
    *,
    package: str | Path | None = None,
    unknown: float | None = None,
) -> Outcome:
    """Answer for every file of a folder with one sub-folder a class.

    With `unknown`, as for `predict_files`, folders of other classes than the task's are right where
    they are answered by none. Without it they are a SupportSetError. Files that cannot be read are
    in the outcome's `unread`; an InputError where all are.
    """
    return measured(opened(task, package), folder, unknown)


def measured(
    task: Task,
    folder: Path,
    unknown: float | None = None,
    observe: Callable[[Checked, Array], None] | None = None,
) -> Outcome:
    """The same of a task that was opened already; `observe` is told each answer and its example."""
    found = files_of(folder, task.learner.input)
    others = [label for label in found if label not in task.classes]
    if others and unknown is None:
        more = ", …" if len(others) > MOST_COLUMNS else ""
        raise SupportSetError(
            f"the task has no class {', '.join(others[:MOST_COLUMNS])}{more}",
            hint=f"its classes: {', '.join(task.classes[:MOST_COLUMNS])}; what is none of them is"
            " tested by --unknown 5%",
        )
    classes = (*(label for label in task.classes if label in found), *others)
    wanted = {file: label for label in classes for file in found[label]}
    checked: list[Checked] = []

    def check(file: Path, answer: Answer, example: Array) -> None:
        known = wanted[file] if wanted[file] in task.classes else None
        checked.append(Checked(wanted[file], answer, answer.label == known, file))
        if observe is not None:
            observe(checked[-1], example)

    unread: list[Unread] = []
    answers_of(task, list(wanted), unknown, check, unread=unread)
    if not checked:
        raise InputError(f"none of {len(wanted)} files can be read: {unread[0].error}")
    answered = {c.wanted for c in checked}
    classes = tuple(label for label in classes if label in answered)
    nothing = () if unknown is None else (None,)
    return Outcome(classes, (*task.classes, *nothing), tuple(checked), tuple(unread))


def as_text(found: Outcome, worst: int) -> str:
    """Accuracy, a line for each class, the confusion matrix, and the most confident mistakes."""
    right = sum(c.right for c in found.checked)
    parts = [
        f"accuracy {100 * found.accuracy:.1f} %: {right} of {len(found.checked)} right",
        table(
            ("class", "examples", "right", "accuracy %"),
            [(label, n, k, f"{100 * k / n:.1f}") for label, (k, n) in found.per_class.items()],
        ),
        _confusion(found),
    ]
    if shown := found.wrong[:worst]:
        lines = [
            (c.wanted, _name(c.answer.label), probability(c.answer), c.answer.file) for c in shown
        ]
        parts.append(table(("wrong: class", "answer", "score", "file"), lines))
    return "\n\n".join(part for part in parts if part)


def _confusion(found: Outcome) -> str:
    if len(found.answers) > MOST_COLUMNS:
        pairs = [(wanted, _name(label), count) for wanted, label, count in found.confused]
        return table(("confused: class", "answer", "times"), pairs) if pairs else ""
    names = [_name(label) for label in found.answers]
    rows = zip(found.classes, found.confusion, strict=True)
    return table(("class \\ answer", *names), [(label, *row) for label, row in rows])


def _name(label: str | None) -> str:
    return NONE if label is None else label
