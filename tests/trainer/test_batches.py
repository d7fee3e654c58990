"""Mini-batches of the support set: the rule by hand, under vmap, and in a graph at any S."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.func import vmap

from handful.runtime.vetting.vet import vet
from handful.trainer.export.graphs import trace_learner
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.parts.memory import CURSOR, ORDER, first_batch, next_batch

from ..each import each
from .small import generator, vectors

BATCH = 5


def labels(*classes: int) -> Tensor:
    return torch.eye(max(classes) + 1)[list(classes)]


def walked(y: Tensor, size: int, batches: int) -> list[list[int]]:
    """The rows of each batch: every example is its own row's number."""
    support = Support(torch.arange(len(y)), y)
    state, rows = first_batch(y), []
    for _ in range(batches):
        batch, state = next_batch(state, support, size)
        assert torch.equal(batch.y, y[batch.x])
        rows.append(batch.x.tolist())
    return rows


def test_the_rule_by_hand() -> None:
    y = labels(0, 0, 0, 1, 2, 1)  # of their class stand before them: 0, 1, 2, 0, 0, 1
    assert first_batch(y)[ORDER].tolist() == [0, 3, 4, 1, 5, 2]
    # the second batch straddles two passes
    assert walked(y, 4, 3) == [[0, 3, 4, 1], [5, 2, 0, 3], [4, 1, 5, 2]]


def test_the_names_of_the_classes_do_not_matter() -> None:
    y = labels(2, 0, 0, 2, 1)
    assert first_batch(y)[ORDER].tolist() == first_batch(y[:, [1, 2, 0]])[ORDER].tolist()


def test_targets_of_a_regression_are_taken_as_they_stand() -> None:
    assert first_batch(torch.tensor([[0.5], [-1.0], [0.5]]), classes=False)[ORDER].tolist() == [
        0,
        1,
        2,
    ]


@each("size", [3, 5, 100])
def test_a_small_support_set_is_one_batch(size: int) -> None:
    y = labels(1, 0, 1)
    assert walked(y, size, 3) == [[0, 1, 2]] * 3


def test_every_example_is_in_as_many_batches() -> None:
    y = labels(*[0] * 7, *[1] * 2, *[2] * 2)
    seen = [row for rows in walked(y, 4, 11) for row in rows]
    assert sorted(seen) == sorted([*range(11)] * 4)
    # while there are some of each, no class has two more than another
    assert walked(y, 6, 1) == [[0, 7, 9, 1, 8, 10]]


def test_tasks_at_once_walk_as_each_alone() -> None:
    y = torch.stack([labels(0, 0, 1, 1, 2), labels(2, 1, 0, 0, 0)])
    x = torch.arange(5).expand(2, 5)

    def second(x: Tensor, y: Tensor) -> Tensor:
        support = Support(x, y)
        _, state = next_batch(first_batch(y), support, 3)
        return next_batch(state, support, 3)[0].x

    assert vmap(second)(x, y).tolist() == [walked(one, 3, 2)[1] for one in y]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Nothing to choose."""


class Walk(Learner):
    """Sums up the means of its batches, an older one half as much."""

    name = "walk"
    Config = Config

    def init(self, generator: torch.Generator) -> Tensors:
        return {}

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        return (Stage(name="walk", init=self.start, init_name="start", step=self.step, steps=2),)

    def start(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        counts = support.y.sum(dim=0)
        return {"seen": torch.zeros(10), "counts": counts, **first_batch(support.y)}

    def step(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        batch, places = next_batch(state, support, BATCH)
        seen = 0.5 * state["seen"] + batch.x.mean(dim=0)
        return {"seen": seen, "counts": state["counts"], **places}, batch.y.mean()

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        return query_x @ state["seen"][:, None] * state["counts"]


@pytest.fixture(scope="module")
def sessions() -> dict[str, onnxruntime.InferenceSession]:
    """The graphs of the two functions, vetted as a package's are."""
    learner = Walk(Config(), vectors().input, 5)
    sessions = {}
    for name, model in trace_learner(learner, {}).models.items():
        content = model.SerializeToString()
        vet(content, name)
        sessions[name] = onnxruntime.InferenceSession(content)
    return sessions


@each("examples", [1, 4, 5, 7, 40])
def test_a_graph_walks_as_torch_does(
    examples: int, sessions: dict[str, onnxruntime.InferenceSession]
) -> None:
    learner = Walk(Config(), vectors().input, 5)
    draw = generator(examples)
    x = torch.randn(examples, 10, generator=draw)
    classes = torch.randint(3, (examples,), generator=draw)
    support = Support(x, torch.eye(3)[classes])
    known = {"support_x": x.numpy(), "support_y": support.y.numpy()}

    def run(name: str) -> dict[str, np.ndarray]:
        session = sessions[name]
        feeds = {port.name: known[port.name] for port in session.get_inputs()}
        names = [port.name.removesuffix(".next") for port in session.get_outputs()]
        outputs = [np.asarray(output) for output in session.run(None, feeds)]
        return dict(zip(names, outputs, strict=True))

    state = learner.start({}, {}, support, {})
    known |= run("start")
    for _ in range(9):
        state, _ = learner.step({}, state, support)
        known |= run("step")
        np.testing.assert_array_equal(known[ORDER], state[ORDER].numpy())
        assert int(known[CURSOR]) == int(state[CURSOR])
        np.testing.assert_allclose(known["seen"], state["seen"].numpy(), rtol=1e-5, atol=1e-6)
