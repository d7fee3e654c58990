"""A resumed meta-training is bit for bit the one that was not stopped, from any checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from handful.trainer.training.checkpoint import BEST, LAST, read_checkpoint
from handful.trainer.training.loop import meta_train

from ..each import each
from .test_loop import Lines, changed, once, run_of


# averages of a network, steps under vmap, noise and a frozen network, moments that a learner keeps
@each("name", ["prototypical", "maml-support-fixed", "leo", "reptile-shared"])
def test_a_resumed_run_is_the_same_bit_for_bit(name: str, tmp_path: Path) -> None:
    whole, lines = run_of(name, tmp_path / "whole")
    meta_train(whole)
    for at in (3, 4):  # between validations, and at one
        folder = tmp_path / f"parts-{at}"
        first, before = run_of(name, folder)
        stopped = meta_train(first, stop=once(at))
        assert (stopped.step, len(before)) == (at, at + 1)
        second, after = run_of(name, folder)
        finished = meta_train(second, resume=True)
        assert finished.step == 6
        reported = [*before, *after]
        assert without_loss(reported) == without_loss(lines)
        # a mean over tasks: as it is reported, its last bit may be rounded otherwise
        assert losses(reported) == pytest.approx(losses(lines), rel=1e-6)
        assert whole.params.keys() == second.params.keys()
        for key in whole.params:
            assert torch.equal(whole.params[key], second.params[key]), key
        for file in (LAST, BEST):
            one, facts = read_checkpoint(tmp_path / "whole" / file)
            two, other = read_checkpoint(folder / file)
            assert one.keys() == two.keys()
            assert all(torch.equal(one[key], two[key]) for key in one)
            for checkpoint_facts in (facts, other):
                checkpoint_facts.get("progress", {}).pop("seconds", None)
            assert facts == other


def without_loss(lines: Lines) -> Lines:
    return [{name: value for name, value in line.items() if name != "loss"} for line in lines]


def losses(lines: Lines) -> list[float]:
    return [line["loss"] for line in lines if "loss" in line]


class Killed(BaseException):
    """As by kill -9: nothing is saved."""


def killed_at(step: int) -> Callable[[], bool]:
    calls = iter(range(1, 10_000))

    def stop() -> bool:
        if next(calls) == step:
            raise Killed
        return False

    return stop


@each(("seconds", "last"), [(1e-9, 4), (3600.0, 1)])
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
