"""metrics.csv: the rows of metrics.jsonl, whatever a run is stopped, killed or resumed by."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from handful.trainer.training import log
from handful.trainer.training.checkpoint import StorageError
from handful.trainer.training.config import from_dict
from handful.trainer.training.log import TABLE, Table, forget_after, log_line, read_metrics
from handful.trainer.training.loop import Options
from handful.trainer.training.run import train

from .test_run import after
from .two_processes import RUNS, small_data

LINES: tuple[dict[str, Any], ...] = (
    {"step": 0, "validation": 0.2, "interval": 0.01},
    {"step": 1, "loss": 1.5, "skipped": 0, "seconds": 0.1},
    {"step": 2, "loss": float("nan"), "skipped": 1, "seconds": 0.2},
    {"step": 3, "loss": 0.1, "skipped": 1, "validation": 0.9, "interval": 0.02, "seconds": 0.3},
)
WHOLE = """\
step,validation,interval,loss,skipped,seconds
0,0.2,0.01,,,
1,,,1.5,0,0.1
2,,,nan,1,0.2
3,0.9,0.02,0.1,1,0.3
"""


def written(folder: Path, *lines: dict[str, Any]) -> str:
    log, rows = log_line(folder / "metrics.jsonl"), Table(folder)
    for line in lines:
        log(line)
        rows.append(line)
    return (folder / TABLE).read_text()


def test_a_row_for_each_line_and_a_column_for_each_name(tmp_path: Path) -> None:
    assert written(tmp_path, *LINES) == WHOLE


def test_half_a_row_and_rows_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    written(tmp_path, *LINES)
    with (tmp_path / TABLE).open("a") as file:
        file.write("4,,,0.0")  # a process killed amid a row
    forget_after(tmp_path / "metrics.jsonl", 1)
    assert written(tmp_path, *LINES[2:]) == WHOLE


def test_a_table_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(tmp_path, *LINES[:2])

    def full(path: Path, content: bytes) -> None:
        raise StorageError("full")

    monkeypatch.setattr(log, "write", full)
    with pytest.raises(StorageError):
        Table(tmp_path)
    assert (tmp_path / TABLE).read_text() == before


def test_a_row_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    written(tmp_path, *LINES[:2])
    rows = Table(tmp_path)
    (tmp_path / TABLE).unlink()
    (tmp_path / TABLE).mkdir()
    with pytest.raises(StorageError) as caught:
        rows.append(LINES[1])
    assert str(caught.value) == f"cannot write {tmp_path / TABLE}: Is a directory"
    assert caught.value.hint == "make room, then go on with --resume"


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def as_text(lines: list[dict[str, Any]]) -> list[dict[str, str]]:
    names = {name for line in lines for name in line}
    return [{name: str(line.get(name, "")) for name in names} for line in lines]


def test_a_resumed_run_goes_on_with_its_tables(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = from_dict({**RUNS["leo"], "data": small_data(tmp_path)}, where="leo")
    assert train(config, folder, Options(stop=after(6))).step < 4
    train(config, folder, Options(resume=True))
    for place in (folder, folder / "pretrained"):
        lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [0, 1, 2, 3, 4]
        assert rows_of(place) == as_text(read_metrics(place))
