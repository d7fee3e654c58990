"""A whole run in its folder: claimed, resumed after a stop or a kill, refused, loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from handful.trainer.data import DataError
from handful.trainer.training.checkpoint import BEST, LAST, CheckpointError, read_checkpoint
from handful.trainer.training.config import RunConfig, from_dict
from handful.trainer.training.folder import LockError, RunError, load_run, locked, read_config
from handful.trainer.training.loop import Options
from handful.trainer.training.run import train

from ..each import each
from .small import vectors
from .two_processes import RUNS, small_data

Config = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings of a small run on data in a file."""
    data = small_data(tmp_path_factory.mktemp("data"))

    def settings(name: str = "leo", **meta: Any) -> RunConfig:
        run = {**RUNS[name], "data": data}
        return from_dict({**run, "meta": {**run["meta"], **meta}}, where=name)

    return settings


def after(steps: int) -> Callable[[], bool]:
    calls = iter(range(1, 10_000))
    return lambda: next(calls) >= steps


def steps_of(folder: Path) -> list[int]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def same(one: Path, two: Path) -> bool:
    (left, _), (right, _) = read_checkpoint(one), read_checkpoint(two)
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@each("stop", [2, 3, 6])
def test_a_stopped_run_goes_on_as_if_it_had_not(stop: int, tmp_path: Path, config: Config) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config(), whole)
    assert train(config(), parts, Options(stop=after(stop))).step < 4
    assert train(config(), parts, Options(resume=True)).step == 4
    for file in (LAST, BEST, f"pretrained/{LAST}", f"pretrained/{BEST}"):
        assert same(whole / file, parts / file), file
    assert steps_of(parts) == steps_of(parts / "pretrained") == [0, 1, 2, 3, 4]


def test_a_killed_run_forgets_the_steps_after_its_last_checkpoint(
    tmp_path: Path, config: Config
) -> None:
    calls = []

    def killed() -> bool:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        train(config("maml"), tmp_path / "killed", Options(stop=killed))
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # half a line, as a full disk leaves it
    assert train(config("maml"), tmp_path / "killed", Options(resume=True)).step == 4
    train(config("maml"), tmp_path / "whole")
    assert steps_of(tmp_path / "killed") == [0, 1, 2, 3, 4]
    assert same(tmp_path / "killed" / LAST, tmp_path / "whole" / LAST)


def test_a_finished_run_is_loaded_with_its_best_parameters(tmp_path: Path, config: Config) -> None:
    folder = tmp_path / "run"
    train(config("maml"), folder)
    trained = load_run(folder, vectors())
    assert trained.learner.name == "maml"
    assert trained.config == read_config(folder) == config("maml")
    best, facts = read_checkpoint(folder / BEST)
    assert all(torch.equal(trained.params[name], best[name]) for name in best)
    assert trained.facts == facts
    assert facts["versions"].keys() >= {"python", "torch", "numpy"}


def refused(folder: Path, settings: RunConfig, **options: Any) -> RunError:
    with pytest.raises(RunError) as caught:
        train(settings, folder, Options(**options))
    return caught.value


def test_a_run_is_never_overwritten(tmp_path: Path, config: Config) -> None:
    folder = tmp_path / "run"
    train(config("maml"), folder)
    before = (folder / LAST).read_bytes()
    error = refused(folder, config("maml"))
    assert str(error) == f"{folder} holds a run already"
    assert error.hint == "go on with it by --resume, or name another folder with --out"
    error = refused(folder, config("maml", lr=0.5), resume=True)
    assert str(error) == f"{folder} holds a run with other settings"
    assert error.hint == "resume without changing settings, or name another folder with --out"
    assert (folder / LAST).read_bytes() == before


def test_other_folders_are_refused(tmp_path: Path, config: Config) -> None:
    error = refused(tmp_path / "none", config("maml"), resume=True)
    assert str(error) == f"no run to resume in {tmp_path / 'none'}"
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    error = refused(tmp_path / "letters", config("maml"))
    assert str(error) == f"{tmp_path / 'letters'} is not empty"
    assert error.hint == "name another folder with --out"


def test_what_a_process_left_that_was_killed_before_it_began_is_in_nobodys_way(
    tmp_path: Path, config: Config
) -> None:
    for name in ("data.json", ".config.json.1f2e", ".DS_Store"):
        (tmp_path / name).write_text("half")
    assert train(config("maml"), tmp_path).finished


def test_a_file_is_no_folder(tmp_path: Path, config: Config) -> None:
    (tmp_path / "letter").write_text("dear")
    error = refused(tmp_path / "letter", config("maml"))
    assert str(error) == f"{tmp_path / 'letter'} is not a folder"
    assert error.hint == "name another one with --out"


def test_two_processes_do_not_write_one_run(tmp_path: Path, config: Config) -> None:
    folder = tmp_path / "run"
    train(config("maml"), folder, Options(stop=after(2)))
    before = (folder / LAST).read_bytes()
    with locked(folder, print), pytest.raises(LockError, match="is being written by process"):
        train(config("maml"), folder, Options(resume=True))
    assert (folder / LAST).read_bytes() == before
    assert train(config("maml"), folder, Options(resume=True)).finished


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        read_config(tmp_path)
    assert str(caught.value) == f"no config.json in {tmp_path}"
    assert caught.value.hint == "a run is a folder made by `handful train`"
    (tmp_path / "config.json").write_text(json.dumps({"learner": {"name": "nearest"}}))


def test_a_run_that_was_not_validated_yet_is_gone_on_with(tmp_path: Path, config: Config) -> None:
    folder = tmp_path / "run"
    train(config("maml"), folder)
    (folder / BEST).unlink()
    with pytest.raises(CheckpointError, match=r"no best\.safetensors in"):
        load_run(folder, vectors())
    (folder / LAST).unlink()  # interrupted while it was pre-trained
    with pytest.raises(RunError) as caught:
        load_run(folder, vectors())
    assert str(caught.value) == f"{folder} has not come to its first validation"
    assert caught.value.hint == f"go on with it: handful train --resume --out {folder}"


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_kept() -> None:
    program = """
import resource, torch
from handful.trainer.workers.host import keep_memory
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def used():
    before = faults()
    for _ in range(4):
        torch.ones(2**24)
    return faults() - before
first, told = used(), keep_memory()
second = min(used() for _ in range(8))
assert not told or second < first / 10, (first, second)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_data_that_do_not_suffice_leave_no_folder(tmp_path: Path, config: Config) -> None:
    with pytest.raises(DataError, match="has 8 examples, a task needs 8 \\+ 3"):
        train(config(queries=3, shot=[8]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert train(config(), tmp_path / "run").step == 4
