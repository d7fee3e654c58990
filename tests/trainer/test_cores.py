"""How many processes and threads work is shared among, from cores, quotas and settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from handful.trainer.settings.errors import ConfigError
from handful.trainer.workers import Shape, host, shape_of

from ..each import each


@each(
    ("workers", "threads", "most", "wanted"),
    [
        (None, None, 16, (8, 1)),
        (None, None, 3, (3, 2)),  # what is left of the cores is shared out as threads
        (None, None, 1, (1, 8)),
        (None, 2, 16, (4, 2)),
        (None, 8, 16, (1, 8)),
        (1, None, 16, (1, 8)),
        (1, 3, 16, (1, 3)),
        (2, None, 16, (2, 4)),
        (2, 1, 16, (2, 1)),
        (12, None, 16, (12, 1)),
        (12, None, 5, (5, 1)),
    ],
)
def test_the_cores_are_shared_out(
    workers: int | None,
    threads: int | None,
    most: int,
    wanted: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(host, "CGROUP", Path("nowhere"))
    assert shape_of(workers, threads, most=most) == Shape(*wanted)


def test_under_torchrun_and_on_a_gpu_one_process_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert shape_of(None, None, most=16, device="cuda:0") == Shape(1, 8)
    with pytest.raises(ConfigError) as caught:
        shape_of(2, None, most=16, device="cuda:0")
    assert str(caught.value) == "2 workers on cuda:0"
    assert caught.value.hint == (
        "leave --workers out: a GPU computes for one process; several GPUs are shared out by"
        " torchrun"
    )
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert shape_of(None, None, most=16) == Shape(1, 8)
    assert shape_of(3, None, most=16).workers == 3


@each(
    ("files", "wanted"),
    [
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({}, 8),
    ],
)
def test_a_container_may_use_fewer_cores(
    files: dict[str, str], wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert host.usable_cores(tmp_path) == wanted
