"""All learners beside each other: a picture and tables from benchmarks/learners/*.json.

`python benchmarks/learners_page.py` draws docs/learners.png and writes
results/learners-NAME.md. Nothing is measured here; benchmarks/all_learners.py does that.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from tables import write_table

from handful.runtime.package.files import write_atomic

FOLDER = Path(__file__).parent / "learners"
PICTURE = Path(__file__).parents[1] / "docs" / "learners.png"
DATA = {  # its colour and what the picture calls it
    "omniglot": ("tab:blue", "Omniglot"),
    "words": ("tab:orange", "spoken words"),
    "strokes": ("tab:green", "pen strokes"),
    "caltech": ("tab:red", "Caltech-101, 84 pixels"),
}
REFERENCE = "prototypical"  # trained as long; its answers are those of its class means
COLUMNS = 6
SHOTS_OF_SHIFT = 5
Found = dict[str, Any]


def read() -> dict[str, Found]:
    """What was measured, by the name of the data."""
    files = {name: FOLDER / f"{name}.json" for name in DATA}
    return {n: json.loads(f.read_text(encoding="utf-8")) for n, f in files.items() if f.exists()}


def entries(found: list[Found]) -> dict[str, list[Found]]:
    """The results of each learner and yardstick, by name."""
    return {entry["name"]: entry["results"] for entry in found}


def advantage(result: Found) -> tuple[float, float]:
    """By how many points it is above the reference, and half the width of the interval."""
    difference, interval = result["compared"].get(REFERENCE, (0.0, 0.0))
    return 100 * difference, 100 * interval


def draw(measured: dict[str, Found]) -> None:
    """A panel for each learner over shots, below one for each over shift."""
    names = [n for n in all_names(measured) if n != REFERENCE]
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(2.3 * COLUMNS, 4 * rows + 1), layout="constrained")
    FigureCanvasAgg(figure)
    over_shots, over_shift = figure.subfigures(2, 1, squeeze=False)[:, 0]
    shots = {r["shot"]: str(r["shot"]) for f in measured.values() for r in f["shots"][0]["results"]}
    panels(over_shots, names, "points above a prototypical network, over shots", shots)
    title = f"the same at {SHOTS_OF_SHIFT} shots, under a shift of the test examples"
    panels(over_shift, names, title, dict(enumerate(("none", "milder", "stronger"))))
    for data, found in measured.items():
        plain = entries(found["shots"])
        shifted = [entries(one) for one in found["shifts"].values()]
        for name, top, bottom in zip(names, over_shots.axes, over_shift.axes, strict=False):
            if name not in plain:
                continue
            style = {"color": DATA[data][0], "label": DATA[data][1], "marker": "o"}
            points = [(r["shot"], *advantage(r)) for r in plain[name]]
            line(top, points, style)
            if not shifted:
                continue
            unshifted = of_shot(plain[name])
            levels = [unshifted, *(of_shot(one[name]) for one in shifted)]
            line(bottom, [(at, *advantage(r)) for at, r in enumerate(levels)], style)
    handles = {
        text: handle
        for axes in over_shots.axes
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(DATA))
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    write_atomic(PICTURE, png.getvalue())


def panels(part: SubFigure, names: list[str], title: str, ticks: dict[int, str]) -> None:
    """Axes for each name, those of a row alike."""
    part.suptitle(title)
    rows = -(-len(names) // COLUMNS)
    grid = part.subplots(rows, COLUMNS, sharex=True, sharey=True)
    for axes, name in zip(grid.flat, names, strict=False):
        axes.set_title(shorten(name), fontsize=9)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_yscale("symlog", linthresh=2)
        axes.set_yticks([-50, -10, -2, -1, 0, 1, 2, 10], minor=False)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()


def line(axes: Axes, points: list[tuple[float, float, float]], style: dict[str, Any]) -> None:
    """Values with their intervals."""
    at, values, intervals = zip(*points, strict=True)
    axes.errorbar(at, values, yerr=intervals, markersize=2.5, linewidth=1, capsize=1.5, **style)


def of_shot(results: list[Found]) -> Found:
    """The result that the lower half of the picture shows."""
    return next(result for result in results if result["shot"] == SHOTS_OF_SHIFT)


def all_names(measured: dict[str, Found]) -> list[str]:
    """Learners and yardsticks, each once, in the order of the files."""
    return list(dict.fromkeys(e["name"] for f in measured.values() for e in f["shots"]))


def shorten(name: str) -> str:
    """A yardstick's name without what all of them read."""
    text = name.replace(" of the features", "").replace(" on the features", "")
    return text.replace(", centred, unit length", ", unit length").replace(", centred", "")


def table(found: Found) -> list[str]:
    """A row for each learner: over shots, then under each shift."""
    plain = entries(found["shots"])
    shifted = {shift: entries(one) for shift, one in found["shifts"].items()}
    heads = [f"{r['shot']}-shot" for r in next(iter(plain.values()))]
    heads += [f"{shift}, {r['shot']}-shot" for shift, e in shifted.items() for r in e[REFERENCE]]
    lines = [f"| 5-way, accuracy % | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for name, results in plain.items():
        row = [*results, *(r for e in shifted.values() for r in e[name])]
        cells = [f"{100 * r['accuracy']:.2f}{beside(name, r)}" for r in row]
        lines.append(f"| {shorten(name)} | {' | '.join(cells)} |")
    return lines


def beside(name: str, result: Found) -> str:
    """The interval of the reference, the paired difference of any other."""
    if name == REFERENCE:
        return f" ± {100 * result['interval']:.2f}"
    return " ({:+.2f} ± {:.2f})".format(*advantage(result)).replace("-", "−")


def main() -> None:
    """The picture, then a table for each data set."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    measured = read()
    draw(measured)
    for name, found in measured.items():
        text = (
            f"{found['episodes']} meta-test episodes, {found['queries']} queries a class;"
            " in brackets the paired difference to the prototypical network, ± its 95 % interval."
        )
        command = f"python benchmarks/all_learners.py {name} BASE OUT"
        title = f"Every learner from one network: {DATA[name][1]}"
        write_table(f"learners-{name}", title, command, "\n".join([text, "", *table(found)]))


if __name__ == "__main__":
    main()
