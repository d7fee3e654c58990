"""Proto-MAML (Triantafillou et al. 2020, arXiv:1903.03096), with exemplars and views.

    embed    h_v = f(view v of x)                              [B, V, D]
    features φ(h) = z ‖z‖^(−p), z = (h − m) / s                p = 0: as they come, 1: unit length
    init     c_n = mean over class n of φ(mean_v h);  w_n = 2 τ c_n,  b_n = −τ ‖c_n‖²
    step     (w, b) ← (w, b) − α_t g, g = K^e N ∇ L(φ(h_v) · w + b + k) of a length of at most
             `clip` √N,   `inner_steps` times
    predict  γ (φ(mean_v h) · w + b + k)

The start is the nearest class mean: w_n · φ + b_n is −τ ‖φ − c_n‖², less what all classes share.
The steps fit a linear classifier from there, as logistic regression does from zero. L is the mean
cross-entropy over all views of the support set, K the mean number of examples of a class. With many
of them K^e is large, and steps that overshoot grow from one to the next: the bound ends that.

k is a soft nearest neighbour, for classes that are not one cloud. E_n are all φ(h_v) of the
examples of class n, and c_n; for an example with the views u

    k_n = κ / g · log mean over u and ε in E_n of exp(−g ‖φ(h_u) − ε‖²)

In L each view of a support example stands alone, and E_n is without the views of that example.
f, m, τ, γ, p, κ, g, e and α (for w and for b, one a step) are meta-trained through the steps.
Differs from the paper, which has p = 0, τ = γ = 1, one fixed α, no bound, exemplars or views, and
adapts the whole network: here the head alone, as in ANIL (Raghu et al. 2020, arXiv:1909.09157).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import Outcome, Variant
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.form.steps import multi_step_loss
from handful.trainer.form.task import cross_entropy
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import OF_PICTURES, EmbeddingLearner
from handful.trainer.parts.features import class_means, squared_distance
from handful.trainer.parts.inner_gradient import grad_and_value
from handful.trainer.parts.views import ViewsConfig, check_views, views
from handful.trainer.settings.read import check_numbers

# Adam moves every parameter by about its learning rate, and the head's few numbers have to move
# further than weights: their parameters are tenths of them.
TENTHS = 10.0
# where meta-training starts from
TEMPERATURE, ANSWER_SCALE = 2.0, 2.0  # τ and γ
SHARPNESS = 10.0  # g
SHOT_EXPONENT = 0.75  # e: with more examples of a class there is more to fit
TINY = 1e-30  # beside the share of any exemplar that counts
# Bytes of the four tensors [S V, S V] that comparing the support set's views with each other fills
# at once. A process adapting a package with V = 4 grew by 14 MiB at S = 200, 45 at 400, 161
# at 800 and 226 at 968
PAIRS_BYTES = 240_000_000


@dataclass(frozen=True, kw_only=True)
class ProtoMAMLConfig:
    """The hyperparameters; those with a symbol are where meta-training starts from."""

    inner_steps: int = 5
    inner_lr: float = 0.3  # α
    clip: float | None = None  # of the inner gradient's length, for each √N; None: unbounded
    power: float = 0.5  # p
    exemplars: float = 1.0  # κ; 0: none
    multi_step_loss: float = 0.5  # the share of the meta-training over which MSL is annealed
    views: ViewsConfig = field(default_factory=ViewsConfig)
    network: NetworkConfig | None = field(default_factory=NetworkConfig)  # None: x are features

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least=dict.fromkeys(("power", "exemplars", "multi_step_loss"), 0))


class ProtoMAML(EmbeddingLearner):
    """A linear head that starts at the class means, beside a soft nearest neighbour."""

    name = "proto-maml"
    Config = ProtoMAMLConfig

    def __init__(self, config: ProtoMAMLConfig, spec: InputSpec, way: int) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way)
        check_views(config.views, tuple(spec.shape))
        if config.exemplars:
            self.max_support = math.isqrt(PAIRS_BYTES // (4 * 4)) // config.views.count

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """With and without exemplars, on features and on each kind of views."""
        every = ViewsConfig(shifts=(-2, 1), turns=(20.0,), reverse=True)
        series = NetworkConfig(kind="conv1d", filters=8)
        shifted = ViewsConfig(shifts=(1,))
        small: dict[str, dict[str, Any]] = {
            "proto-maml-vectors": {"network": None},
            "proto-maml-no-exemplars": {"network": None, "exemplars": 0.0, "power": 0.0},
            "proto-maml-pictures": {"network": OF_PICTURES, "views": shifted},
            "proto-maml-series": {"network": series, "views": every, "clip": 0.05},
        }
        return {name: Variant(cls.Config(inner_steps=2, **more)) for name, more in small.items()}

    def init(self, generator: torch.Generator) -> Tensors:
        """The network's parameters, and the head's numbers as they are set."""
        config = self.config
        positive = {"temperature": TEMPERATURE, "answer_scale": ANSWER_SCALE}
        if config.exemplars:
            positive |= {"exemplars": config.exemplars, "sharpness": SHARPNESS}
        logarithms = {name: torch.tensor(math.log(value)) for name, value in positive.items()}
        for name in ("rate.w", "rate.b"):
            logarithms[name] = torch.full((config.inner_steps,), math.log(config.inner_lr))
        return {
            **self.network_params(generator),
            **{f"log.{name}": value / TENTHS for name, value in logarithms.items()},
            "power": torch.tensor(config.power / TENTHS),
            "shot_exponent": torch.tensor(SHOT_EXPONENT / TENTHS),
            "centre": torch.zeros(self.features),
            "spread": torch.ones(()),
        }

    def prepare(self, params: Tensors, x: Tensor, y: Tensor, domain: Tensor) -> Tensors:
        """m and s: the mean of h [M, V, D], and the root mean square of the distance to it."""
        centre = x.mean(dim=(0, 1))
        square = (x - centre).square().sum(dim=-1).mean()
        return params | {"centre": centre, "spread": square.sqrt().clamp(min=1e-6)}

    def is_frozen(self, name: str) -> bool:
        """Running averages and s are buffers."""
        return super().is_frozen(name) or name == "spread"

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """Every view of x through the network: [B, V, D]."""
        several = views(self.config.views, x).flatten(0, 1)
        h, buffers = super().embed_batch(params, several, together)
        return h.reshape(x.shape[0], self.config.views.count, self.features), buffers

    def yardstick_features(self, params: Tensors, x: Tensor, sample: Tensor) -> Tensor:
        """The network's features as they come, averaged over the views: [B, D]."""
        several, of_sample = (views(self.config.views, t).flatten(0, 1) for t in (x, sample))
        h = super().yardstick_features(params, several, of_sample)
        return h.reshape(x.shape[0], self.config.views.count, self.features).mean(dim=1)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """What the support set is, then the linear head."""
        head = Stage(
            name="head",
            init=start,
            step=self.step,
            step_name="head_step",
            steps=self.config.inner_steps,
        )
        return (Stage(name="memory", init=self.remember), head)

    def remember(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """The class means [N, D]; the exemplars, their classes, and k of the support set."""
        c = class_means(self.phi(params, support.x.mean(dim=1)), support.y)
        if not self.config.exemplars:
            return {"c": c}
        # times one: an output of a graph cannot be its input
        memory = {"c": c, "e": self.phi(params, support.x), "e_class": support.y * 1.0}
        views_each = support.x.shape[1]
        count = support.y.shape[0]
        # without the views of the example itself
        others = 1 - torch.eye(count, device=c.device, dtype=c.dtype)
        near, near_c = self.nearness(params, memory, memory["e"], dims=(2,))
        by_example = near.reshape(count, views_each, count, views_each)
        shares = by_example.sum(dim=3) * others[:, None, :]
        neighbours = views_each * (support.y.sum(dim=0) - support.y) + 1
        share = (shares @ support.y + near_c) / neighbours[:, None, :]
        return memory | {"k": self.weigh(params, share)}

    def step(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """One step down the mean cross-entropy over all views of the support set."""
        x = self.phi(params, support.x)  # [S, V, D]
        y = support.y[:, None, :].expand(-1, x.shape[1], -1).flatten(0, 1)
        way = support.y.shape[1]

        def support_loss(head: Tensors) -> tuple[Tensor, Tensor]:
            logits = x @ head["w"].T + head["b"]
            logits = logits + state["k"] if "k" in state else logits
            loss = cross_entropy(logits.flatten(0, 1), y)
            return loss * way, loss

        head = {"w": state["w"], "b": state["b"]}
        gradient, (_, loss) = grad_and_value(support_loss, has_aux=True)(head)
        shots = support.y.sum() / way
        more = torch.exp(TENTHS * params["shot_exponent"] * torch.log(shots))
        more = more * self._within_clip(gradient, more, way)
        index = state["step_count"].reshape(1)  # indexing would read the number while tracing
        moved = {"step_count": state["step_count"] + 1}
        for name, value in head.items():
            rate = to_positive(params, f"rate.{name}").gather(0, index).reshape(())
            moved[name] = value - rate * more * gradient[name]
        return moved, loss

    def _within_clip(self, gradient: Tensors, more: Tensor, way: int) -> Tensor | float:
        """The factor that brings the length of `more` times the gradient down to the bound."""
        if self.config.clip is None:
            return 1.0
        square = sum(((more * g) * (more * g)).sum() for g in gradient.values()) / way
        # one over the larger of 1 and the length over the bound: never a division by a length of 0
        return torch.rsqrt(torch.clamp(square / self.config.clip**2, min=1.0))

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """Logits [Q, N] of h [Q, V, D]."""
        logits = self.phi(params, query_x.mean(dim=1)) @ state["w"].T + state["b"]
        if self.config.exemplars:
            near, near_c = self.nearness(params, state, self.phi(params, query_x), dims=(1, 2))
            views_each = state["e"].shape[1]
            of_class = state["e_class"][:, None, :].expand(-1, views_each, -1).flatten(0, 1)
            count = views_each * state["e_class"].sum(dim=0) + 1
            share = (near @ of_class + near_c).mean(dim=1) / count
            logits = logits + self.weigh(params, share)
        return to_positive(params, "answer_scale") * logits

    def phi(self, params: Tensors, h: Tensor) -> Tensor:
        """φ(h) for h [..., D]."""
        z = (h - params["centre"]) / params["spread"]
        square = (z * z).sum(dim=-1, keepdim=True) + 1e-6
        return z * torch.exp(-0.5 * TENTHS * params["power"] * torch.log(square))

    def nearness(
        self, params: Tensors, state: Tensors, x: Tensor, dims: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """exp(−g ‖x − ε‖²) of x [B, V, D] to all exemplars [B, V, S V] and means [B, V, N].

        Both are divided by the largest over `dims`, which is the same for all classes.
        """
        g = to_positive(params, "sharpness")
        to_e = -g * squared_distance(x, state["e"].flatten(0, 1))
        to_c = -g * squared_distance(x, state["c"])
        largest = torch.cat([to_e, to_c], dim=2).amax(dim=dims, keepdim=True).detach()
        return torch.exp(to_e - largest), torch.exp(to_c - largest)

    def weigh(self, params: Tensors, share: Tensor) -> Tensor:
        """κ / g · log of the mean."""
        weight = to_positive(params, "exemplars") / to_positive(params, "sharpness")
        return weight * torch.log(share + TINY)

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """L_query after the last step; under MSL, while it lasts, a weighted sum over all steps."""
        share = self.config.multi_step_loss
        return multi_step_loss(self, params, episode, share=share, progress=progress)


def start(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """w [N, D] and b [N]: the nearest class mean; and the step's number."""
    c, tau = state["c"], to_positive(params, "temperature")
    count = torch.zeros((), dtype=torch.int64, device=c.device)
    return {"w": 2 * tau * c, "b": -tau * (c * c).sum(dim=1), "step_count": count}


def to_positive(params: Tensors, name: str) -> Tensor:
    """The number, or the numbers, of a parameter that is a tenth of its logarithm."""
    return torch.exp(TENTHS * params[f"log.{name}"])
