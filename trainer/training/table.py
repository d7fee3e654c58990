"""metrics.csv: the lines of metrics.jsonl as the rows of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .files import storing, write
from .log import METRICS, read_metrics

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
