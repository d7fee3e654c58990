"""How well a saved task answers for a folder of files of known classes: `handful test`."""

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import HandfulError, InputError, SupportSetError
from handful.runtime.inputs.examples import files_of
from handful.runtime.inputs.folders import Unread, make_printable
from handful.runtime.package.files import check_free, write_atomic
from handful.runtime.support import list_classes
from handful.runtime.task import Task

from .on_files import Answer, answers_of, open_task
from .text import probability, table

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

NONE = "-"  # none of the classes, in text
MOST_COLUMNS = 20  # of a confusion matrix in text; of a larger one the pairs are listed
PNG = "--png"
CELL, GAP, TEXT = 44, 10, 18  # pixels: a cell, the space about a name, a letter
FEW, WIDE = 360, 120  # of few classes the cells are larger: so many pixels in all, and each at most
LARGEST = 6000  # pixels of a side of the matrix: with more classes the cells are smaller
WHITE, BLACK, DARKEST = (255, 255, 255), (0, 0, 0), (8, 48, 107)
LONGEST = 40  # characters of a name
# a font with many scripts, as systems call it; Pillow brings one of Latin letters alone
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")


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
    return measure(open_task(task, package), folder, unknown)


def measure(
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
            hint=f"{list_classes(task.classes, others)}; what is none of them is tested by"
            " --unknown 5%",
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


def write_confusion(found: Outcome, file: Path) -> None:
    """The confusion matrix as a PNG file, whole or not at all."""
    png = io.BytesIO()
    draw_confusion(found).save(png, "PNG")
    write_png(png.getvalue(), file, PNG)


def draw_confusion(found: Outcome) -> "Image":
    """A row for each class, a column for each answer, shaded by its share of the row."""
    from PIL import Image, ImageDraw

    matrix = np.array(found.confusion)
    rows, columns = matrix.shape
    cell = cell_of(max(rows, columns))
    font = _font(max(6, min(TEXT, cell - 2)))
    named = cell >= 8  # below, a name is higher than its row
    left = [_draw_line(label if named else "", font) for label in found.classes]
    above = [_draw_line(_name(label) if named else "", font) for label in found.answers]
    x = max(max(name.width for name in left) + 2 * GAP, _draw_line("class", font).width + 2 * GAP)
    title = _draw_line(f"accuracy {100 * found.accuracy:.1f} %: rows are classes", font)
    columns_are = _draw_line("columns are answers", font)
    y = 2 * (title.height + GAP) + max(name.width for name in above) + 2 * GAP
    width = max(x + columns * cell, GAP + title.width, GAP + columns_are.width) + GAP
    picture = Image.new("RGB", (width, y + rows * cell + GAP), WHITE)
    picture.paste(title, (GAP, GAP))
    picture.paste(columns_are, (GAP, 2 * GAP + title.height))
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    shades = np.array(WHITE) + shares[..., None] * (np.array(DARKEST) - WHITE)
    cells = Image.fromarray(np.rint(shades).astype(np.uint8))
    picture.paste(cells.resize((columns * cell, rows * cell), Image.Resampling.NEAREST), (x, y))
    for i, name in enumerate(left):
        place = y + i * cell + (cell - name.height) // 2
        picture.paste(name, (x - GAP - name.width, place))
    for j, name in enumerate(above):
        upright = name.transpose(Image.Transpose.ROTATE_90)
        place = x + j * cell + (cell - upright.width) // 2
        picture.paste(upright, (place, y - GAP - upright.height))
    draw = ImageDraw.Draw(picture)
    edge = (x - 1, y - 1, x + columns * cell, y + rows * cell)
    draw.rectangle(edge, outline=BLACK)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        text = str(matrix[i, j])
        if draw.textlength(text, font) < cell:
            middle = (x + (j + 0.5) * cell, y + (i + 0.5) * cell)
            colour = WHITE if shares[i, j] > 0.5 else BLACK
            draw.text(middle, text, colour, font, anchor="mm")
    return picture


def cell_of(count: int) -> int:
    """Pixels of a cell, with so many rows or columns."""
    return max(1, min(max(CELL, min(WIDE, FEW // count)), LARGEST // count))


def _font(size: int) -> "FreeTypeFont | ImageFont":
    from PIL import ImageFont

    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _draw_line(text: str, font: "FreeTypeFont | ImageFont") -> "Image":
    """A line of text as a picture of its size."""
    from PIL import Image, ImageDraw

    plain = make_printable(text)
    line = plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"
    left, top, right, bottom = (round(edge) for edge in font.getbbox(line or " "))
    picture = Image.new("RGB", (max(1, right - left), max(1, bottom - top)), WHITE)
    ImageDraw.Draw(picture).text((-left, -top), line, BLACK, font)
    return picture


def check_place(file: Path, *, force: bool) -> None:
    """Refuse a place for the picture, or a missing Pillow, before any file is looked at."""
    check_png(file, PNG, example="confusion.png", force=force)
    import PIL.Image  # noqa: F401  # the command says what brings it


def check_png(file: Path, option: str, *, example: str, force: bool) -> None:
    """Refuse a place for the picture of an option before time is spent on what it shows."""
    if file.suffix.lower() != ".png":
        raise PictureError(f"{option} {file} is not a .png file", hint=f"name it so: {example}")
    if not file.parent.is_dir():
        raise PictureError(f"{option}: no folder {file.parent}", hint="make it first")
    check_free(file, PictureError, force=force)


def write_png(png: bytes, file: Path, option: str) -> None:
    """The picture as a file, whole or not at all."""
    try:
        write_atomic(file, png)
    except OSError as cause:
        raise PictureError(
            f"cannot write {file}: {cause.strerror or cause}",
            hint=f"make room, or name another place with {option}",
        ) from cause


class PictureError(HandfulError):
    """A picture cannot be written where it should be."""
