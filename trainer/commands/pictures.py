"""A picture of what was compared: accuracy or error over the shots, each with its interval."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from handful.runtime.tools.tested import check_png, write_png
from handful.runtime.tools.text import MEASURED_AS

from .compared import Compared, Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 130
PLOT = "--plot"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
GREYS = ("#555555", "#888888", "#b0b0b0")  # of yardsticks, which are dashed
MARKERS = "osD^vP*X"
APART = 0.05  # doublings of the shots between two entries, so that no interval hides another
WIDTH, HEIGHT, LINE = 4.6, 3.8, 0.21  # inches of a panel, and of a line of the legend


def check_plot(file: Path, *, force: bool) -> None:
    """Refuse a place for the picture before hours are spent on what it shows."""
    check_png(file, PLOT, example="compared.png", force=force)


def write_plot(compared: Compared, file: Path) -> None:
    """The picture as a PNG file, whole or not at all."""
    png = io.BytesIO()
    draw_over_shots(compared).savefig(png, format="png", dpi=DPI)
    write_png(png.getvalue(), file, PLOT)


def draw_over_shots(compared: Compared) -> Figure:
    """A panel for each way; the legend stands below, where no line can be."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ways = list(dict.fromkeys(size.way for size in compared.sizes))
    columns = min(2, len(ways))
    rows = math.ceil(len(compared.entries) / columns)
    figure = Figure(
        figsize=(max(6.0, WIDTH * len(ways)), HEIGHT + LINE * rows), layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(ways), squeeze=False)[0]
    for axes, way in zip(panels, ways, strict=True):
        _panel(axes, compared, way)
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower left", ncols=columns, frameon=False)
    return figure


def _panel(axes: Axes, compared: Compared, way: int) -> None:
    places = [at for at, size in enumerate(compared.sizes) if size.way == way]
    shots = [compared.sizes[at].shot for at in places]
    ticks = [math.log2(shot) for shot in shots]
    factor = 100 if compared.task == "classification" else 1
    middle = (len(compared.entries) - 1) / 2
    learners = [entry for entry in compared.entries if entry.kind != "yardstick"]
    for number, entry in enumerate(compared.entries):
        results = [entry.results[at] for at in places]
        colour, style = _look(entry, compared, learners)
        axes.errorbar(
            [tick + APART * (number - middle) for tick in ticks],
            [factor * result.value for result in results],
            yerr=[factor * result.interval for result in results],
            color=colour,
            linestyle=style,
            linewidth=1.2,
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            capsize=2.5,
            label=entry.name,
        )
    axes.set_xticks(ticks, [str(shot) for shot in shots])
    axes.set_xlim(min(ticks) - 0.5, max(ticks) + 0.5)
    if compared.task == "classification":
        axes.set_title(f"{way}-way", fontsize=10)
    shot = {"classification": "shots", "regression": "examples", "policy": "rollouts"}
    axes.set_xlabel(shot[compared.task])
    axes.set_ylabel(f"{MEASURED_AS[compared.task]} and 95 % interval")
    axes.grid(alpha=0.3)


def _look(entry: Entry, compared: Compared, learners: list[Entry]) -> tuple[str, str]:
    """A colour of its own for what is compared, a grey and dashes for a yardstick."""
    if entry in learners:
        return COLOURS[learners.index(entry) % len(COLOURS)], "-"
    yardsticks = [other for other in compared.entries if other not in learners]
    return GREYS[yardsticks.index(entry) % len(GREYS)], "--"
