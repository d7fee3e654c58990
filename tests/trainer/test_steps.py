"""Fewer inner steps than a learner takes: the budget in the stages' order, in torch and onnx."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import handful
from handful.runtime.tools.evaluate import embed, evaluate_embedded
from handful.trainer.episodes import TaskSize, as_episodes, rows_of
from handful.trainer.evaluation.accuracy import embed_set, measure_tasks
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.form.steps import after_each_step
from handful.trainer.learners import LEARNERS

from ..each import each
from .cases import Case, case
from .small import uneven


def task(subject: Case, shots: list[int]) -> tuple[Support, torch.Tensor]:
    x, y, query = uneven(subject.data, shots)
    embed = subject.learner.embed
    return Support(embed(subject.params, x), y), embed(subject.params, query)


def same(subject: Tensors, wanted: Tensors) -> None:
    assert subject.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(subject[name], value)


@each(("latent", "finetuning"), [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)])
def test_steps_are_spent_in_the_order_of_the_stages(latent: int, finetuning: int) -> None:
    """After k of LEO's 2 + 2 steps the state is that of a LEO with so many steps of each."""
    subject = case("leo")
    fewer = replace(subject.learner.config, latent_steps=latent, finetuning_steps=finetuning)
    learner = LEARNERS["leo"](fewer, subject.data.input, 5)
    support, _ = task(subject, [2, 1, 3])
    states = list(after_each_step(subject.learner, subject.params, support))
    assert len(states) == 5
    same(states[latent + finetuning], adapt(learner, subject.params, support))


@each("name", ["leo", "mlp-task-shared-step", "prototypical", "anil"])
def test_the_last_state_is_the_learners(name: str) -> None:
    subject = case(name)
    support, _ = task(subject, [1, 2])
    *_, last = after_each_step(subject.learner, subject.params, support)
    same(last, adapt(subject.learner, subject.params, support))


def test_later_stages_start_from_the_state_as_it_is() -> None:
    """MAML's statistics of the support set are those under the weights of that step."""
    subject = case("maml-support-fixed")
    support, _ = task(subject, [1, 1])
    first, second, third = after_each_step(subject.learner, subject.params, support)
    names = [name for name in first if name.startswith("statistics.")]
    assert names
    for one, two in ((first, second), (second, third)):
        # of the first layer's output, which its moved weights change
        assert any(not torch.equal(one[name], two[name]) for name in names)


def test_training_may_leave_out_the_start() -> None:
    subject = case("mlp-task-shared-step")  # two steps in training, three at evaluation
    support, _ = task(subject, [1, 1])
    states = list(after_each_step(subject.learner, subject.params, support, training=True, least=1))
    assert [int(state["step_count"]) for state in states] == [1, 2]


@each("name", ["leo", "mlp-task-shared-step", "prototypical"])
@torch.no_grad()
def test_the_runtimes_states_are_torchs(name: str, package: Callable[[str], Path]) -> None:
    subject, engine = case(name), handful.load(package(name))._engine
    support, query = task(subject, [2, 1, 3])
    wanted = list(after_each_step(subject.learner, subject.params, support))
    states = list(engine.after_each_step(support.x.numpy(), support.y.numpy()))
    assert len(states) == len(wanted) == 1 + sum(s.steps for s in engine.manifest.stages)
    for state, expected in zip(states, wanted, strict=True):
        for key, value in state.tensors.items():
            np.testing.assert_allclose(value, expected[key].numpy(), rtol=1e-3, atol=1e-4)
        logits = subject.learner.predict(subject.params, expected, query)
        np.testing.assert_allclose(
            engine.predict(state, query.numpy()), logits.numpy(), rtol=1e-3, atol=1e-4
        )


def test_accuracies_after_each_step_are_the_same_through_torch_and_onnx(
    package: Callable[[str], Path],
) -> None:
    subject, size = case("leo"), TaskSize(10, 1, 4)
    rows = rows_of(subject.data, size, episodes=5, seed=2)
    data = embed_set(subject.learner, subject.params, subject.data)
    by_torch = measure_tasks(
        subject.learner, subject.params, data, size, episodes=5, seed=2, every_step=True
    )
    learner = handful.load(package("leo"))
    h = embed(learner, subject.data.x.numpy())
    by_onnx = evaluate_embedded(learner, h, as_episodes(rows), every_step=True)
    assert by_torch.shape == (5, 5)
    np.testing.assert_array_equal(by_onnx.by_step, by_torch)
    np.testing.assert_array_equal(by_onnx.per_episode, by_torch[:, -1])
