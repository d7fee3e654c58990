"""Fewer inner steps than a learner takes: the budget in the stages' order, in torch and onnx."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import handful
from handful.runtime.tools.evaluate import embedded, evaluate_embedded
from handful.trainer.commands.evaluate import as_episodes
from handful.trainer.evaluation.accuracy import accuracies, embed_set, rows_of
from handful.trainer.learners import LEARNERS, Support, Tensors, adapt
from handful.trainer.learners.steps import after_each_step
from handful.trainer.sizes import TaskSize

from .small import Case, case, uneven


def task(found: Case, shots: list[int]) -> tuple[Support, torch.Tensor]:
    x, y, query = uneven(found.data, shots)
    embed = found.learner.embed
    return Support(embed(found.params, x), y), embed(found.params, query)


def same(found: Tensors, wanted: Tensors) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize(("latent", "finetuning"), [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)])
def test_steps_are_spent_in_the_order_of_the_stages(latent: int, finetuning: int) -> None:
    """After k of LEO's 2 + 2 steps the state is that of a LEO with so many steps of each."""
    found = case("leo")
    fewer = replace(found.learner.config, latent_steps=latent, finetuning_steps=finetuning)
    learner = LEARNERS["leo"](fewer, found.data.input, 5)
    support, _ = task(found, [2, 1, 3])
    states = list(after_each_step(found.learner, found.params, support))
    assert len(states) == 5
    same(states[latent + finetuning], adapt(learner, found.params, support))


@pytest.mark.parametrize("name", ["leo", "mlp-task-shared-step", "prototypical", "anil"])
def test_the_last_state_is_the_learners(name: str) -> None:
    found = case(name)
    support, _ = task(found, [1, 2])
    *_, last = after_each_step(found.learner, found.params, support)
    same(last, adapt(found.learner, found.params, support))


def test_later_stages_start_from_the_state_as_it_is() -> None:
    """MAML's statistics of the support set are those under the weights of that step."""
    found = case("maml-support-fixed")
    support, _ = task(found, [1, 1])
    first, second, third = after_each_step(found.learner, found.params, support)
    names = [name for name in first if name.startswith("statistics.")]
    assert names
    for one, two in ((first, second), (second, third)):
        # of the first layer's output, which its moved weights change
        assert any(not torch.equal(one[name], two[name]) for name in names)


def test_training_may_leave_out_the_start() -> None:
    found = case("mlp-task-shared-step")  # two steps in training, three at evaluation
    support, _ = task(found, [1, 1])
    states = list(after_each_step(found.learner, found.params, support, training=True, least=1))
    assert [int(state["inner_count"]) for state in states] == [1, 2]


@pytest.mark.parametrize("name", ["leo", "mlp-task-shared-step", "prototypical"])
@torch.no_grad()
def test_the_runtimes_states_are_torchs(name: str, package: Callable[[str], Path]) -> None:
    found, engine = case(name), handful.load(package(name))._engine
    support, query = task(found, [2, 1, 3])
    wanted = list(after_each_step(found.learner, found.params, support))
    states = list(engine.after_each_step(support.x.numpy(), support.y.numpy()))
    assert len(states) == len(wanted) == 1 + sum(s.steps for s in engine.manifest.stages)
    for state, expected in zip(states, wanted, strict=True):
        for key, value in state.items():
            np.testing.assert_allclose(value, expected[key].numpy(), rtol=1e-3, atol=1e-4)
        logits = found.learner.predict(found.params, expected, query)
        np.testing.assert_allclose(
            engine.predict(state, query.numpy()), logits.numpy(), rtol=1e-3, atol=1e-4
        )


def test_accuracies_after_each_step_are_the_same_through_torch_and_onnx(
    package: Callable[[str], Path],
) -> None:
    found, size = case("leo"), TaskSize(10, 1, 4)
    rows = rows_of(found.data, size, episodes=5, seed=2)
    data = embed_set(found.learner, found.params, found.data)
    by_torch = accuracies(
        found.learner, found.params, data, size, rows, every_step=True, tick=lambda: None
    )
    learner = handful.load(package("leo"))
    h = embedded(learner, found.data.x.numpy())
    by_onnx = evaluate_embedded(learner, h, as_episodes(rows, size), every_step=True)
    assert by_torch.shape == (5, 5)
    np.testing.assert_array_equal(by_onnx.by_step, by_torch)
    np.testing.assert_array_equal(by_onnx.per_episode, by_torch[:, -1])
