"""Baseline, Baseline++: a linear or a cosine head by SGD (Chen et al. 2019, arXiv:1904.04232).

    pre-train  f by softmax over all meta-training classes      (pretrain.objective = "softmax")
               of a cosine head for Baseline++                  (pretrain.objective = "cosine")
    start      W = 0, b = 0; Baseline++: v_n, and g_n = ‖v_n‖
    step       g = ∇ mean CE + weight_decay · θ;  v ← momentum · v + (1 − dampening) g;
               θ ← θ − η v, 100 times
    predict    W f(x) + b; Baseline++: scale · g_n ⟨x / ‖x‖, v_n / ‖v_n‖⟩, weight normalisation as
               in the authors' code

Nothing is meta-trained. The step is torch.optim.SGD's, whose v starts at the first g.

Differs from the paper: the head starts at the mean of torch's random start and at a draw of it
only where noise is given. For Baseline++ that mean, zero, has no direction: v_n starts for all
classes at that of the support set's mean, as long as a random one, so that no class is preferred
and the start is the same on every device. Chen et al. take 100 epochs in batches of four; a
batch's rows would be a rule on the order of the support set, so a step here is an epoch: its S/4
steps at once, η = rate · S / batch. With many shots or long features that would overshoot: the
cross-entropy's curvature is at most mean ‖x‖² / 2, and heavy balls turn unstable at η = 2 (1 +
momentum) / ((1 − dampening) curvature). η is at most half of that.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from handful.trainer.form.learner import Variant, add_prefix, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.form.task import cross_entropy
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import UntrainedLearner
from handful.trainer.parts.features import unit_length
from handful.trainer.parts.inner_gradient import grad_and_value
from handful.trainer.settings.read import check_numbers

HEAD, MOMENTUM = "head.", "momentum."
TINY = 1e-12  # added to mean ‖x‖²


@dataclass(frozen=True, kw_only=True)
class SGDConfig:
    """The hyperparameters; the defaults are those of the authors' code."""

    steps: int = 100
    rate: float = 0.01
    batch: int = 4  # examples that one step at this rate is for
    momentum: float = 0.9
    dampening: float = 0.9
    weight_decay: float = 1e-3
    network: NetworkConfig | None = None  # what embeds images; None: examples are features already

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(
            self,
            least=dict.fromkeys(("steps", "momentum", "dampening", "weight_decay"), 0),
            below={"momentum": 1, "dampening": 1},
        )


class SGDHead(UntrainedLearner):
    """A learner whose head moves."""

    config: SGDConfig

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """With fewer steps."""
        return {cls.name: Variant(cls.Config(steps=12))}

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """θ and v by SGD."""
        return (
            Stage(
                name="head",
                init=self.start,
                step=self.sgd_step,
                steps=self.config.steps,
                noise={"w_noise": ("N", self.features)},
            ),
        )

    @abstractmethod
    def first(self, support: Support, noise: Tensor) -> Tensors:
        """θ at the start: where the authors draw it, its mean plus noise [N, D] to their scale."""

    @abstractmethod
    def logits(self, theta: Tensors, x: Tensor) -> Tensor:
        """[B, N] for x [B, D]."""

    @abstractmethod
    def inputs(self, x: Tensor) -> Tensor:
        """What the logits are linear in, [B, ...]: its length bounds η."""

    def start(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """θ, and v = the gradient there."""
        theta = self.first(support, noise["w_noise"])
        gradient, _ = self.gradient(theta, support)
        return add_prefix(theta, HEAD) | add_prefix(gradient, MOMENTUM)

    def sgd_step(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """One epoch, and the cross-entropy before it."""
        theta, config = part(state, HEAD), self.config
        gradient, loss = self.gradient(theta, support)
        velocity = {
            name: config.momentum * v + (1 - config.dampening) * gradient[name]
            for name, v in part(state, MOMENTUM).items()
        }
        eta = self.step_size(support)
        moved = {name: value - eta * velocity[name] for name, value in theta.items()}
        return add_prefix(moved, HEAD) | add_prefix(velocity, MOMENTUM), loss

    def gradient(self, theta: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """∇ of mean cross-entropy with weight decay, and the cross-entropy."""

        def loss(theta: Tensors) -> Tensor:
            return cross_entropy(self.logits(theta, support.x), support.y)

        gradient, value = grad_and_value(loss)(theta)
        decay = self.config.weight_decay
        return {name: g + decay * theta[name] for name, g in gradient.items()}, value

    def step_size(self, support: Support) -> Tensor:
        """η []."""
        x = self.inputs(support.x)
        config = self.config
        epoch = support.y.sum() * (config.rate / config.batch)
        unstable = 4 * (1 + config.momentum) / (1 - config.dampening)
        return torch.minimum(epoch, unstable / 2 / ((x * x).sum(dim=1).mean() + TINY))

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """The head's logits of h [Q, D]: [Q, N]."""
        return self.logits(part(state, HEAD), query_x)


class Baseline(SGDHead):
    """A new linear head for each task."""

    name = "baseline"
    Config = SGDConfig

    def first(self, support: Support, noise: Tensor) -> Tensors:
        """W [N, D] and b [N]: zero, or with noise as wide as torch's Linear starts."""
        return {"w": noise * (3 * self.features) ** -0.5, "b": 0 * support.y.sum(dim=0)}

    def logits(self, theta: Tensors, x: Tensor) -> Tensor:
        """W x + b."""
        return x @ theta["w"].T + theta["b"]

    def inputs(self, x: Tensor) -> Tensor:
        """x, and 1 for b."""
        return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)


LENGTH = 3**-0.5  # of a row of torch's Linear at its start, about, whatever D is


@dataclass(frozen=True, kw_only=True)
class BaselinePPConfig(SGDConfig):
    """The hyperparameters; the defaults are those of the authors' code."""

    scale: float = 2.0  # the authors': 10 above 200 classes, which no task here has


class BaselinePP(SGDHead):
    """A new cosine head for each task."""

    name = "baseline-pp"
    Config = BaselinePPConfig
    config: BaselinePPConfig

    def first(self, support: Support, noise: Tensor) -> Tensors:
        """v [N, D] and g [N]."""
        mean = unit_length(unit_length(support.x).mean(dim=0))
        v = LENGTH * (mean + noise * self.features**-0.5)
        return {"v": v, "g": (v * v).sum(dim=1).sqrt()}

    def logits(self, theta: Tensors, x: Tensor) -> Tensor:
        """scale · g_n cos(x, v_n)."""
        return self.config.scale * (unit_length(x) @ unit_length(theta["v"]).T) * theta["g"]

    def inputs(self, x: Tensor) -> Tensor:
        """scale · x / ‖x‖."""
        return self.config.scale * unit_length(x)
