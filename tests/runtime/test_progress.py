"""Who asks is told how far work is; what interrupts it leaves a task and its file as they were."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful.console import bars
from handful.runtime.inputs.examples import read_folder
from handful.runtime.learner import Learner, load
from handful.runtime.progress import Meter

from ..commands.called import run
from ..each import each
from .test_on_files import picture

# a process that Ctrl-C meets at the piece of work whose number it is given
MET = """
import os, signal, sys
from handful.cli import main
from handful.runtime.progress import Meter
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's & leaves out
at, count = int(sys.argv.pop(1)), 0
def tick(self):
    global count
    count += 1
    if count == at:
        os.kill(os.getpid(), signal.SIGINT)
Meter.tick = tick
main()
"""


class Stopped(Exception):
    """What a callback raises."""


def examples(learner: Learner, count: int) -> list[Any]:
    return list(np.random.default_rng(0).random((count, *learner.input.shape), np.float32))


def assert_told(told: list[float], least: int) -> None:
    """Shares that rise to 1, and of which there are as many as pieces of work or more."""
    assert told == sorted(set(told))
    assert told[0] > 0
    assert told[-1] == 1
    assert len(told) >= least


@each("name", ["prototypes", "head"])
def test_adapt_and_add_tell_each_example_and_step(packages: Any, name: str) -> None:
    learner = load(packages(name))
    embedded = learner.manifest.embed is not None
    told: list[float] = []
    task = learner.adapt(examples(learner, 4), ["a", "b"] * 2, progress=told.append)
    assert_told(told, 4 * embedded + learner._engine.adapting_runs)
    told.clear()
    task = task.add({"c": examples(learner, 3)}, progress=told.append)
    assert_told(told, 3 * embedded + learner._engine.adapting_runs)
    told.clear()
    task = task.with_negatives(examples(learner, 5), progress=told.append)
    assert_told(told, 5 * embedded)
    told.clear()
    task.add({"c": examples(learner, 1)}, progress=told.append)
    assert_told(told, 1)


def test_more_work_on_the_way_never_lowers_the_share() -> None:
    told: list[float] = []
    meter = Meter(told.append)
    meter.expect(2)
    for more in (0, 6, 0, 0, 0, 0, 0, 0):
        meter.expect(more)
        meter.tick()
    meter.end()
    assert_told(told, 4)
    assert told[-2] == 8 / 9  # 1 is told at the end alone


def test_what_a_callback_raises_ends_the_work(packages: Any) -> None:
    learner = load(packages("prototypes"))
    task = learner.adapt(examples(learner, 2), ["a", "b"])

    def stop(share: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        task.add({"a": examples(learner, 1)}, progress=stop)
    assert task.counts == {"a": 1, "b": 1}


def test_reading_a_folder_tells_each_file(packages: Any, tmp_path: Path) -> None:
    for label in "ab":
        for i in range(3):
            picture(tmp_path / label / f"{i}.png", 40 * i)
    told: list[float] = []
    read_folder(tmp_path, load(packages("head")).input, progress=told.append)
    assert_told(told, 6)


def test_ctrl_c_leaves_the_task_file_as_it_was(packages: Any, tmp_path: Path) -> None:
    for i, label in enumerate("abc"):
        picture(tmp_path / "first" / label / "0.png", 50 * i)
        picture(tmp_path / "more" / label / "1.png", 50 * i + 9)
    task = tmp_path / "task.npz"
    made = run("adapt", packages("head"), tmp_path / "first", "--out", task)
    assert made.exit_code == 0, made.stderr
    before = task.read_bytes(), sorted(tmp_path.iterdir())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pieces = 3 + load(packages("head"))._engine.adapting_runs
    for at in (1, 3, 4, pieces):  # the first file and the last, the first graph and the last
        arguments = [str(at), "add", str(task), str(tmp_path / "more"), "--force"]
        done = subprocess.run(
            [sys.executable, "-c", MET, *arguments],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n"), at
        assert (task.read_bytes(), sorted(tmp_path.iterdir())) == before


class Terminal(io.StringIO):
    """A stderr that people look at."""

    def isatty(self) -> bool:
        return True


@each(
    "stream, patience, shown",
    [(Terminal(), 0.0, True), (Terminal(), 60.0, False), (io.StringIO(), 0.0, False)],
)
def test_a_bar_is_drawn_for_work_of_seconds_on_a_terminal(
    stream: io.StringIO, patience: float, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handful.console.PATIENCE", patience)
    monkeypatch.setattr("sys.stderr", stream)
    with bars() as tell:
        for part in ("reading", "adapting"):
            progress = tell(part)
            assert progress is not None
            for share in (0.25, 0.5, 1.0):
                progress(share)
    text = stream.getvalue()
    assert ("reading" in text, "adapting" in text, text[-1:] == "\n") == (shown,) * 3
    assert ("100%" in text) == shown
