"""Meta-Learner LSTM (Ravi and Larochelle 2017, openreview.net/forum?id=rJY0-Kcll).

    init     θ = c₀, learned; the first layer's h and c, and the gates i and f before σ, are 0
    step     (h, c) ← LSTM([ρ(∇), ρ(L)], (h, c))         ∇ and L of the support set at θ
             f ← W_F [h, θ, f] + b_F;  i ← W_I [h, θ, i] + b_I
             θ ← σ(f) ⊙ θ − σ(i) ⊙ ∇                     equation 2: the cell state is θ
    predict  f_θ(x)
    outer    min over c₀, LSTM, W, b of Σ_T L_query(f_θ)

    ρ(x) = (log|x| / p, sign x) where |x| ≥ e⁻ᵖ, else (−1, eᵖ x)

The LSTM, W and b are shared by all coordinates of θ, and each has a state of its own. ∇ and L are
inputs: no gradient passes through them, so meta-training is of first order. As in the authors' code
(github.com/twitter/meta-learning-lstm) a gate reads its own last value before σ; weights start
within ±0.01, b_F within 4 … 5 and b_I within −5 … −4, so the first steps nearly keep θ and move it
by a hundredth of ∇.

The state is 2 · hidden + 3 numbers for each of θ's, 43 with the paper's 20: this is a learner for
small networks. Conv4 with 32 filters on 28 × 28 pixels has 28 000 weights, 5 MB of state; training
keeps about 30 MB for each step of each task.

Differs from the paper: p is 5 instead of 10, because e¹⁰ times float32's rounding of a gradient is
more than two runtimes may differ by; each step reads the whole support set, as the authors' own
batch sizes do (5 of 5, 25 of 25); queries are normalised by the support set's statistics under the
last θ in training too, where the authors use the queries' own there; ∇ is that of the mean loss,
which the authors' code divides once more by the batch size.

A limit that p does not lift: ρ tells gradients of the size e⁻ᵖ apart, so a jump of the gradient, as
when a ReLU's input rounds to the other side of 0, is a jump in the state of the coordinates that it
reaches. `export` refuses a package where that happens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.runtime.package.rules import MAX_VALUES
from handful.trainer.episodes import CLASSES, Asks
from handful.trainer.form.learner import Variant, add_prefix, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.adapted_network import THETA, AdaptedNetwork, Head
from handful.trainer.parts.features import moving_body, moving_scale
from handful.trainer.parts.inner_gradient import grad_and_value
from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers

WEIGHTS = 0.01  # where the two cells' weights start: within ± this
FORGET_BIAS, INPUT_BIAS = (4.0, 5.0), (-5.0, -4.0)
BODY, HEAD = "body", "head"


@dataclass(frozen=True, kw_only=True)
class MetaLSTMConfig:
    """The hyperparameters: the defaults are the authors' for 5-way 1-shot."""

    inner_steps: int = 12
    evaluation_steps: int | None = None  # None: as in training
    hidden: int = 20  # of the first layer
    p: float = 5.0  # of ρ; the paper's 10 magnifies rounding more than a package may
    head: Head = "fixed"
    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(filters=32, normalisation="support")
    )

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self)
        if self.network.normalisation == "running":
            raise moving_body()
        if self.network.standardise == "data":
            raise moving_scale()


class Cells(NamedTuple):
    """θ and the state of the two cells, for some of θ's coordinates [...]."""

    theta: Tensor  # [...]
    hidden: Tensor  # [..., hidden], h
    cell: Tensor  # [..., hidden], c
    gates: Tensor  # [..., 2], f and i before σ


class MetaLSTM(AdaptedNetwork):
    """A start, and a learned rule that moves from there."""

    name = "meta-lstm"
    Config = MetaLSTMConfig
    tasks = ("classification", "regression")
    usual_cause = "the steps diverged: set meta.clip_norm = 0.25, or lower meta.lr"

    def __init__(
        self, config: MetaLSTMConfig, spec: InputSpec, way: int, asks: Asks = CLASSES
    ) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way, asks)
        theta = self.fresh_theta(torch.Generator())
        values = sum(value.numel() for value in theta.values())
        if values * config.hidden > MAX_VALUES:
            raise SettingError(
                "learner.network",
                f"has {values} weights, and a state of learner.hidden = {config.hidden} numbers"
                f" for each, wanted at most {MAX_VALUES} in all",
                hint="set fewer learner.network.filters, or smaller hidden layers",
            )

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """A Conv4 with a head of five classes; dense layers with one of any number."""
        dense = NetworkConfig(kind="mlp", hidden=(16, 12), normalisation="layer")
        # few ReLUs: of one whose input rounds to the other side of 0 an export says that it jumps
        strided = NetworkConfig(filters=2, halving="stride", normalisation="support")
        shared: dict[str, Any] = {"head": "shared", "evaluation_steps": 3, "network": dense}
        return {
            "meta-lstm": Variant(
                cls.Config(inner_steps=2, hidden=6, p=4.0, network=strided), open_gates
            ),
            "meta-lstm-shared": Variant(cls.Config(inner_steps=2, hidden=6, **shared), open_gates),
        }

    def init(self, generator: torch.Generator) -> Tensors:
        """c₀ under "theta.", and the two cells."""
        hidden = self.config.hidden

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(*shape, generator=generator)

        cells = {
            "lstm.weight": uniform(-WEIGHTS, WEIGHTS, 4 + hidden, 4 * hidden),
            "lstm.bias": uniform(-WEIGHTS, WEIGHTS, 4 * hidden),
            # of f and of i: h, then θ and the gate itself
            "gates.weight": uniform(-WEIGHTS, WEIGHTS, hidden + 2, 2),
            "gates.bias": torch.cat([uniform(*FORGET_BIAS, 1), uniform(*INPUT_BIAS, 1)]),
        }
        theta = self.fresh_theta(generator)
        return {**add_prefix(theta, THETA), **cells}

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """θ by the learned rule, then the support set's statistics under it."""
        steps = self.config.inner_steps
        inner = Stage(
            name="inner",
            init=self.start,
            step=self.step,
            step_name="inner_step",
            steps=steps if training else self.config.evaluation_steps or steps,
        )
        return (inner, *self.statistics_stage())

    def start(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """c₀ as one vector for the body and a matrix [D + 1, N] for the head; the rest is 0."""
        theta = part(self.start_theta(params, support), THETA)
        body = torch.cat([theta[name].reshape(-1) for name in body_names(theta)])
        head = torch.cat([theta["head.weight"], theta["head.bias"][None]])
        return tensors({BODY: self.at_rest(body), HEAD: self.at_rest(head)})

    def at_rest(self, theta: Tensor) -> Cells:
        """The cells of coordinates θ before the first step."""

        def zeros(size: int) -> Tensor:
            return torch.zeros(*theta.shape, size, dtype=theta.dtype, device=theta.device)

        return Cells(theta, zeros(self.config.hidden), zeros(self.config.hidden), zeros(2))

    def step(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """One step of the rule for all coordinates, and the loss that it reads."""

        def support_loss(theta: Tensors) -> Tensor:
            logits, _ = self.logits(self.split_theta(params, theta), support.x, None)
            return self.task.loss(logits, support.y)

        before = {group: cells(state, group) for group in (BODY, HEAD)}
        fixed = {group: c.theta.detach() for group, c in before.items()}
        gradient, loss = grad_and_value(support_loss, constant=True)(fixed)
        after = {
            group: update(params, c, gradient[group], loss.detach(), self.config.p)
            for group, c in before.items()
        }
        return tensors(after), loss

    def theta(self, params: Tensors, state: Tensors) -> Tensors:
        """θ under its tensors' names."""
        return self.split_theta(params, {group: state[group] for group in (BODY, HEAD)})

    def split_theta(self, params: Tensors, theta: Tensors) -> Tensors:
        """The body's vector and the head's matrix as the tensors that they are made of."""
        start = part(params, THETA)
        sizes = [start[name].numel() for name in body_names(start)]
        pieces = torch.split(theta[BODY], sizes)
        body = {
            name: piece.reshape(start[name].shape)
            for name, piece in zip(body_names(start), pieces, strict=True)
        }
        return {**body, "head.weight": theta[HEAD][:-1], "head.bias": theta[HEAD][-1]}


def open_gates(params: Tensors) -> Tensors:
    """Gates that open wider than at the start, so that a few steps go somewhere."""
    return {**params, "gates.bias": torch.tensor([3.0, -1.0])}


def body_names(theta: Tensors) -> list[str]:
    """The tensors of θ without its head, in an order that no checkpoint changes."""
    return sorted(name for name in theta if not name.startswith("head."))


def tensors(groups: dict[str, Cells]) -> Tensors:
    """The state's tensors: `body`, `body.hidden`, `body.cell`, `body.gates`, and so for `head`."""
    return {
        group if name == "theta" else f"{group}.{name}": value
        for group, c in groups.items()
        for name, value in c._asdict().items()
    }


def cells(state: Tensors, group: str) -> Cells:
    """The part of the state that belongs to the coordinates of one group."""
    return Cells(state[group], *(state[f"{group}.{name}"] for name in Cells._fields[1:]))


def update(params: Tensors, c: Cells, gradient: Tensor, loss: Tensor, p: float) -> Cells:
    """One step of both cells for coordinates [...] with their gradient [...], and the loss []."""
    hidden = c.hidden.shape[-1]
    of_gradient, of_loss, of_hidden = torch.split(params["lstm.weight"], [2, 2, hidden])
    from_loss = preprocess(loss, p) @ of_loss + params["lstm.bias"]  # the same for all
    sums = preprocess(gradient, p) @ of_gradient + c.hidden @ of_hidden + from_loss
    enter, forget, leave, candidate = torch.split(sums, hidden, dim=-1)
    cell = torch.sigmoid(forget) * c.cell + torch.sigmoid(enter) * torch.tanh(candidate)
    h = torch.sigmoid(leave) * torch.tanh(cell)
    of_h, of_theta, of_gate = torch.split(params["gates.weight"], [hidden, 1, 1])
    gates = (
        h @ of_h + c.theta[..., None] * of_theta[0] + c.gates * of_gate[0] + params["gates.bias"]
    )
    kept, taken = torch.sigmoid(gates[..., 0]), torch.sigmoid(gates[..., 1])
    return Cells(kept * c.theta - taken * gradient, h, cell, gates)


def preprocess(x: Tensor, p: float) -> Tensor:
    """ρ(x) [..., 2], written without a choice: both halves of ρ meet where |x| = e⁻ᵖ."""
    size = torch.log(torch.clamp(x.abs(), min=math.exp(-p))) / p
    return torch.stack([size, torch.clamp(x * math.exp(p), -1, 1)], dim=-1)
