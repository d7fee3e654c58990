"""A learner of your own: one file, then it trains, exports and adapts on a device as ours do.

The class means of a linear map, then a few gradient steps on them at a learned rate.

`python examples/own_learner.py FOLDER` writes its run and its package into FOLDER.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value

import handful
from handful.trainer.config import from_toml
from handful.trainer.data import load_data
from handful.trainer.evaluation import embed_set, evaluate
from handful.trainer.export.package import Source, export
from handful.trainer.learners import LEARNERS, Learner, Stage, Support, Tensors
from handful.trainer.learners.features import class_means, unit_length
from handful.trainer.learners.form import Noise, cross_entropy
from handful.trainer.sizes import TaskSize
from handful.trainer.training.folder import load_run
from handful.trainer.training.job import Options
from handful.trainer.training.report import Silent
from handful.trainer.training.run import train

RECIPE = """
[learner]
name = "tuned-means"
steps = 3

[data]
source = "glyphs"
rotations = false

[meta]
steps = 300
tasks = 4
way = [5]
queries = 5
lr = 3e-3
validate_every = 100
validation_episodes = 100
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What there is to choose: `[learner]` of the recipe."""

    steps: int = 3
    features: int = 64
    temperature: float = 10.0


class TunedMeans(Learner):
    """w starts at the class means and descends the support set's loss."""

    name = "tuned-means"
    Config = Config
    has_embed = True

    def init(self, generator: torch.Generator) -> Tensors:
        """Fresh meta-parameters."""
        pixels = torch.Size(self.spec.shape).numel()
        normal = torch.randn(pixels, self.config.features, generator=generator)
        return {"map": normal * pixels**-0.5, "rate": torch.tensor(0.1)}

    def embed(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, ...] → h [B, D]."""
        return unit_length(x.flatten(1) @ params["map"])

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage: class means, then steps."""
        return (
            Stage(
                name="means",
                init=start,
                init_name="start",
                step=self.step,
                step_name="step",
                steps=self.config.steps,
            ),
        )

    def step(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """w − rate · ∇ loss, and the loss."""

        def loss(w: Tensor) -> Tensor:
            return cross_entropy(self.config.temperature * support.x @ w.T, support.y)

        slope, value = grad_and_value(loss)(state["w"])
        return {"w": state["w"] - params["rate"] * slope}, value

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """Logits [Q, N]."""
        return self.config.temperature * query_x @ state["w"].T


def start(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """w [N, D], the class means."""
    return {"w": class_means(support.x, support.y)}


class Speaker(Silent):
    """Reports each validation; `handful train` shows bars instead."""

    def phase(self, name: str, total: int, done: int) -> Callable[[dict[str, Any]], None]:
        """What is called with each line of progress."""

        def line(entry: dict[str, Any]) -> None:
            if "validation" in entry:
                print(f"{name}, step {entry['step']} of {total}: {100 * entry['validation']:.1f} %")

        return line


def main(folder: Path) -> None:
    """Train, evaluate, export, and adapt the package without torch."""
    LEARNERS[TunedMeans.name] = TunedMeans
    config = from_toml(RECIPE, where="the recipe above")
    train(config, folder / "run", Options(report=Speaker()))

    test = load_data(config.data, "meta_test")
    run = load_run(folder / "run", test)
    embedded = embed_set(run.learner, run.params, test)
    size = TaskSize(way=5, shot=1, queries=15)
    result = evaluate(run.learner, run.params, embedded, size, episodes=200, seed=0)
    print(f"{size} on unseen classes: {100 * result.accuracy:.1f} %")

    source = Source(learner=run.learner, params=run.params, test=test, training=run.facts)
    export(source, folder / TunedMeans.name)
    x, per_class = test.x.numpy(), 20  # examples of each class
    names = [name for name in test.classes[:5] for _ in range(per_class)]
    task = handful.load(folder / TunedMeans.name).adapt(
        x[: 5 * per_class : per_class], names[::per_class]
    )
    right = sum(a == name for a, name in zip(task.predict(x[: 5 * per_class]), names, strict=True))
    print(f"the package, adapted to five of them: {right} of {len(names)} right")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
