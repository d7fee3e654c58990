"""Worker processes: what is sent, who computes, what is said when one dies, who ends them."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.runtime.errors import HandfulError
from handful.trainer.workers import Shape, WorkerError, Workers, blocks, episode_blocks, workers
from handful.trainer.workers.worker import make_portable, pack, unpack

from ..each import each
from .jobs import Elsewhere, doubled, process, times

ROOT = Path(__file__).parents[2]
TENSORS = {
    "number": torch.tensor(2.5),
    "none": torch.zeros(0, 3),
    "counter": torch.tensor([1, 2**60]),
    "truth": torch.tensor([True, False]),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "expanded": torch.arange(3.0).expand(2, 3),
    "leaf": torch.ones(2, requires_grad=True),
}


@each("name", TENSORS)
def test_a_tensor_arrives_as_it_was(name: str) -> None:
    sent = TENSORS[name]
    came, array = unpack(pack((sent, np.arange(3.0))))
    assert (came.dtype, came.shape) == (sent.dtype, sent.shape)
    assert torch.equal(came, sent)
    assert not came.requires_grad
    assert np.array_equal(array, np.arange(3.0))


def test_what_is_held_is_not_sent_again() -> None:
    tensor, other = torch.rand(1000), torch.rand(10)
    parts = pack({"a": tensor, "b": other}, {id(tensor): 4})
    assert sum(memoryview(part).nbytes for part in parts) < 1000
    came = unpack(parts, {4: tensor})
    assert came["a"] is tensor
    assert torch.equal(came["b"], other)


def test_every_process_takes_its_share_and_the_order_is_kept(pool: Workers) -> None:
    with pool.together():
        assert len({os.getpid(), *pool.map(process, range(3))}) == 3
    ticks: list[float] = []
    results = pool.map(partial(times, torch.ones(3)), range(40), ticks.append)
    assert results == [3 * x for x in range(40)]
    assert sorted(ticks) == results


def test_tensors_come_back_and_held_ones_are_the_same(pool: Workers) -> None:
    shares = [torch.rand(5) for _ in range(7)]
    for share, came in zip(shares, pool.map(doubled, shares), strict=True):
        assert torch.equal(came, 2 * share)
    one, two = torch.ones(3), torch.ones(4)
    for held in ([one], [one, two], [two], []):
        pool.hold(held)
        assert pool.map(partial(times, one), [1, 2, 3]) == [3, 6, 9]
        assert pool.map(partial(times, two), [1, 2, 3]) == [4, 8, 12]


def test_an_error_in_a_worker_is_raised_here_and_the_next_job_is_done(pool: Workers) -> None:
    with pool.together(), pytest.raises(HandfulError) as caught:
        pool.map(Elsewhere(os.getpid(), "refuse"), range(9))
    assert str(caught.value) == "it is wrong"
    assert caught.value.hint == "put it right"
    assert "in a worker process:\nTraceback" in caught.value.__notes__[0]
    assert "in _refuse" in caught.value.__notes__[0]
    assert pool.map(partial(times, torch.ones(1)), range(9)) == list(range(9))
    pool.check()


def test_an_error_that_cannot_be_sent_is_sent_in_words(pool: Workers) -> None:
    with pool.together(), pytest.raises(RuntimeError) as caught:
        pool.map(Elsewhere(os.getpid(), "setting"), range(3))
    assert str(caught.value) == "SettingError: size is 0, wanted 1"


def test_a_job_that_a_worker_cannot_read_is_an_error_there_too(pool: Workers) -> None:
    class Hidden:
        def __reduce__(self) -> Any:
            return _only_here, (os.getpid(),)

        def __call__(self, share: int) -> int:
            return share

    with pool.together(), pytest.raises(ValueError, match="not in this process"):
        pool.map(Hidden(), range(3))


def test_a_worker_finds_a_module_that_was_found_after_it_started(
    pool: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `handful evaluate` finds a learner of the user's in the current folder."""
    (tmp_path / "found_later.py").write_text("def half(x):\n    return x / 2\n")
    with pool.together():
        monkeypatch.syspath_prepend(tmp_path)
        half = importlib.import_module("found_later").half
        assert pool.map(half, range(9)) == [x / 2 for x in range(9)]


def _only_here(first: int) -> None:
    if os.getpid() != first:
        raise ValueError("not in this process")


def test_errors_keep_their_class_only_where_they_can() -> None:
    assert type(make_portable(KeyError("a"))) is KeyError
    assert (
        type(make_portable(subprocess.CalledProcessError(1, "a"))) is subprocess.CalledProcessError
    )


def test_a_worker_neither_prints_nor_warns(
    pool: Workers, capfd: pytest.CaptureFixture[str]
) -> None:
    with pool.together():
        assert pool.map(Elsewhere(os.getpid(), "print"), range(3)) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_signals_for_all_processes_leave_workers_alone(pool: Workers) -> None:
    with pool.together():
        others = set(pool.map(process, range(3))) - {os.getpid()}
        for number in (signal.SIGINT, signal.SIGTERM):
            for other in others:
                os.kill(other, number)
        assert set(pool.map(process, range(3))) >= others


def test_the_shares_of_a_worker_that_dies_are_computed_by_the_others() -> None:
    with workers(Shape(2, 1)) as own:
        assert own.size == 2
        with own.together():
            assert own.map(Elsewhere(os.getpid(), "die"), range(9)) == list(range(9))
        assert own.size == 1
        with pytest.raises(WorkerError) as caught:
            own.check("go on")
        assert own.map(partial(times, torch.ones(1)), [1, 2]) == [1, 2]
    number = str(caught.value).split()[2]
    assert str(caught.value) == f"worker process {number} was ended by SIGKILL"
    assert caught.value.hint == "go on; if memory ran out, --workers 1 needs the least"


def test_workers_do_not_outlive_a_first_process_that_is_killed(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "tests.trainer.jobs", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert _within(120, (tmp_path / "worker").exists)
        worker = int((tmp_path / "worker").read_text())
        assert _runs(worker)
    finally:
        first.kill()
        first.wait()
    assert _within(30, lambda: not _runs(worker))


def _runs(number: int) -> bool:
    """Whether the process computes; one that has ended may wait to be asked how."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _within(seconds: float, holds: Any) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(holds())


def test_processes_that_cannot_be_started_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
    with pytest.raises(WorkerError) as caught, workers(Shape(2, 1)):
        raise AssertionError("it started")
    assert str(caught.value) == (
        "a worker process cannot be started: Resource temporarily unavailable"
    )
    assert caught.value.hint == "--workers 1 starts none"


def test_alone_everything_is_done_here() -> None:
    alone = Workers()
    assert (alone.size, alone.map(process, range(2))) == (1, [os.getpid()] * 2)
    threads = torch.get_num_threads()
    with alone.together():
        assert torch.get_num_threads() == threads
    alone.check()


def test_threads_are_fewer_only_while_work_is_shared(pool: Workers) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pool.together():
            assert torch.get_num_threads() == 1
        assert set(pool.map(_threads, range(3))) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def _threads(_: object) -> int:
    return torch.get_num_threads()


def test_blocks_by_hand() -> None:
    assert blocks(7, 3) == [slice(0, 2), slice(2, 4), slice(4, 7)]
    assert blocks(2, 3) == [slice(0, 1), slice(1, 2)]
    assert blocks(0, 3) == []


def test_episodes_go_one_by_one_alone_and_in_even_blocks_together(pool: Workers) -> None:
    assert episode_blocks(Workers(), 3) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert len(episode_blocks(pool, 48)) == 24  # 8 for each of three processes
    lengths = {block.stop - block.start for block in episode_blocks(pool, 5000)}
    assert lengths == {15, 16}
    assert episode_blocks(pool, 2) == [slice(0, 1), slice(1, 2)]
