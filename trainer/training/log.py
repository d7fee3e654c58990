"""What a run writes of its steps: metrics.jsonl, and of that a table, events, a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.runtime.package.manifest import MEASURES, Measure

from .checkpoint import storing, write
from .folder import RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = "metrics.jsonl"
# what a line calls a measure of meta-training, and that of validation: a share of 1, an error, a
# return
ACCURACY, ERROR, RETURN = MEASURES.values()
VALIDATION, VALIDATION_ERROR, VALIDATION_RETURN = (
    "validation", "validation_error", "validation_return",
)  # fmt: skip
VALIDATIONS: dict[Measure, str] = dict(
    zip(MEASURES.values(), (VALIDATION, VALIDATION_ERROR, VALIDATION_RETURN), strict=True)
)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of the run, in the order of their steps."""
    lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
    by_step = {line["step"]: line for line in map(json.loads, lines)}
    return [by_step[step] for step in sorted(by_step)]


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of steps that a killed run took after its last checkpoint."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
    write(path, "".join(f"{line}\n" for line in kept).encode())


def log_line(path: Path) -> Callable[[dict[str, Any]], None]:
    """Append each line of progress to a JSON-lines file."""

    def append(line: dict[str, Any]) -> None:
        with (
            storing(path, "make room, then go on with --resume"),
            path.open("a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(line) + "\n")

    return append


TABLE = "metrics.csv"


class Table:
    """A row for each line, a column for each name in the order in which the names appeared.

    metrics.jsonl is written first and decides: where the table is opened, and where a line brings
    a new name, the file is written anew from it, whole or not at all. So a resumed run has no row
    twice, none of steps that were lost, and no half one.
    """

    def __init__(self, folder: Path) -> None:
        """The table of the run in `folder`, with a row for each of its lines so far."""
        self.folder, self.columns = folder, ["step"]
        if (folder / METRICS).exists():
            self._write(read_metrics(folder))

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line that metrics.jsonl already has."""
        if not set(line) <= set(self.columns):
            self._write(read_metrics(self.folder))
            return
        path = self.folder / TABLE
        with (
            storing(path, "make room, then go on with --resume"),
            path.open("a", encoding="utf-8", newline="") as file,
        ):
            file.write(self._rows([line]))

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        lines = list(lines)
        self.columns = list(dict.fromkeys(["step", *(name for line in lines for name in line)]))
        header = ",".join(self.columns) + "\n"
        write(self.folder / TABLE, (header + self._rows(lines)).encode())

    def _rows(self, lines: Iterable[Mapping[str, Any]]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writerows(lines)
        return text.getvalue()


EVENTS = "events"
FULL = "make room, then go on with --resume"


def require_tensorboard() -> None:
    """Refuse before anything is read or written."""
    if find_spec("tensorboard") is None:
        raise RunError(
            "--tensorboard writes event files by the package tensorboard, which is not installed",
            hint="pip install tensorboard, or leave --tensorboard out: metrics.csv has the same"
            " numbers",
        )


class Events:
    """A scalar for each number of a line, at its step, in the folder `events` of a run.

    TensorBoard hides what an earlier process wrote of the steps after `step`, where the run goes
    on. A run that had no events gets those of all its lines so far.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """The events of the run in `folder`, which stands at `step`; −1 before its first line."""
        from torch.utils.tensorboard import SummaryWriter

        place = folder / EVENTS
        absent = not place.exists()
        with storing(place, FULL):
            self.writer = SummaryWriter(str(place), purge_step=step + 1)
        if absent and (folder / METRICS).exists():
            for line in read_metrics(folder):
                self.append(line)

    def append(self, line: Mapping[str, Any]) -> None:
        """Write a line, at once: a killed process loses none that metrics.jsonl has."""
        with storing(Path(self.writer.log_dir), FULL):
            for name, value in line.items():
                if name != "step":
                    self.writer.add_scalar(name, value, line["step"])
            self.writer.flush()

    def close(self) -> None:
        """End the thread that writes."""
        self.writer.close()


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
    names = {name for line in lines for name in line}
    measure, validation = next(
        (pair for pair in VALIDATIONS.items() if pair[1] in names), (ACCURACY, VALIDATION)
    )
    for axes, name in ((loss, "loss"), (right, measure)):
        points = [(line["step"], line[name]) for line in lines if name in line]
        steps, values = [p[0] for p in points], [p[1] for p in points]
        axes.plot(steps, values, linewidth=0.5, alpha=0.35, color="tab:blue")
        axes.plot(*_smooth(steps, values), color="tab:blue", label="meta-training")
        axes.set_xlabel("step")
        axes.set_ylabel(name.replace("_", " "))
        axes.grid(alpha=0.3)
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


def _smooth(steps: list[int], values: list[float]) -> tuple[list[float], list[float]]:
    """Means over windows."""
    width = max(1, len(steps) // SMOOTH_OVER)
    groups = [slice(i, i + width) for i in range(0, len(steps), width)]
    return (
        [sum(steps[g]) / len(steps[g]) for g in groups],
        [sum(values[g]) / len(values[g]) for g in groups],
    )
