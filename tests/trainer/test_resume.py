"""A resumed meta-training is bit for bit the one that was not stopped, from any checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from handful.trainer.training.checkpoint import BEST, LAST, read_checkpoint
from handful.trainer.training.loop import meta_train

from .test_loop import changed, once, run_of


@pytest.mark.parametrize(
    "name", ["prototypical", "maml-support-fixed", "leo", "anil", "relation", "matching-context"]
)
@pytest.mark.parametrize("at", [3, 4])
def test_a_resumed_run_is_the_same_bit_for_bit(name: str, at: int, tmp_path: Path) -> None:
    whole, lines = run_of(name, tmp_path / "whole")
    meta_train(whole)
    first, before = run_of(name, tmp_path / "parts")
    stopped = meta_train(first, stop=once(at))
    assert (stopped.step, len(before)) == (at, at + 1)
    second, after = run_of(name, tmp_path / "parts")
    finished = meta_train(second, resume=True)
    assert finished.step == 6
    assert [*before, *after] == lines
    assert whole.params.keys() == second.params.keys()
    for key in whole.params:
        assert torch.equal(whole.params[key], second.params[key]), key
    for file in (LAST, BEST):
        one, facts = read_checkpoint(tmp_path / "whole" / file)
        two, other = read_checkpoint(tmp_path / "parts" / file)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
        for checkpoint_facts in (facts, other):
            checkpoint_facts.get("progress", {}).pop("seconds", None)
        assert facts == other


class Killed(BaseException):
    """As by kill -9: nothing is saved."""


def killed_at(step: int) -> Callable[[], bool]:
    calls = iter(range(1, 10_000))

    def stop() -> bool:
        if next(calls) == step:
            raise Killed
        return False

    return stop


@pytest.mark.parametrize(
    ("seconds", "last"), [(1e-9, 4), (3600.0, 1)], ids=["always late", "the first one alone"]
)
def test_a_killed_run_goes_on_from_a_checkpoint_between_validations(
    seconds: float, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handful.trainer.training.loop.CHECKPOINT_SECONDS", seconds)
    config = changed(validate_every=6)
    whole, _ = run_of("leo", tmp_path / "whole", config)
    meta_train(whole)
    killed, _ = run_of("leo", tmp_path / "parts", config)
    with pytest.raises(Killed):
        meta_train(killed, stop=killed_at(5))
    assert read_checkpoint(tmp_path / "parts" / LAST)[1]["progress"]["step"] == last
    again, lines = run_of("leo", tmp_path / "parts", config)
    assert meta_train(again, resume=True).step == 6
    assert lines[0]["step"] == last + 1
    one, two = (read_checkpoint(tmp_path / name / LAST)[0] for name in ("whole", "parts"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_finished_run_says_so_in_its_checkpoint(tmp_path: Path) -> None:
    run, _ = run_of("leo", tmp_path)
    meta_train(run)
    assert read_checkpoint(tmp_path / LAST)[1]["progress"]["finished"] is True
