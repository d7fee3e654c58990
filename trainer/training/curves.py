"""A picture of a run: loss and measure over the steps, from its metrics.jsonl."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import write
from .log import ACCURACY, ERROR, VALIDATION, VALIDATION_ERROR, read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = "curves.png"
SMOOTH_OVER = 50  # windows that the run is divided into for the smoothed line


def draw_curves(folder: Path) -> Path:
    """Write curves.png into the run's folder."""
    png = io.BytesIO()
    figure_of(read_metrics(folder)).savefig(png, format="png", dpi=130)
    write(folder / CURVES, png.getvalue())
    return folder / CURVES


def figure_of(lines: list[dict[str, Any]]) -> Figure:
    """Loss and measure side by side, each with its legend above, where no curve can be."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, right = figure.subplots(1, 2)
    regression = any(VALIDATION_ERROR in line for line in lines)
    measure = ERROR if regression else ACCURACY
    for axes, name in ((loss, "loss"), (right, measure)):
        points = [(line["step"], line[name]) for line in lines if name in line]
        steps, values = [p[0] for p in points], [p[1] for p in points]
        axes.plot(steps, values, linewidth=0.5, alpha=0.35, color="tab:blue")
        axes.plot(*_smoothed(steps, values), color="tab:blue", label="meta-training")
        axes.set_xlabel("step")
        axes.set_ylabel(name.replace("_", " "))
        axes.grid(alpha=0.3)
    validation = VALIDATION_ERROR if regression else VALIDATION
    checked = [line for line in lines if validation in line]
    right.errorbar(
        [line["step"] for line in checked],
        [line[validation] for line in checked],
        yerr=[line["interval"] for line in checked],
        color="tab:orange",
        marker="o",
        markersize=3,
        label="meta-validation, 95 %",
    )
    for axes in (loss, right):
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1, frameon=False
        )
    return figure


def _smoothed(steps: list[int], values: list[float]) -> tuple[list[float], list[float]]:
    """Means over windows."""
    width = max(1, len(steps) // SMOOTH_OVER)
    groups = [slice(i, i + width) for i in range(0, len(steps), width)]
    return (
        [sum(steps[g]) / len(steps[g]) for g in groups],
        [sum(values[g]) / len(values[g]) for g in groups],
    )
