"""metrics.jsonl: a line for each step of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import storing, write

METRICS = "metrics.jsonl"
# what a line calls a measure: of meta-training, of validation; each as a share of 1 or an error
ACCURACY, ERROR = "accuracy", "mean_squared_error"
VALIDATION, VALIDATION_ERROR = "validation", "validation_error"


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
