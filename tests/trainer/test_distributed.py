"""Several processes: two under torchrun train what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from handful.trainer.episodes import TaskSize, sample
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.checkpoint import BEST, LAST, read_checkpoint
from handful.trainer.training.distributed import World

from ..each import each
from .small import generator, vectors
from .two_processes import RUNS, small_data, train_all

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The runs of one process and of two."""
    alone, together, data = (
        tmp_path_factory.mktemp(name) for name in ("alone", "together", "data")
    )
    small_data(data)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2", "-m", "tests.trainer.two_processes"]
    process = subprocess.run(
        [*torchrun, str(together), str(data)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    train_all(alone, data)
    return alone, together


FILES = [(name, file) for name in RUNS for file in (LAST, BEST)]


@each(("name", "file"), [*FILES, ("leo/pretrained", LAST)])
def test_two_processes_train_the_parameters_of_one(
    name: str, file: str, folders: tuple[Path, Path]
) -> None:
    """LEO's two tasks are one for each process, MAML's three are one and two."""
    (one, facts), (two, other) = (read_checkpoint(folder / name / file) for folder in folders)
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-6, atol=1e-7)
    for checkpoint_facts in (facts, other):
        checkpoint_facts.get("progress", {}).pop("seconds", None)
    assert facts == other


@each("name", RUNS)
def test_only_the_first_process_writes_the_log(name: str, folders: tuple[Path, Path]) -> None:
    lines = [
        [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        for folder in folders
    ]
    assert [line["step"] for line in lines[1]] == [0, 1, 2, 3, 4]
    for one, two in zip(*lines, strict=True):
        assert two.get("loss", 0) == pytest.approx(one.get("loss", 0), rel=1e-6)
        assert two.get("validation") == one.get("validation")


@each("tasks", [4, 5])
def test_tasks_are_shared_out_once_each(tasks: int) -> None:
    episodes = sample(vectors(), TaskSize(2, 1, 1), tasks=tasks, generator=generator())
    noise = {"z": torch.arange(float(tasks))}
    parts = [World(rank, 2).share(episodes, noise) for rank in (0, 1)]
    assert torch.equal(torch.cat([noise["z"] for _, noise in parts]), noise["z"])
    for i in range(4):
        assert torch.equal(torch.cat([episode[i] for episode, _ in parts]), episodes[i])


def test_fewer_tasks_than_processes_are_refused() -> None:
    episodes = sample(vectors(), TaskSize(2, 1, 1), tasks=3, generator=generator())
    with pytest.raises(ConfigError) as caught:
        World(0, 4).share(episodes, {})
    assert str(caught.value) == "3 tasks a step cannot be shared by 4 processes"
    assert caught.value.hint == "set meta.tasks to their number at least, or start fewer of them"


def test_alone_nothing_is_averaged_or_asked() -> None:
    world = World()
    assert world.first
    assert (world.any(True), world.any(False), world.agree(7)) == (True, False, 7)
