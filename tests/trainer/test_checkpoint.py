"""Checkpoints: what is written comes back, and a failed write leaves the old one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from handful.trainer.training.checkpoint import (
    LAST,
    CheckpointError,
    StorageError,
    read_checkpoint,
    write_checkpoint,
)


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6).reshape(2, 3).T, "n": torch.tensor(3, dtype=torch.int64)}
    write_checkpoint(tmp_path / LAST, tensors, {"step": 3, "name": "ka"})
    stored, facts = read_checkpoint(tmp_path / LAST)
    assert facts == {"step": 3, "name": "ka"}
    assert all(torch.equal(stored[name], tensors[name]) for name in tensors)
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def test_what_is_read_lies_as_torch_lays_it(tmp_path: Path) -> None:
    """Where a tensor begins in a cache line may decide how a product is rounded."""
    tensors = {f"t{i}": torch.randn(1 + 3 * i) for i in range(20)}
    write_checkpoint(tmp_path / "last.safetensors", tensors, {})
    found, _ = read_checkpoint(tmp_path / "last.safetensors")
    assert {tensor.data_ptr() % 64 for tensor in found.values()} == {0}


def test_a_checkpoint_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / LAST)
    assert str(caught.value) == f"no last.safetensors in {tmp_path}"
    assert caught.value.hint == "a run is a folder made by `handful train`"
    for content in (b"", b"no", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "):
        (tmp_path / LAST).write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint(tmp_path / LAST)
        assert str(caught.value).startswith(f"{tmp_path / LAST} is not a checkpoint of handful: ")


def test_a_failed_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path / LAST, {"a": torch.ones(1)}, {"step": 1})

    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", source)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StorageError) as caught:
        write_checkpoint(tmp_path / LAST, {"a": torch.zeros(1)}, {"step": 2})
    assert str(caught.value) == f"cannot write {tmp_path / LAST}: No space left on device"
    assert caught.value.hint == "make room, then go on with --resume: the last checkpoint is whole"
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / LAST)[1] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_checkpoint_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    write_checkpoint(tmp_path / "run" / LAST, {"a": torch.ones(1)}, {"step": 1})
    ordinary = (tmp_path / "ordinary").stat().st_mode
    assert (tmp_path / "run" / LAST).stat().st_mode == ordinary
