"""The picture of a run: what it shows, and a legend that hides none of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.legend import Legend

from handful.trainer.training.log import draw_curves, figure_of, read_metrics

from ..each import each


def lines(*, rising: bool) -> list[dict[str, Any]]:
    """A run whose accuracy ends in one of the upper corners, or begins there."""
    metrics: list[dict[str, Any]] = [{"step": 0, "validation": 0.2, "interval": 0.01}]
    for step in range(1, 101):
        share = step / 100 if rising else 1 - step / 100
        metrics.append({"step": step, "loss": 2 - share, "accuracy": share})
        if step % 20 == 0:
            metrics[-1] |= {"validation": share, "interval": 0.01}
    return metrics


@each("rising", [True, False])
def test_the_legend_covers_no_curve(rising: bool) -> None:
    figure, names = figure_of(lines(rising=rising)), list[str]()
    figure.draw_without_rendering()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    for axes in figure.axes:
        (legend,) = (child for child in axes.get_children() if isinstance(child, Legend))
        place, curves = legend.get_window_extent(), axes.get_window_extent()
        assert not place.overlaps(curves)
        assert place.ymax <= figure.bbox.ymax
        assert place.xmax <= curves.xmax
        names = [text.get_text() for text in legend.get_texts()]
    assert names == ["meta-training", "meta-validation, 95 %"]


def test_a_resumed_run_counts_each_step_once(tmp_path: Path) -> None:
    repeated = [*lines(rising=True), {"step": 100, "loss": 9.0, "accuracy": 0.5}]
    text = "".join(f"{json.dumps(line)}\n" for line in repeated)
    (tmp_path / "metrics.jsonl").write_text(text)
    metrics = read_metrics(tmp_path)
    assert [line["step"] for line in metrics] == list(range(101))
    assert metrics[-1]["loss"] == 9.0
    assert draw_curves(tmp_path).read_bytes().startswith(b"\x89PNG")
