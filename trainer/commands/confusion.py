"""A picture of a confusion matrix, for `handful test`; needs matplotlib and no torch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from handful.runtime.tools.tested import NONE

from .png import check_png, write_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.runtime.tools.tested import Outcome

OPTION = "--png"
MOST_NUMBERS = 30  # classes up to which each cell has its number


def check_place(file: Path, *, force: bool) -> None:
    """Refuse a place for the picture, or a missing matplotlib, before any file is looked at."""
    check_png(file, OPTION, example="confusion.png", force=force)
    import_module("matplotlib")  # the command says which extra brings it


def write_confusion(found: Outcome, file: Path) -> None:
    """The matrix as a PNG file, whole or not at all."""
    write_png(figure_of(found), file, OPTION)


def figure_of(found: Outcome) -> Figure:
    """A row for each class, a column for each answer, shaded by its share of the row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matrix = found.confusion
    names = [NONE if label is None else label for label in found.answers]
    width, height = (1.8 + 0.35 * max(4, n) for n in (len(names), len(found.classes)))
    figure = Figure(figsize=(min(width, 40), min(height, 40)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), [_plain(name) for name in names], rotation=90)
    axes.set_yticks(range(len(found.classes)), [_plain(name) for name in found.classes])
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    axes.set_title(f"accuracy {100 * found.accuracy:.1f} %", fontsize="medium")
    if len(names) <= MOST_NUMBERS:
        for i, row in enumerate(matrix):
            for j, count in enumerate(row):
                if count:
                    colour = "white" if shares[i][j] > 0.5 else "black"
                    axes.text(j, i, str(count), ha="center", va="center", color=colour)
    return figure


def _plain(label: str) -> str:
    """A label as itself: matplotlib would read what stands between dollar signs as a formula."""
    return label.replace("$", r"\$")
