"""Reptile (Nichol, Achiam and Schulman 2018, arXiv:1803.02999).

    init     θ′ = θ, v = the second moments that training left
    step     g = ∇θ′ L_batch(f_θ′);  v ← β₂ v + (1 − β₂) g²;  θ′ ← θ′ − α √(1 − β₂ᵗ) g / (√v + ε)
    predict  f_θ′(x)
    outer    θ ← θ + ε_meta · mean over T tasks of (θ′ − θ)      T = 1: serial, T > 1: batched

The step is Adam's with β₁ = 0. The update of θ is descent on ½ ‖θ − θ′‖² with θ′ fixed, whose
gradient is θ − θ′: plain SGD (`meta.optimiser = "sgd"`), its rate ε_meta falling from 1 to 0
(`meta.schedule = "linear"`). As in the authors' code, v and t go on from task to task in training,
where only the weights are restored; a task at evaluation starts from both and changes neither. All
of θ moves, γ and β of the normalisation included. Training reads support sets alone, of more
examples than a later task has (`meta.shot = [10]`).

Differs from the paper: batches take turns over the classes in a fixed order (parts/memory.py),
where the authors shuffle each pass; T tasks at once start from the same v and t and leave the mean
of v, and β₂ᵗ advances by the steps of one task, where the authors' tasks follow one another; a
query is normalised by the support set's statistics, where the authors' non-transductive evaluation
adds the query itself to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from handful.trainer.episodes import Episode
from handful.trainer.form.learner import Outcome, Variant, adapt, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.operations.convolution import is_eager
from handful.trainer.parts.adapted_network import THETA, AdaptedNetwork, Head
from handful.trainer.parts.features import moving_body, moving_scale
from handful.trainer.parts.inner_gradient import grad_and_value
from handful.trainer.parts.memory import first_batch, next_batch
from handful.trainer.settings.read import check_numbers

MOMENT = "moment."
POWER = "moment_power"  # β₂ᵗ, t the number of inner steps so far, over all tasks of the training
EPSILON = 1e-8


@dataclass(frozen=True, kw_only=True)
class ReptileConfig:
    """The hyperparameters: the defaults are the authors' for 5-way Omniglot."""

    inner_steps: int = 5
    evaluation_steps: int = 50
    batch: int = 10  # examples of a mini-batch in training
    evaluation_batch: int = 5
    inner_lr: float = 1e-3  # α
    second_moment: float = 0.999  # β₂
    head: Head = "fixed"
    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(halving="stride", normalisation="support")
    )

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"second_moment": 0}, below={"second_moment": 1})
        if self.network.normalisation == "running":
            raise moving_body()
        if self.network.standardise == "data":
            raise moving_scale()


class Reptile(AdaptedNetwork):
    """A start that is near to what many tasks end at."""

    name = "reptile"
    Config = ReptileConfig
    tasks = ("classification", "regression")
    usual_cause = "the inner steps diverged: lower learner.inner_lr"
    ordered = True  # mini-batches follow the order of the support set

    def init(self, generator: torch.Generator) -> Tensors:
        """θ with its head, and moments that have seen nothing."""
        theta = self.fresh_theta(generator)
        params = {THETA + name: value for name, value in theta.items()}
        moments = {MOMENT + name: torch.zeros_like(value) for name, value in theta.items()}
        return {**params, **moments, POWER: torch.ones(())}

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """A Conv4 with a head of five classes; dense layers with one of any number."""
        small: dict[str, Any] = {
            "inner_steps": 3,
            "evaluation_steps": 3,
            "batch": 6,
            "inner_lr": 0.01,
        }
        strided = NetworkConfig(filters=8, halving="stride", normalisation="support")
        dense = NetworkConfig(kind="mlp", hidden=(32, 24), normalisation="layer")
        shared: dict[str, Any] = {**small, "head": "shared", "network": dense}
        return {
            "reptile": Variant(cls.Config(**small, network=strided), after_training),
            "reptile-shared": Variant(cls.Config(**shared), after_training),
        }

    def is_frozen(self, name: str) -> bool:
        """The moments are buffers."""
        return name.startswith(MOMENT) or name == POWER

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """θ′ by inner steps; at evaluation the support set's statistics under θ′ as well."""
        inner = Stage(
            name="inner",
            init=self.start,
            init_name="start",
            step=self.training_step if training else self.step,
            step_name="inner_step",
            steps=self.config.inner_steps if training else self.config.evaluation_steps,
        )
        return (inner,) if training else (inner, *self.statistics_stage())

    def start(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """θ′ = θ, the moments as training left them, and the first mini-batch's place."""
        moments = {
            MOMENT + name: self.columns(name, value, support)
            for name, value in part(params, MOMENT).items()
        }
        places = first_batch(support.y, classes=self.targets is None)
        return {**self.start_theta(params, support), **moments, POWER: params[POWER], **places}

    def step(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """One inner step at evaluation and on the device."""
        return self.descend(state, support, self.config.evaluation_batch)

    def training_step(
        self, params: Tensors, state: Tensors, support: Support
    ) -> tuple[Tensors, Tensor]:
        """One inner step in training, where batches are of another size."""
        return self.descend(state, support, self.config.batch)

    def descend(self, state: Tensors, support: Support, size: int) -> tuple[Tensors, Tensor]:
        """Adam's step on the next mini-batch, and the mini-batch's loss."""
        batch, places = next_batch(state, support, size)
        theta, moments = part(state, THETA), part(state, MOMENT)

        def batch_loss(theta: Tensors) -> Tensor:
            return self.task.loss(self.logits(theta, batch.x, None)[0], batch.y)

        gradient, loss = grad_and_value(batch_loss, constant=True)(theta)
        decay = self.config.second_moment
        power = state[POWER] * decay
        rate = self.config.inner_lr * torch.sqrt(1 - power)  # the moments' bias, corrected
        adam = adam_at_once if is_eager(loss) else adam_one_by_one
        after, squares = adam(theta, moments, gradient, rate, decay)
        moved: Tensors = {}
        for name in gradient:
            moved |= {MOMENT + name: squares[name], THETA + name: after[name]}
        return {**moved, POWER: power, **places}, loss

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """½ ‖θ − θ′‖² with θ′ fixed; a shared column of the head counts once, not N times."""
        support = Support(episode.support_x, episode.support_y)
        losses: list[Tensor] = []
        state = adapt(
            self,
            {name: value.detach() for name, value in params.items()},
            support,
            training=True,
            observe=lambda stage, i, tensors: losses.extend([tensors["loss"]] if i else []),
        )
        shared = self.config.head == "shared" and self.targets is None
        distance = torch.zeros((), device=support.y.device)
        for name, start in self.start_theta(params, support).items():
            away = start - state[name].detach()
            of_all = shared and name.startswith(f"{THETA}head.")
            share = 1 / support.y.shape[1] if of_all else 1.0
            distance = distance + 0.5 * share * (away * away).sum()
        metrics = {"first_loss": losses[0].detach(), "last_loss": losses[-1].detach()}
        return distance, Outcome(metrics, self.carry_moments(params, state))

    def carry_moments(self, params: Tensors, state: Tensors) -> Tensors:
        """v and β₂ᵗ after a task, for the next one; what a smaller head did not use stays."""
        buffers = {POWER: state[POWER].detach()}
        for name, old in part(params, MOMENT).items():
            new = state[MOMENT + name].detach()
            if old.shape[-1] < new.shape[-1]:  # one column for all classes
                new = new.mean(dim=-1, keepdim=True)
            elif name.startswith("head."):
                new = torch.cat([new, old[..., new.shape[-1] :]], dim=-1)
            buffers[MOMENT + name] = new
        return buffers


def after_training(params: Tensors) -> Tensors:
    """Moments as training leaves them: of gradients around a tenth, the bias long gone."""
    draw = torch.Generator().manual_seed(8)
    moments = {
        name: 0.01 + 0.01 * torch.rand(value.shape, generator=draw)
        for name, value in params.items()
        if name.startswith(MOMENT)
    }
    return {**params, **moments, POWER: torch.tensor(0.0)}


def adam_one_by_one(
    theta: Tensors, moments: Tensors, gradient: Tensors, rate: Tensor, decay: float
) -> tuple[Tensors, Tensors]:
    """θ and v after one step, as the equations have it."""
    moved: Tensors = {}
    squares: Tensors = {}
    for name, g in gradient.items():
        squares[name] = decay * moments[name] + (1 - decay) * g * g
        moved[name] = theta[name] - rate * g / (torch.sqrt(squares[name]) + EPSILON)
    return moved, squares


def adam_at_once(
    theta: Tensors, moments: Tensors, gradient: Tensors, rate: Tensor, decay: float
) -> tuple[Tensors, Tensors]:
    """The same for all tensors together: a tenth of the calls, for one task that is not traced."""
    slopes = list(gradient.values())
    squares = torch._foreach_mul([moments[name] for name in gradient], decay)
    torch._foreach_addcmul_(squares, slopes, slopes, 1 - decay)
    sizes = torch._foreach_sqrt(squares)
    torch._foreach_add_(sizes, EPSILON)
    starts = [theta[name] for name in gradient]
    moved = torch._foreach_addcdiv(starts, slopes, sizes, -float(rate))
    return dict(zip(gradient, moved, strict=True)), dict(zip(gradient, squares, strict=True))
