"""The meta-training loop: stopped, bad steps, ties, rates, clipping."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import Episode
from handful.trainer.evaluation import embed_set
from handful.trainer.form.learner import Learner, Outcome
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.settings.errors import ConfigError, DataError
from handful.trainer.training.checkpoint import BEST, LAST, read_checkpoint
from handful.trainer.training.config import MetaConfig
from handful.trainer.training.loop import TrainingError, meta_train
from handful.trainer.training.state import Run

from ..each import each
from .cases import case
from .small import vectors

Lines = list[dict[str, Any]]
SMALL = MetaConfig(
    steps=6,
    tasks=3,
    way=(3, 5),
    shot=(1, 2),
    queries=2,
    lr=1e-2,
    schedule="cosine",
    clip_value=0.5,
    clip_norm=0.5,
    batching="vmap",
    chunk=2,
    validate_every=2,
    validation_episodes=4,
    validation_queries=2,
)


def changed(**settings: Any) -> MetaConfig:
    return MetaConfig(**{**vars(SMALL), **settings})


def run_of(name: str, folder: Path, config: MetaConfig = SMALL) -> tuple[Run, Lines]:
    """A run of a small learner, and the lines that it reports."""
    subject = case(name)
    frozen = subject.learner.embeds_ahead
    data = embed_set(subject.learner, subject.params, subject.data) if frozen else subject.data
    return small_run(subject.learner, subject.params, data, folder, config)


def small_run(
    learner: Learner, params: Tensors, data: LabelledSet, folder: Path, config: MetaConfig
) -> tuple[Run, Lines]:
    lines: Lines = []
    run = Run(
        learner=learner,
        params=params,
        train=data.take(range(40)),
        validation=data.take(range(40, 60)),
        config=config,
        folder=folder,
        report=lambda line: lines.append({n: v for n, v in line.items() if n != "seconds"}),
    )
    return run, lines


def once(after: int) -> Callable[[], bool]:
    """True from the `after`-th call on."""
    calls = iter(range(1, 10_000))
    return lambda: next(calls) >= after


def test_training_changes_what_is_trained_and_nothing_else(tmp_path: Path) -> None:
    run, _ = run_of("leo", tmp_path)
    before = {n: p.clone() for n, p in run.params.items()}
    params = run.params
    meta_train(run)
    moved = {n for n, p in run.params.items() if not torch.equal(p, before[n])}
    assert moved == set(case("leo").trainable)
    assert all(torch.equal(params[n], before[n]) for n in before)  # the caller's are left alone


def test_the_same_seed_trains_the_same_and_another_does_not(tmp_path: Path) -> None:
    lines = []
    for seed, folder in ((0, "a"), (0, "b"), (1, "c")):
        run, run_lines = run_of(
            "maml-support-fixed", tmp_path / folder, changed(seed=seed, steps=2)
        )
        meta_train(run)
        lines.append([line["loss"] for line in run_lines[1:]])
    assert lines[0] == lines[1] != lines[2]


def test_a_line_says_step_loss_and_accuracy(tmp_path: Path) -> None:
    run, lines = run_of("maml-support-fixed", tmp_path)
    meta_train(run)
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4, 5, 6]
    assert [set(line) for line in lines[:3]] == [
        {"step", "validation", "interval"},
        {"step", "loss", "accuracy", "skipped"},
        {"step", "loss", "accuracy", "skipped", "validation", "interval"},
    ]


def test_stopping_saves_and_says_where(tmp_path: Path) -> None:
    run, lines = run_of("prototypical", tmp_path)
    progress = meta_train(run, stop=once(1))
    assert (progress.step, progress.finished, len(lines)) == (1, False, 2)
    tensors, facts = read_checkpoint(tmp_path / LAST)
    assert facts["progress"]["step"] == 1
    assert torch.equal(tensors["params/conv0.weight"], run.params["conv0.weight"])
    assert "optimiser/exp_avg/conv0.weight" in tensors
    assert read_checkpoint(tmp_path / BEST)[1]["step"] == 0  # the start, until one is better


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """No settings."""


class Sick(Learner):
    """One number, whose loss is not finite at the steps named in `bad`."""

    name = "sick"
    Config = Nothing
    usual_cause = "its food"
    bad: tuple[int, ...] = ()
    infinite_gradient = False
    calls = 0

    def init(self, generator: torch.Generator) -> Tensors:
        return {"theta": torch.tensor(1.0)}

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        return (Stage(name="means", init=self.begin, init_name="means"),)

    def begin(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        return {"c": (support.y.T @ support.x) / support.y.sum(dim=0)[:, None]}

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        return params["theta"] * (query_x @ state["c"].T)

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        self.calls += 1
        loss = (params["theta"] - 3) ** 2
        if self.calls in self.bad:
            if self.infinite_gradient:
                loss = loss + torch.sqrt(params["theta"] - params["theta"].detach())
            else:
                loss = loss * math.nan
        return loss, Outcome({}, {"seen": torch.tensor(float(self.calls))})


def sick(folder: Path, bad: tuple[int, ...], **settings: Any) -> tuple[Run, Lines]:
    data = vectors()
    learner = Sick(Nothing(), data.input, 5)
    learner.bad = bad
    params = {"theta": torch.tensor(1.0), "seen": torch.tensor(0.0)}
    plain = {"steps": 8, "tasks": 1, "batching": "loop", "clip_value": None, "clip_norm": None}
    run, lines = small_run(learner, params, data, folder, changed(**{**plain, **settings}))
    learner.is_frozen = lambda name: name == "seen"  # type: ignore[method-assign]
    return run, lines


@each("infinite", [False, True])
def test_steps_that_are_not_finite_are_skipped_and_counted(infinite: bool, tmp_path: Path) -> None:
    run, lines = sick(tmp_path, bad=(2, 3, 5, 6))
    run.learner.infinite_gradient = infinite  # type: ignore[attr-defined]
    progress = meta_train(run)
    assert progress.skipped == 4
    assert [line["skipped"] for line in lines[1:]] == [0, 1, 2, 2, 3, 4, 4, 4]
    assert math.isfinite(float(run.params["theta"]))
    assert float(run.params["theta"]) > 1.0
    assert float(run.params["seen"]) == 8.0  # the buffers of bad steps are not taken either


def test_a_skipped_step_moves_nothing(tmp_path: Path) -> None:
    cosine, _ = sick(tmp_path, bad=(2,), steps=2)
    one_step, _ = sick(tmp_path / "one", bad=(), steps=1, schedule="constant")
    two_steps, _ = sick(tmp_path / "two", bad=(2,), steps=2, schedule="constant")
    for run in (cosine, one_step, two_steps):
        meta_train(run)
    assert torch.equal(one_step.params["theta"], two_steps.params["theta"])
    assert float(two_steps.params["seen"]) == 1.0


def test_three_bad_steps_in_a_row_end_the_run(tmp_path: Path) -> None:
    run, lines = sick(tmp_path, bad=(3, 4, 5), validate_every=2)
    with pytest.raises(TrainingError) as caught:
        meta_train(run)
    assert str(caught.value) == ("loss or gradient of sick not finite, 3 steps in a row, at step 5")
    assert caught.value.hint == "its food; the last checkpoint is kept"
    assert len(lines) == 5
    assert read_checkpoint(tmp_path / LAST)[1]["progress"]["step"] == 4


def test_of_what_is_as_good_the_latest_is_kept(tmp_path: Path) -> None:
    # the validation tasks and the answers' order never change, so nothing is better than the start
    run, lines = sick(tmp_path, bad=(), steps=4, validate_every=2)
    progress = meta_train(run)
    assert (progress.step, progress.finished) == (4, True)
    assert read_checkpoint(tmp_path / BEST)[1]["step"] == 4
    resumed, new_lines = sick(tmp_path, bad=(), steps=4, validate_every=2)
    assert meta_train(resumed, resume=True).step == 4
    assert (len(lines), new_lines) == (5, [])


def test_no_steps_still_leave_a_run_to_evaluate(tmp_path: Path) -> None:
    """What the nearest neighbour, which has nothing to train, needs."""
    run, lines = run_of("nearest", tmp_path, changed(steps=0))
    progress = meta_train(run)
    assert (progress.step, [line["step"] for line in lines]) == (0, [0])
    facts = read_checkpoint(tmp_path / BEST)[1]
    assert facts["step"] == 0
    assert 0.2 < facts["validation"] <= 1.0
    assert (tmp_path / LAST).exists()


def test_a_learner_with_nothing_to_train_goes_through_its_steps(tmp_path: Path) -> None:
    run, lines = run_of("nearest-network", tmp_path, changed(steps=2))
    before = dict(run.params)
    assert meta_train(run).step == 2
    assert all(torch.equal(run.params[n], before[n]) for n in before)
    assert lines[2]["validation"] > 0.2


def test_tasks_that_the_data_cannot_fill_are_refused_before_the_first_step(tmp_path: Path) -> None:
    run, lines = run_of("leo", tmp_path, changed(queries=7))
    with pytest.raises(DataError) as caught:
        meta_train(run)
    assert str(caught.value) == (
        "class class 0 of the meta-training set has 8 examples, a task needs 2 + 7"
    )
    assert caught.value.hint == "lower meta.shot or meta.queries, or leave the class out"
    run, _ = run_of("leo", tmp_path, changed(validation_way=21))
    with pytest.raises(DataError) as caught:
        meta_train(run)
    assert str(caught.value) == "the validation set has 20 classes, a task needs 21"
    assert caught.value.hint == "lower meta.validation_way, or give the split more classes"
    run.section, run.config = "pretrain", changed(shot=(8,), validation_way=21)
    with pytest.raises(DataError) as caught:
        meta_train(run)
    assert caught.value.hint == "lower pretrain.shot or pretrain.queries, or leave the class out"
    assert lines == []
    assert not list(tmp_path.iterdir())


def test_a_validation_above_the_heads_limit_is_refused_before_the_first_step(
    tmp_path: Path,
) -> None:
    run, lines = run_of("maml-support-fixed", tmp_path, changed(validation_way=6))
    with pytest.raises(ConfigError) as caught:
        meta_train(run)
    assert str(caught.value) == "maml has a head of 5 classes, a task of 6 was asked for"
    assert caught.value.hint == (
        'lower meta.validation_way, or train with a larger meta.way or with learner.head = "shared"'
    )
    assert lines == []
