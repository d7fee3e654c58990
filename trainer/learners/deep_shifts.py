"""Deep shifts: a frozen network whose biases move to fit a task, and a closed form on both.

    f_δ       the layers, with δ added to the output of each convolution before its ReLU6
    frozen    r₀ = ridge regression and class means on f₀ (ridge.py);  g = min(1, e / gate),
              e = the share of the support set that the ridge of all other examples gets wrong
    shifts    δ = 0;  step  δ ← Adam(δ, ∇ L(δ)), n times, on batches of at most `shots` a class
    adapted   r₁ = the same closed form on f_δ
    predict   (r₀(f₀(x)) + g r₁(f_δ(x))) / (1 + g)

    L(δ) = mean over i of the cross-entropy of −scale ‖z_i − c_n‖² with y_i,
    z = u((f_δ + ε)^½),  c_n = the mean of the z of class n in the batch, without z_i itself

Every example is so asked of by the others, as a query is. A class of one example in its batch has
no other: its loss is left out, so that nothing moves at one shot. Batches follow a fixed rule
(memory.py).

Shifts alone are TinyTL's bias learning (Cai et al. 2020, arXiv:2007.11622): the gradient needs the
masks of ReLU6 and the convolutions' gradients with respect to their inputs, and no gradient of a
kernel. On pictures like those of the backbone's training, where the closed form leaves little to
gain, δ loses more than it brings: g leaves it out in proportion.

Meta-training fits Adam's rate, the gate and the scale of the logits; the layers are frozen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.form.learner import Learner, Variant, named, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks.separable import Layer, Separable
from handful.trainer.parts.features import unit_length
from handful.trainer.parts.inner_gradient import grad_and_value
from handful.trainer.parts.memory import ABSENT, first_batch, next_batch
from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers

from .ridge import MOST, Ridge, RidgeConfig

LAYERS, HEAD, FROZEN, ADAPTED = "layers.", "head.", "frozen.", "adapted."
SHIFT, GATE = "shift", "gate"
FIRST, SECOND = "first_moment", "second_moment"
FIRST_POWER, SECOND_POWER = "first_power", "second_power"  # β₁ᵗ and β₂ᵗ
FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8  # Adam's
FLOOR = 1e-3  # ε: features after a ReLU6 are often zero, where a root has no slope
SEPARABLE = (  # by default: one depthwise separable block
    Layer(outputs=10, kernel=3, depthwise=True, before=1, after=1),
    Layer(outputs=16),
)


@dataclass(frozen=True, kw_only=True)
class DeepShiftsConfig:
    """The hyperparameters."""

    layers: tuple[Layer, ...] = SEPARABLE  # of the frozen network
    steps: int = 10
    rate: float = 0.03  # Adam's, where it starts
    gate: float = 0.15  # the error from which on the adapted features count in full
    scale: float = 10.0  # of squared distances in the inner loss
    shots: int = 5  # examples of a class in a batch, where classes have as many
    ridge: float = 0.1  # λ of the closed form
    class_means: float = 0.5  # μ of it

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"class_means": 0})
        if not self.layers:
            raise SettingError("layers", "is empty, wanted a layer or more")
        if not self.layers[-1].relu6:
            raise SettingError(
                "layers", "ends in one without ReLU6", hint="roots are taken of its outputs"
            )


class DeepShifts(Learner):
    """A frozen network that bends towards a task, as far as its closed form needs it."""

    name = "deep-shifts"
    Config = DeepShiftsConfig
    usual_cause = "the inner steps diverged: lower learner.rate"
    max_support = MOST
    ordered = True  # mini-batches follow the order of the support set

    def __init__(self, config: Any, spec: InputSpec, way: int, targets: int | None = None) -> None:
        """The learner for maps [C, H, W], or vectors [C]."""
        super().__init__(config, spec, way, targets)
        self.network = Separable(tuple(spec.shape), config.layers)
        features = InputSpec(kind="array", shape=(self.network.features,))
        form = RidgeConfig(
            ridge=config.ridge, metric="power", centre_support=True, class_means=config.class_means
        )
        self.head = Ridge(form, features, way)

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """On vectors, with a residual."""
        layers = (
            *SEPARABLE,
            Layer(outputs=16, kernel=3, depthwise=True, before=1, after=1),
            Layer(outputs=16, relu6=False, add=2),
            Layer(outputs=6),
        )
        return {"deep-shifts": Variant(cls.Config(layers=layers, steps=3, shots=1), after_training)}

    def init(self, generator: torch.Generator) -> Tensors:
        """The layers, the closed form, log rate and log gate."""
        return {
            **named(self.network.init(generator), LAYERS),
            **named(self.head.init(generator), HEAD),
            "log_rate": torch.tensor(math.log(self.config.rate)),
            "log_gate": torch.tensor(math.log(self.config.gate)),
        }

    def frozen(self, name: str) -> bool:
        """The layers are; the rest is meta-trained."""
        return name.startswith(LAYERS)

    def yardstick_features(self, params: Tensors, x: Tensor, sample: Tensor) -> Tensor:
        """f₀ of x [B, ...]: [B, D]."""
        return self.features(params, x)

    def features(self, params: Tensors, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """f_δ(x): [B, D]."""
        return self.network(part(params, LAYERS), x, shift)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """The closed form on f₀ and its gate; δ; the closed form on f_δ."""
        return (
            Stage(name="frozen", init=self.fit_frozen),
            Stage(
                name="shifts", init=self.start, step=self.shift_step, steps=self.config.steps
            ),
            Stage(name="adapted", init=self.fit_adapted),
        )

    def fit_frozen(
        self, params: Tensors, state: Tensors, support: Support, noise: Noise
    ) -> Tensors:
        """r₀ and g."""
        head = part(params, HEAD)
        known = Support(self.features(params, support.x), support.y)
        wrong = self.head.left_out(head, known).argmax(dim=1) != known.y.argmax(dim=1)
        error = wrong.to(known.y.dtype).mean()
        gate = (error / params["log_gate"].exp()).clamp(max=1)
        return {**named(self.head.solve(head, {}, known, {}), FROZEN), GATE: gate}

    def start(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """δ = 0, Adam's moments, and the first batch's place."""
        zero = support.y.new_zeros(sum(self.network.widths))
        one = support.y.new_ones(())
        moments = {FIRST: zero.clone(), SECOND: zero.clone()}
        powers = {FIRST_POWER: one, SECOND_POWER: one.clone()}
        return {SHIFT: zero, **moments, **powers, **first_batch(support.y)}

    def shift_step(
        self, params: Tensors, state: Tensors, support: Support
    ) -> tuple[Tensors, Tensor]:
        """One step of Adam on the next batch, and the batch's loss."""
        size = self.config.shots * support.y.shape[1]
        batch, places = next_batch(state, support, size)

        def batch_loss(shift: Tensor) -> Tensor:
            return self.loss(self.features(params, batch.x, shift), batch.y)

        slope, loss = grad_and_value(batch_loss)(state[SHIFT])
        first = FIRST_DECAY * state[FIRST] + (1 - FIRST_DECAY) * slope
        second = SECOND_DECAY * state[SECOND] + (1 - SECOND_DECAY) * slope * slope
        powers = state[FIRST_POWER] * FIRST_DECAY, state[SECOND_POWER] * SECOND_DECAY
        length = torch.sqrt(second / (1 - powers[1])) + EPSILON
        shift = state[SHIFT] - params["log_rate"].exp() * first / (1 - powers[0]) / length
        moments = {FIRST: first, SECOND: second}
        after = {SHIFT: shift, **moments, FIRST_POWER: powers[0], SECOND_POWER: powers[1]}
        return {**after, **places}, loss

    def loss(self, features: Tensor, y: Tensor) -> Tensor:
        """The cross-entropy of each example [B, D] by the class means of the others of y [B, N]."""
        z = unit_length((features + FLOOR).sqrt())
        counts = y.sum(dim=0)  # [N], of the batch
        means = (y.T @ z) / counts.clamp(min=1)[:, None]
        squares = (z * z).sum(dim=1, keepdim=True) - 2 * z @ means.T + (means * means).sum(dim=1)
        # without itself an example is K / (K − 1) times as far from its class's mean
        alone = (counts / (counts - 1).clamp(min=1)) ** 2
        squares = torch.where(y > 0, squares * alone, squares)
        scores = -float(self.config.scale) * squares + (counts.clamp(max=1) - 1) * ABSENT
        asked = (y * (counts > 1).to(y.dtype)).sum(dim=1)  # 1 where its class has another
        losses = torch.logsumexp(scores, dim=1) - (scores * y).sum(dim=1)
        return (losses * asked).sum() / asked.sum().clamp(min=1)

    def fit_adapted(
        self, params: Tensors, state: Tensors, support: Support, noise: Noise
    ) -> Tensors:
        """r₁."""
        known = Support(self.features(params, support.x, state[SHIFT]), support.y)
        return named(self.head.solve(part(params, HEAD), {}, known, {}), ADAPTED)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """(r₀(f₀(x)) + g r₁(f_δ(x))) / (1 + g) for x [Q, ...]: [Q, N]."""
        head, gate = part(params, HEAD), state[GATE]
        frozen = self.head.predict(head, part(state, FROZEN), self.features(params, query_x))
        moved = self.features(params, query_x, state[SHIFT])
        adapted = self.head.predict(head, part(state, ADAPTED), moved)
        return (frozen + gate * adapted) / (1 + gate)


def after_training(params: Tensors) -> Tensors:
    """Logits that are too large at first, and a gate that opens at any error."""
    small = {f"{HEAD}log_scale": torch.tensor(3.0), "log_gate": torch.tensor(-4.0)}
    return {**params, **small}
