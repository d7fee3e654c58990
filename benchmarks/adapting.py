"""What each inner step of the shipped packages gains, drawn from their manifests alone.

`python benchmarks/adapting.py` writes docs/adapting.png.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from handful.runtime.package.decode import read_manifest
from handful.runtime.package.files import write_atomic
from handful.runtime.package.manifest import Evaluation
from handful.runtime.package.read import find
from handful.trainer.episodes import TaskSize
from handful.trainer.export.card import is_step

PICTURE = Path(__file__).parents[1] / "docs" / "adapting.png"
# package, its way and shot, the title of the panel
PANELS = (
    ("keywords-proto-maml", 5, 1, "new words"),
    ("keywords-proto-maml", 5, 5, "new words"),
    ("pen-proto-maml", 20, 1, "strokes, drawn"),
    ("pen-proto-maml", 20, 5, "strokes, drawn"),
    ("strokes-leo", 20, 1, "strokes, LEO"),
    ("strokes-leo", 20, 5, "strokes, LEO"),
    ("omniglot-leo", 20, 5, "Omniglot, LEO"),
    ("sensor-maml", 1, 5, "a sensor"),
)
# of the yardsticks: three of classes, then two of functions
COLOURS = {
    "accuracy %": ("tab:orange", "tab:green", "tab:purple"),
    "mean squared error": ("tab:grey", "tab:brown"),
}


def main() -> None:
    """Draw all panels and their common legend."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 4).flat
    for place, (package, way, shot, title) in zip(axes, PANELS, strict=True):
        measured = read_manifest(find(package)).evaluation
        evaluation = next(e for e in measured if (e.way, e.shot) == (way, shot))
        panel(place, evaluation, f"{title}, {TaskSize(way, shot, 1)}")
    handles = {
        text: line for place in figure.axes for line, text in zip(*legend(place), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    write_atomic(PICTURE, png.getvalue())


def legend(axes: Any) -> tuple[list[Any], list[str]]:
    """The lines of a panel and what they are called."""
    lines, names = axes.get_legend_handles_labels()
    return lines, names


def panel(axes: Any, evaluation: Evaluation, title: str) -> None:
    """The measure after 0 to n steps, and the yardsticks as lines across."""
    scale = 1 if evaluation.accuracy is None else 100
    steps = [c for c in evaluation.compared if is_step(c.name)]
    counts = [*(int(c.name.split()[0]) for c in steps), int(steps[0].name.split()[2])]
    values = [scale * value for value in (*(c.value for c in steps), evaluation.value)]
    # of a step the interval of its paired difference to the last one
    errors = [*(scale * c.interval for c in steps), 0.0]
    axes.errorbar(
        counts, values, yerr=errors, marker="o", markersize=3, capsize=2, label="after inner steps"
    )
    rules = [c for c in evaluation.compared if not is_step(c.name)]
    measure = "accuracy %" if scale == 100 else "mean squared error"
    for rule, colour in zip(rules, COLOURS[measure], strict=True):
        axes.axhline(scale * rule.value, color=colour, linestyle="--", label=rule.name)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("inner steps")
    axes.set_ylabel(measure)
    if scale == 1:
        axes.set_yscale("log")
    axes.set_xticks(counts)
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    main()
