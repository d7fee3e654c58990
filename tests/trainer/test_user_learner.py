"""A learner that a user wrote: trained, exported and run with none of our learners' lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad_and_value

from handful.runtime import load
from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.verify import relative_difference, verify
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.form.learner import Embedding, Learner, adapt
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.form.task import cross_entropy
from handful.trainer.training.config import MetaConfig
from handful.trainer.training.loop import meta_train
from handful.trainer.training.state import Run

from .small import generator, uneven, vectors


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the user's."""

    steps: int = 3


def embed(params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
    return torch.tanh(x @ params["map"]), {}


class Heavy(Learner):
    """A linear map, then a linear head by heavy-ball steps whose rate decays with a counter."""

    name = "heavy-ball"
    Config = Config
    embedding = Embedding(embed)

    def init(self, generator: torch.Generator) -> Tensors:
        size = self.spec.shape[0]
        return {
            "map": torch.eye(size) + 0.1 * torch.randn(size, size, generator=generator),
            "rate": torch.tensor(1.0),
        }

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        steps = self.config.steps
        return (
            Stage(name="head", init=self.begin, step=self.step, step_name="descend", steps=steps),
        )

    def begin(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        w = support.y.T @ support.x / support.y.sum(dim=0)[:, None]
        return {"w": w, "speed": w * 0.0, "count": torch.zeros((), dtype=torch.int64)}

    def step(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        slope, loss = grad_and_value(lambda w: cross_entropy(support.x @ w.T, support.y))(
            state["w"]
        )
        speed = 0.5 * state["speed"] - params["rate"] / (1.0 + state["count"]) * slope
        return {"w": state["w"] + speed, "speed": speed, "count": state["count"] + 1}, loss

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        return query_x @ state["w"].T


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Heavy, Tensors, list[float]]:
    data = vectors()
    learner = Heavy(Config(), data.input, 5)
    lines: list[float] = []
    run = Run(
        learner=learner,
        params=learner.init(generator()),
        train=data.take(range(40)),
        validation=data.take(range(40, 60)),
        config=MetaConfig(
            steps=20, tasks=4, queries=3, lr=1e-2, validation_episodes=5, validation_queries=3
        ),
        folder=tmp_path_factory.mktemp("run"),
        report=lambda line: lines.extend([line["loss"]] if "loss" in line else []),
    )
    meta_train(run)
    return learner, run.params, lines


def test_it_trains_in_our_loop(trained: tuple[Heavy, Tensors, list[float]]) -> None:
    _, params, losses = trained
    assert len(losses) == 20
    assert sum(losses[-5:]) < sum(losses[:5])
    assert params["rate"].item() != 1.0


def test_it_exports_and_runs_on_the_device(
    trained: tuple[Heavy, Tensors, list[float]], tmp_path: Path
) -> None:
    learner, params, _ = trained
    data = vectors()
    export(Source(learner=learner, params=params, test=data, training={}), tmp_path / "mine")
    manifest = read_manifest(tmp_path / "mine")
    assert manifest.learner == "heavy-ball"
    assert manifest.graphs.keys() == {"embed", "begin", "descend", "predict"}
    assert manifest.stages[0].state == ("w", "speed", "count")
    assert [t.dtype for t in manifest.graphs["descend"].outputs] == [
        "float32", "float32", "int64", "float32",
    ]  # fmt: skip
    assert manifest.input == InputSpec(kind="array", shape=(10,))
    assert verify(tmp_path / "mine").ok

    x, y, query = uneven(data, [2, 1, 3], queries=4)
    task = load(tmp_path / "mine").adapt(x.numpy(), ["left", "left", "up", *["down"] * 3])
    state = adapt(learner, params, Support(learner.embed(params, x), y))
    logits = learner.predict(params, state, learner.embed(params, query)).detach().numpy()
    assert relative_difference(task.logits(query.numpy()), logits) < 1e-4
    words = np.array(["left", "up", "down"])
    assert task.predict(query.numpy()) == words[logits.argmax(axis=1)].tolist()
