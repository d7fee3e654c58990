"""--workers on the command line: signals, results, what is written and said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import handful

from .called import SMALL, run, settings


def test_a_signal_for_the_whole_group_saves_and_leaves_no_process(
    points: Path, tmp_path: Path
) -> None:
    """As from a system that shuts down: every process gets it. A worker heeds none."""
    folder = tmp_path / "run"
    source = settings("data.split=random", "data.rotations=false", *SMALL, "meta.steps=100000")
    command = [sys.executable, "-m", "handful", "train", "leo", "--data", points, "--out", folder]
    process = subprocess.Popen(
        [*map(str, command), *source, "--workers", "2"],
        env={"PYTHONPATH": str(Path(handful.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while not (folder / "last.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = [each for each in _processes(process.pid) if each != process.pid]
    assert workers
    for each in workers:
        os.kill(each, signal.SIGINT)
        os.kill(each, signal.SIGTERM)
    _wait_for_a_step(folder)
    assert set(workers) <= set(_processes(process.pid))
    os.killpg(process.pid, signal.SIGTERM)
    out, words = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert words.endswith(
        "error: interrupted, and saved\n"
        "\n"
        f"hint: go on with: handful train --resume --out {folder}\n"
    )
    assert "Traceback" not in words
    assert not (folder / "lock").exists()
    # multiprocessing's own tracker of resources notices a moment later that nobody is left
    deadline = time.monotonic() + 20
    while _processes(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _processes(process.pid) == []
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(len(lines)))


def _wait_for_a_step(folder: Path) -> None:
    """Until two steps more are logged: the first may have been computed already."""
    metrics = folder / "metrics.jsonl"
    wanted, deadline = metrics.read_text().count("\n") + 2, time.monotonic() + 120
    while metrics.read_text().count("\n") < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _processes(group: int) -> list[int]:
    """Those of the group that run."""
    running = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, in_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended meanwhile
            continue
        if int(in_group) == group and state != "Z":
            running.append(int(stat.parent.name))
    return running


@pytest.mark.parametrize("subject", ["run", "package"])
def test_several_workers_evaluate_as_one(subject: str, trained: Path, package: Path) -> None:
    folder = trained if subject == "run" else package
    sizes = ("--way", 2, 5, "--episodes", 60, "--queries", 2, "--json")
    one, two = (run("evaluate", folder, *sizes, "--workers", count) for count in (1, 2))
    assert two.exit_code == 0, two.stderr
    assert json.loads(two.stdout) == json.loads(one.stdout)


def test_several_workers_measure_an_export_as_one(
    trained: Path, package: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    result = run("export", trained, folder, "--episodes", 5, "--workers", 2)
    assert result.exit_code == 0, result.stderr
    one, two = (json.loads((p / "manifest.json").read_text()) for p in (package, folder))
    assert two["evaluation"] == one["evaluation"]
    assert len(two["evaluation"]) > 1


def test_one_task_a_step_starts_no_worker(
    points: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: object, count: int) -> None:
        assert count == 0

    monkeypatch.setattr("handful.trainer.workers.Workers.start", never)
    changes = settings("data.split=random", *SMALL, "meta.tasks=1", "pretrain.tasks=1")
    source = ("--data", points, "--set", "data.rotations=false")
    result = run("train", "leo", *source, "--out", tmp_path / "run", *changes, "--workers", 2)
    assert result.exit_code == 0, result.stderr


def test_there_is_one_worker_at_least(tmp_path: Path) -> None:
    for command in ("train", "evaluate", "export"):
        result = run(command, tmp_path, "--workers", 0)
        assert result.exit_code == 2, command
        assert "Invalid value for '--workers': 0 is not in the range x>=1." in result.stderr
