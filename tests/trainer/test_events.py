"""TensorBoard's event files: the same numbers as metrics.jsonl, each step once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from handful.trainer.training.checkpoint import LAST, read_checkpoint
from handful.trainer.training.config import RunConfig, from_dict
from handful.trainer.training.folder import RunError
from handful.trainer.training.loop import Options
from handful.trainer.training.run import train

from .test_run import after
from .two_processes import RUNS, small_data

TORCHS = "torch.utils.tensorboard"


class Writer:
    """A SummaryWriter that keeps what it was told."""

    made: list[Writer]

    def __init__(self, log_dir: str, purge_step: int) -> None:
        Path(log_dir).mkdir(exist_ok=True)
        self.log_dir, self.purge_step = log_dir, purge_step
        self.scalars: list[tuple[str, float, int]] = []
        self.written, self.closed = 0, False
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def flush(self) -> None:
        self.written = len(self.scalars)

    def close(self) -> None:
        self.closed = True

    def steps(self) -> list[int]:
        return list(dict.fromkeys(step for _, _, step in self.scalars))


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[Writer]:
    """The writers that were made, in place of the package's, whether it is installed or not."""
    monkeypatch.setattr(Writer, "made", [], raising=False)
    module: Any = ModuleType(TORCHS)
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, TORCHS, module)
    monkeypatch.setattr("handful.trainer.training.log.find_spec", lambda name: name)
    return Writer.made


def small(tmp_path: Path) -> RunConfig:
    return from_dict({**RUNS["maml"], "data": small_data(tmp_path)}, where="maml")


def killed(config: RunConfig, folder: Path) -> None:
    """A run that ends in its fourth step, without a checkpoint of its third."""
    calls = iter(range(1, 10))

    def stop() -> bool:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        train(config, folder, Options(tensorboard=True, stop=stop))


def numbers(folder: Path) -> list[tuple[str, float, int]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(name, line[name], line["step"]) for line in lines for name in line if name != "step"]


def test_every_number_of_every_line_at_its_step(tmp_path: Path, writers: list[Writer]) -> None:
    train(small(tmp_path), tmp_path / "run", Options(tensorboard=True))
    (writer,) = writers
    assert writer.log_dir == str(tmp_path / "run" / "events")
    assert writer.purge_step == 0
    assert writer.scalars == numbers(tmp_path / "run")
    assert writer.written == len(writer.scalars)
    assert writer.closed


def test_a_resumed_run_hides_what_came_after_its_checkpoint(
    tmp_path: Path, writers: list[Writer]
) -> None:
    folder = tmp_path / "run"
    killed(small(tmp_path), folder)
    step = read_checkpoint(folder / LAST)[1]["progress"]["step"]
    train(small(tmp_path), folder, Options(tensorboard=True, resume=True))
    assert [writer.purge_step for writer in writers] == [0, step + 1]
    before, later = (writer.steps() for writer in writers)
    assert before[-1] > step  # what has to be hidden
    assert later == list(range(step + 1, 5))


def test_a_run_that_had_no_events_gets_all(tmp_path: Path, writers: list[Writer]) -> None:
    folder = tmp_path / "run"
    train(small(tmp_path), folder, Options(stop=after(2)))
    assert writers == []
    train(small(tmp_path), folder, Options(tensorboard=True, resume=True))
    assert writers[0].scalars == numbers(folder)


def test_without_the_package_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(RunError) as caught:
        train(small(tmp_path), tmp_path / "run", Options(tensorboard=True))
    assert str(caught.value) == (
        "--tensorboard writes event files by the package tensorboard, which is not installed"
    )
    assert caught.value.hint == (
        "pip install tensorboard, or leave --tensorboard out: metrics.csv has the same numbers"
    )
    assert not (tmp_path / "run").exists()


def test_what_tensorboard_reads_of_a_resumed_run(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="the package tensorboard is not installed",
    )
    folder = tmp_path / "run"
    killed(small(tmp_path), folder)
    train(small(tmp_path), folder, Options(tensorboard=True, resume=True))
    events = reader.EventAccumulator(str(folder / "events"))
    events.Reload()
    read = {
        (name, event.step): event.value
        for name in events.Tags()["scalars"]
        for event in events.Scalars(name)
    }
    assert read == pytest.approx({(name, step): v for name, v, step in numbers(folder)})
    steps = [event.step for event in events.Scalars("loss")]
    assert steps == [1, 2, 3, 4]
