"""MAML: Model-Agnostic Meta-Learning (Finn et al. 2017, arXiv:1703.03400), and its nearest kin.

    init     θ′ = θ
    step     θ′ ← θ′ − α N ∇θ′ L_support(f_θ′)      `inner_steps` times, equation 1
    predict  f_θ′(x)
    outer    min_θ Σ_T L_query(f_θ′)

Kin, as options: `first_order` drops the second derivative (FOMAML); `adapt_only = "head"` moves the
head alone (ANIL, Raghu 2020, arXiv:1909.09157); `rates = "coordinate"` learns α for every weight
(Meta-SGD, Li 2017, arXiv:1707.09835); `rates = "step"` learns one α for each tensor and step and
`multi_step_loss` weighs the loss after every step (LSLR and MSL of MAML++, Antoniou 2019,
arXiv:1810.09502); `head = "shared"` starts all classes from one learned row, which leaves N free
(Ye and Chao 2022, arXiv:2106.16245).

Of named classes θ starts at everybody's classifier, its head included, and the steps move it to a
person: with `clip` the inner gradient is no longer than that, with `by_count` a learned factor of
the number of examples scales the rates, and with `whitened` the head reads A (h − μ), whose
covariance within a class is 1 at the start (parts/whitening.py): one rate then suits all
directions.

Of a policy L is the policy gradient's, −mean advantage · log π(action | observation), on what the
policy itself did; it takes the place of N L, and the logarithm of the deviation moves as well. The
outer loss is −mean return of the adapted policy, with the gradient through the environment, which
has less variance than the authors' TRPO. As in their code nothing is said of how θ decides what the
support set is. `clip` keeps a step from running away.

L is a mean over examples; N L is the authors' loss, a sum over classes and a mean over shots. In
regression L is the squared error and takes the place of N L; without normalisation the body's
biases move as its weights do.
Differs from the paper: queries are normalised by the support set's statistics instead of their own
batch's, unless `normalisation = "transductive"`; β and γ of a normalised body do not move in the
inner steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import CLASSES, Asks, Episode
from handful.trainer.form.learner import Embedding, Outcome, Variant, add_prefix, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.form.steps import multi_step_loss
from handful.trainer.networks import NetworkConfig
from handful.trainer.operations.normalise import Normalisation, Statistics
from handful.trainer.parts.adapted_network import LOG_DEVIATION, THETA, AdaptedNetwork, Head
from handful.trainer.parts.bounded_steps import (
    bound_gradient,
    count_factor,
    count_params,
    labelled_loss,
)
from handful.trainer.parts.features import (
    embed_by,
    frozen_body,
    is_buffer,
    moving_body,
    unit_length,
)
from handful.trainer.parts.inner_gradient import grad_and_value
from handful.trainer.parts.whitening import CENTRE, MATRIX, fit_whitening, no_whitening, whiten
from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers


@dataclass(frozen=True, kw_only=True)
class MAMLConfig:
    """The hyperparameters."""

    inner_steps: int = 5
    evaluation_steps: int | None = None  # None: as in training
    inner_lr: float = 0.1  # α; learned from this start unless rates = "fixed"
    head_lr: tuple[float, ...] = ()  # the head's α where it is not inner_lr; with "step" one a step
    first_order: bool = False
    adapt_only: Literal["all", "head"] = "all"
    rates: Literal["fixed", "step", "coordinate"] = "fixed"
    multi_step_loss: float = 0.0  # the share of the meta-training over which MSL is annealed
    head: Head = "fixed"
    centred: bool = False  # the head reads features less their mean, of length LENGTH
    whitened: bool = False  # the head reads whitened features
    clip: float | None = None  # the most length of an inner gradient, all its tensors together
    by_count: bool = False  # a learned factor of the rates by the number of examples of a class
    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(halving="stride", normalisation="support")
    )

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least=dict.fromkeys(("inner_lr", "head_lr", "multi_step_loss"), 0))
        counts = (0, 1, self.inner_steps) if self.rates == "step" else (0, 1)
        if len(self.head_lr) not in counts:
            raise SettingError(
                "head_lr",
                f"has {len(self.head_lr)} values, wanted one",
                hint='learner.rates = "step" allows as many as learner.inner_steps',
            )
        if self.centred and self.whitened:
            raise SettingError(
                "whitened", "is true, and centred too: whitened features are centred"
            )
        normalisation = self.network.normalisation
        if normalisation == "running" and self.adapt_only == "all":
            raise moving_body()
        if normalisation in ("support", "task") and self.adapt_only == "head":
            raise frozen_body("network.normalisation", normalisation)


RATE = "rate."
LENGTH = 10.0  # of a centred head's features: rates of the order of 1 then make logits of 10
BATCH = 512  # examples at a time, where many are embedded


class MAML(AdaptedNetwork):
    """A start from which a few gradient steps suffice."""

    name = "maml"
    Config = MAMLConfig
    tasks = ("classification", "named classes", "regression", "policy")
    usual_cause = "the inner steps diverged: lower learner.inner_lr, or set meta.clip_value = 10"

    def __init__(self, config: MAMLConfig, spec: InputSpec, way: int, asks: Asks = CLASSES) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        if asks.actions is not None and config.multi_step_loss:
            raise SettingError(
                "multi_step_loss",
                f"is {config.multi_step_loss}, but the queries of a policy are what it did after"
                " the last step",
                hint="set learner.multi_step_loss = 0",
            )
        if asks.actions is not None and config.adapt_only == "head":
            raise SettingError(
                "adapt_only",
                'is "head", but a policy moves as a whole here',
                hint='set learner.adapt_only = "all"',
            )
        if config.adapt_only == "head":  # before the network is built
            self.embedding = Embedding(self.embed_batch)
        super().__init__(config, spec, way, asks)

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """Its kin, under each normalisation; dense layers are traced in a tenth of the time."""

        def conv4(normalisation: Normalisation, filters: int = 8, **settings: Any) -> Variant:
            network = NetworkConfig(filters=filters, halving="stride", normalisation=normalisation)
            steps: dict[str, Any] = {"inner_steps": 2, "inner_lr": 0.05}
            return Variant(cls.Config(network=network, **steps, **settings))

        def mlp(normalisation: Normalisation, **settings: Any) -> Variant:
            network = NetworkConfig(kind="mlp", hidden=(32, 24), normalisation=normalisation)
            return Variant(cls.Config(network=network, inner_steps=2, **settings))

        coordinate: dict[str, Any] = {"rates": "coordinate"}
        step: dict[str, Any] = {"rates": "step"}
        shared: dict[str, Any] = {"head": "shared"}
        return {
            "maml-support-fixed": conv4("support"),
            "maml-task-shared-step": conv4("task", **shared, **step),
            "maml-group-shared-coordinate": conv4("group", 32, **shared, **coordinate),
            "maml-layer-fixed-step": conv4("layer", evaluation_steps=3, **step),
            "maml-none-fixed-coordinate": conv4("none", **coordinate),
            "mlp-support-shared-coordinate": mlp("support", **shared, **coordinate),
            "mlp-task-shared-step": mlp("task", evaluation_steps=3, **shared, **step),
            "mlp-group-fixed-coordinate": mlp("group", **coordinate),
            "maml-first-order": conv4("support", first_order=True, **shared),
            "anil": conv4("running", adapt_only="head", **shared),
            "maml-named": mlp("none", clip=1.0, whitened=True, by_count=True, **step).of_named(),
            "anil-named": mlp("running", adapt_only="head", clip=1.0, whitened=True).of_named(),
        }

    def init(self, generator: torch.Generator) -> Tensors:
        """θ with its head, and the learned rates."""
        theta = self.fresh_theta(generator)
        if self.config.centred:
            theta["centre"] = torch.zeros(self.network.features)
        if self.config.whitened:
            theta |= no_whitening(self.network.features)
        params = add_prefix(theta, THETA)
        for name, value in theta.items():
            if not self.moves(name) or self.config.rates == "fixed":
                continue
            shape = value.shape if self.config.rates == "coordinate" else (self.config.inner_steps,)
            first = torch.tensor(self.first_rates(name))
            params[RATE + name] = first.expand(shape).clone()
        return params | (count_params() if self.config.by_count else {})

    def prepare(self, params: Tensors, x: Tensor, y: Tensor, domain: Tensor) -> Tensors:
        """Where the head's features are centred or whitened, by the meta-training examples.

        The head of whitened features is the one that says the same as before.
        """
        if not (self.config.centred or self.config.whitened):
            return params
        theta = part(params, THETA)
        h = torch.cat([self.body(theta, rows, None)[0] for rows in torch.split(x, BATCH)])
        if self.config.centred:
            return {**params, f"{THETA}centre": h.mean(dim=0)}
        found = fit_whitening(h, torch.eye(int(y.max()) + 1, device=y.device)[y])
        weight, bias = theta["head.weight"], theta["head.bias"]
        found["head.weight"] = torch.linalg.solve(found[MATRIX], weight)
        found["head.bias"] = bias + found[CENTRE] @ weight
        return params | add_prefix(found, THETA)

    def is_frozen(self, name: str) -> bool:
        """Running averages and the standardisation are buffers."""
        return is_buffer(name)

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """ANIL's body, x [B, H, W, C] → h [B, D].

        Of named classes each by itself: the examples of a task are one person's.
        """
        alone = self.named_way is not None and not self.transductive
        return embed_by(self.network, THETA, params, x, together and not alone)

    def moves(self, name: str) -> bool:
        """Whether the inner step changes `name` of θ: the authors leave γ and β alone."""
        if name.startswith("head.") or name == LOG_DEVIATION:
            return True
        biases = self.config.network.normalisation == "none" and name.endswith(".beta")
        return self.config.adapt_only == "all" and (name.endswith(".weight") or biases)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """θ′ by inner steps, then the support set's statistics under θ′."""
        steps = self.config.inner_steps
        steps = steps if training else self.config.evaluation_steps or steps
        inner = Stage(
            name="inner",
            init=self.start,
            step=self.step,
            step_name="inner_step",
            steps=steps,
        )
        return (inner, *self.statistics_stage())

    def start(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """θ′ = θ: the tensors that move, the head with N columns, and the step's number."""
        state_tensors = self.start_theta(params, support)
        if self.config.rates == "step":
            state_tensors["step_count"] = torch.zeros(
                (), dtype=torch.int64, device=support.y.device
            )
        return state_tensors

    def step(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """One inner step: θ′ − α N ∇θ′ L, and the loss L that it descends, a mean over examples."""
        fixed = part(params, THETA)
        moving = part(state, THETA)

        def support_loss(moving: Tensors) -> tuple[Tensor, Tensor]:
            logits, _ = self.logits({**fixed, **moving}, support.x, None)
            named = self.named_way is not None
            mean = (labelled_loss if named else self.task.loss)(logits, support.y)
            return mean * (1 if self.targets else support.y.shape[1]), mean

        gradient, (_, loss) = grad_and_value(
            support_loss, has_aux=True, constant=self.config.first_order
        )(moving)
        gradient = bound_gradient(gradient, self.config.clip)
        if self.config.by_count:
            factor = count_factor(params, support)
            gradient = {name: factor * g for name, g in gradient.items()}
        rate = {name: self.rate(params, state, name) for name in moving}
        moved = {THETA + name: moving[name] - rate[name] * gradient[name] for name in moving}
        if "step_count" in state:
            moved["step_count"] = state["step_count"] + 1
        return moved, loss

    def first_rates(self, name: str) -> tuple[float, ...]:
        """α for the tensor `name` as it is set, one value or one a step: learned ones start so."""
        head = self.config.head_lr if name.startswith("head.") else ()
        return head or (float(self.config.inner_lr),)

    def rate(self, params: Tensors, state: Tensors, name: str) -> Tensor | float:
        """α for the tensor `name`: a number, a learned number of this step, or one a coordinate."""
        if self.config.rates == "fixed":
            return self.first_rates(name)[0]
        rate = params[RATE + name]
        if self.config.rates == "coordinate":
            fixed_head = self.max_way is not None and name.startswith("head.")
            return rate[..., : state[THETA + name].shape[-1]] if fixed_head else rate
        # further steps at evaluation use the rate of the last one in training
        index = state["step_count"].clamp(max=self.config.inner_steps - 1).reshape(1)
        return rate.gather(0, index).reshape(())  # indexing would read the number while tracing

    def logits(
        self, theta: Tensors, x: Tensor, statistics: Statistics | None
    ) -> tuple[Tensor, Statistics]:
        """f_θ(x): the network, unless it is the embedding, and a linear head."""
        h, gathered = self.body(theta, x, statistics)
        if self.config.centred:
            h = LENGTH * unit_length(h - theta["centre"])
        if self.config.whitened:
            h = whiten(theta, h)
        return self.read_head(theta, h), gathered

    def body(
        self, theta: Tensors, x: Tensor, statistics: Statistics | None
    ) -> tuple[Tensor, Statistics]:
        """What the head reads, before it is centred: [B, D]; under ANIL x itself."""
        return self.network(theta, x, statistics) if self.embedding is None else (x, {})

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """L_query after the last step; under MSL, while it lasts, a weighted sum over all steps."""
        share = self.config.multi_step_loss
        return multi_step_loss(self, params, episode, share=share, progress=progress)
