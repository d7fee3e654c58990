"""A learner of your own: class means of a linear map, then a few steps at a learned rate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad_and_value

from handful.trainer.form import (
    Embedding,
    Learner,
    Noise,
    Stage,
    Support,
    Tensors,
    cross_entropy,
)
from handful.trainer.parts import class_means, unit_length


@dataclass(frozen=True, kw_only=True)
class Config:
    """What there is to choose: the section [learner] of the recipe."""

    steps: int = 3
    features: int = 64
    temperature: float = 10.0


def embed(params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
    """x [B, ...] → h [B, D]; no parameter moves with it."""
    return unit_length(x.flatten(1) @ params["map"]), {}


def start(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """w [N, D], the class means."""
    return {"w": class_means(support.x, support.y)}


class TunedMeans(Learner):
    """w starts at the class means and descends the support set's loss."""

    name = "tuned-means"
    Config = Config
    embedding = Embedding(embed)

    def init(self, generator: torch.Generator) -> Tensors:
        """Fresh meta-parameters: what is trained across tasks."""
        pixels = torch.Size(self.spec.shape).numel()
        normal = torch.randn(pixels, self.config.features, generator=generator)
        return {"map": normal * pixels**-0.5, "rate": torch.tensor(0.1)}

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage: the class means, then the steps."""
        return (Stage(name="means", init=start, step=self.step, steps=self.config.steps),)

    def step(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """w − rate · ∇ loss, and the loss."""

        def loss(w: Tensor) -> Tensor:
            return cross_entropy(self.config.temperature * support.x @ w.T, support.y)

        slope, value = grad_and_value(loss)(state["w"])
        return {"w": state["w"] - params["rate"] * slope}, value

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """Logits [Q, N]."""
        return self.config.temperature * query_x @ state["w"].T


if __name__ == "__main__":
    print("handful train own_learner.toml --out runs/own    # the learner of own_learner.py")
