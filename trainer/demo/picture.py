"""The demonstration's picture: support drawings above, queries with their answers below."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from handful.runtime.package.files import write_atomic


def draw_answers(
    path: Path,
    support: NDArray[Any],
    names: Sequence[str],
    queries: NDArray[Any],
    answers: Sequence[str],
    wanted: Sequence[str],
) -> Path:
    """One column a class: its one support drawing, then its queries, green where right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(names)
    per_class = len(queries) // columns
    right = sum(a == w for a, w in zip(answers, wanted, strict=True))
    figure = Figure(figsize=(1.5 * columns + 1, 1.45 * (per_class + 1) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"learned from the top row alone: {right} of {len(queries)} right")
    axes = figure.subplots(per_class + 1, columns)
    for c, name in enumerate(names):
        _tile(axes[0][c], support[c], name, "black")
        for q in range(per_class):
            i = c * per_class + q
            good = answers[i] == wanted[i]
            text = f"✓ {answers[i]}" if good else f"✗ {answers[i]}"
            _tile(axes[q + 1][c], queries[i], text, "tab:green" if good else "tab:red")
    axes[0][0].set_ylabel("support")
    axes[1][0].set_ylabel("queries")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    write_atomic(path, png.getvalue())
    return path


def _tile(axes: Any, image: NDArray[Any], text: str, colour: str) -> None:
    axes.imshow(255 - image[..., 0], cmap="gray", vmin=0, vmax=255)
    axes.set_title(text, fontsize=8, color=colour)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(colour)
        side.set_linewidth(2)
