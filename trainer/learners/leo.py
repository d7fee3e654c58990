"""LEO: Latent Embedding Optimization (Rusu et al. 2019, arXiv:1807.05960).

    embed    x ∈ R^D, the frozen features, centred and of unit length
    encoder  e = W_e x;  r(i, j) = g_r([e_i, e_j]), a three-layer ReLU MLP
             (μ_n, u_n) = mean over j, then over the examples i of class n;  z_n = μ_n + σ_n ε
    decoder  (μ_w, u_w) = W_d z_n;  w_n = μ_w + σ_w ε;  scores ⟨x, w_n⟩
    step     z ← z − α ∇_z L_support(decode(z)), α a learned vector of L
    step     w ← w − α_w ∇_w L_support(w),       α_w a learned vector of D
    outer    L_query + β KL(q(z|D) ‖ N(0, I)) + γ ‖stop_grad(z′) − z‖² + λ₁ ‖φ‖² + λ₂ ‖C_d − I‖²

Differs from the paper: one z a class instead of K copies of it, with N × the mean loss over the
support set instead of the sum over N·K (equal when the copies are: at evaluation, always); features
are centred on the meta-training mean (Wang et al. 2019, arXiv:1911.04623); `start = "prototypes"`
begins where w_n is the scaled class mean instead of at random maps, `start = "glorot"` is the
paper's; `scores = "distance"` scores −(τ/2) ‖x − w_n/τ‖², which is ⟨x, w_n⟩ − ‖w_n‖²/2τ less what
all classes share: with `features = "raw"` and τ = 2 the start, w_n = τ c_n, is the prototypical
network that the features come from. docs/learners/leo.md lists the smaller differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import Outcome, Variant
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.form.task import cross_entropy
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import OF_PICTURES, EmbeddingLearner
from handful.trainer.parts.features import class_means, no_network, squared_distance, unit_length
from handful.trainer.parts.inner_gradient import grad_and_value
from handful.trainer.settings.errors import ConfigError
from handful.trainer.settings.read import check_numbers


@dataclass(frozen=True, kw_only=True)
class LEOConfig:
    """The hyperparameters; the loss weights default to the paper's for miniImageNet, 1-shot."""

    latent_dim: int = 64  # L
    latent_steps: int = 5
    finetuning_steps: int = 5
    latent_lr: float = 1.0  # where the learned vector α starts, as in the authors' code
    finetuning_lr: float = 1e-3
    dropout: float = 0.3
    sampling: bool = True  # False: z and w are their means in training too (deterministic)
    kl_weight: float = 0.756  # β
    encoder_penalty: float = 5.76e-6  # γ
    l2_weight: float = 3.6e-10  # λ₁
    orthogonality: float = 0.188  # λ₂
    start: Literal["prototypes", "glorot"] = "prototypes"
    scores: Literal["product", "distance"] = "product"  # ⟨x, w⟩, or −(τ/2)‖x − w/τ‖²
    features: Literal["unit", "raw"] = "unit"  # around their mean, of unit length or as they come
    start_noise: float = 0.1  # of the random maps, the share beside start = "prototypes"
    temperature: float = 10.0  # τ: with start = "prototypes" w_n is about τ times the class mean
    train_network: bool = False  # meta-train the features through the inner steps
    network: NetworkConfig | None = None  # what embeds images; None: examples are features already

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        steps, rates = ("latent_steps", "finetuning_steps"), ("latent_lr", "finetuning_lr")
        weights = (
            "start_noise",
            "dropout",
            "kl_weight",
            "encoder_penalty",
            "l2_weight",
            "orthogonality",
        )
        check_numbers(
            self, least=dict.fromkeys((*steps, *rates, *weights), 0), below={"dropout": 1}
        )
        if self.train_network and self.network is None:
            raise no_network()


def divergence(mean: Tensor, std: Tensor, z: Tensor) -> Tensor:
    """The authors' one-sample estimate of KL(N(μ, σ²) ‖ N(0, 1)), a mean over coordinates."""
    standard = (z - mean) / std
    return (0.5 * (z * z - standard * standard) - torch.log(std)).mean()


def orthogonality(decoder: Tensor) -> Tensor:
    """Mean squared distance of the rows' correlation matrix from the identity."""
    centred = decoder - decoder.mean(dim=1, keepdim=True)
    rows = unit_length(centred)
    difference = rows @ rows.T - torch.eye(rows.shape[0], device=rows.device)
    return (difference * difference).mean()


def squared_norm(params: Tensors) -> Tensor:
    """‖φ_e‖² + ‖φ_r‖² + ‖φ_d‖², halved as tf.nn.l2_loss does."""
    maps = ("encoder", "relation.0", "relation.1", "relation.2", "decoder")
    return torch.stack([(params[name] * params[name]).sum() for name in maps]).sum() / 2


FIRST_STD = 0.1  # σ of z at the prototype start: log(1 + 0.1) is what u must be on average


class _Start(Protocol):
    @property
    def latent_dim(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def start_noise(self) -> float: ...


def glorot_maps(size: int, latent: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Glorot-uniform maps, as in the authors' code: encoder, relation net, decoder; no biases."""
    shapes = {
        "encoder": (size, latent),
        "relation.0": (2 * latent, 2 * latent),
        "relation.1": (2 * latent, 2 * latent),
        "relation.2": (2 * latent, 2 * latent),
        "decoder": (latent, 2 * size),
    }
    return {
        name: (torch.rand(shape, generator=generator) * 2 - 1) * math.sqrt(6 / sum(shape))
        for name, shape in shapes.items()
    }


def prototype_maps(params: dict[str, Tensor], x: Tensor, config: _Start) -> dict[str, Tensor]:
    """Maps with z_n = the class mean's first L principal coordinates and w_n = temperature × it.

    x [M, D] are centred features. The relation net passes its first argument on as
    relu(e) − relu(−e); a share of the random start stays beside it.
    """
    size, latent = params["encoder"].shape
    kept = min(size, latent)
    directions = torch.linalg.eigh(x.T @ x / x.shape[0])[1].flip(1)[:, :kept]  # [D, kept]
    basis = torch.zeros(size, latent, device=x.device)
    basis[:, :kept] = directions
    # z of unit order: the prior of the latent code is N(0, 1)
    spread = (x @ basis).square().mean().sqrt()
    eye, zero = torch.eye(latent, device=x.device), torch.zeros(latent, latent, device=x.device)
    both = torch.cat([eye, -eye], dim=1)
    scale = (x @ basis / spread).abs().sum(dim=1).mean()
    deviations = torch.full((2 * latent, latent), math.log1p(FIRST_STD), device=x.device) / scale
    exact = {
        "encoder": basis / spread,
        "relation.0": torch.cat([both, torch.cat([zero, zero], dim=1)]),
        "relation.1": torch.eye(2 * latent, device=x.device),
        "relation.2": torch.cat([torch.cat([eye, -eye]), deviations], dim=1),
        "decoder": torch.cat(
            [config.temperature * spread * basis.T, torch.zeros(latent, size, device=x.device)],
            dim=1,
        ),
    }
    # a share of the random start stays beside the prototypes, so that every weight can move
    random = {"relation.0": config.start_noise, "relation.1": config.start_noise}
    return {
        name: value + random.get(name, 0.0) * params[name].to(x.device)
        for name, value in exact.items()
    }


Scores = Callable[[Tensor, Tensor], Tensor]  # x [B, D], w [N, D] → [B, N]

STD_FLOOR = 1e-10  # the authors' lower bound of a standard deviation


def latent_moments(params: Tensors, support: Support) -> tuple[Tensor, Tensor]:
    """μ and σ of z, each [N, L]: equation 4 with the relation network of equation 3."""
    e = support.x @ params["encoder"]  # [S, L]
    latent = e.shape[1]
    first = params["relation.0"]  # [2 L, 2 L]: the two halves act on e_i and on e_j
    pair = torch.relu((e @ first[:latent])[:, None, :] + (e @ first[latent:])[None, :, :])
    hidden = torch.relu(pair @ params["relation.1"]).mean(dim=1)  # [S, 2 L]
    # the last layer is linear, so the means may be taken on its inputs
    codes = class_means(hidden, support.y) @ params["relation.2"]  # [N, 2 L]
    return codes[:, :latent], deviation(codes[:, latent:], offset=0.0)


def encode(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """z [N, L] = μ + σ ε."""
    mean, std = latent_moments(params, support)
    return {"z": mean + std * noise["z_noise"]}


def decode(params: Tensors, z: Tensor, noise: Tensor | None = None) -> Tensor:
    """w [N, D] = μ_w + σ_w ε of z [N, L]: equation 5; without noise its mean."""
    size = params["decoder"].shape[1] // 2
    if noise is None:
        return z @ params["decoder"][:, :size]
    codes = z @ params["decoder"]  # [N, 2 D]
    # the authors' offset: the deviation starts at Glorot's √(2 / (D + N))
    offset = (2 / (size + z.shape[0])) ** 0.5
    return codes[:, :size] + deviation(codes[:, size:], offset) * noise


def decoder(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """w [N, D] of the optimised z."""
    return {"w": decode(params, state["z"], noise["w_noise"])}


def product(x: Tensor, w: Tensor) -> Tensor:
    """⟨x, w_n⟩, the paper's scores, for x [B, D] and w [N, D]: [B, N]."""
    return x @ w.T


def latent_step(
    params: Tensors,
    state: Tensors,
    support: Support,
    noise: Tensor | None = None,
    *,
    scores: Scores = product,
) -> tuple[Tensors, Tensor]:
    """z ← z − α N ∇_z L(decode(z)): equation 7; `noise` [N, D] draws w in training."""
    z, loss = descend(
        lambda z: cross_entropy(scores(support.x, decode(params, z, noise)), support.y),
        state["z"],
        params["latent_lr"] * support.y.shape[1],
    )
    return {"z": z}, loss


def finetune_step(
    params: Tensors, state: Tensors, support: Support, *, scores: Scores = product
) -> tuple[Tensors, Tensor]:
    """w ← w − α_w N ∇_w L(w)."""
    w, loss = descend(
        lambda w: cross_entropy(scores(support.x, w), support.y),
        state["w"],
        params["finetuning_lr"] * support.y.shape[1],
    )
    return {"w": w}, loss


def descend(
    loss: Callable[[Tensor], Tensor], x: Tensor, lr: Tensor | float
) -> tuple[Tensor, Tensor]:
    """x − lr ∇loss(x), and the loss at x."""
    gradient, value = grad_and_value(loss)(x)
    return x - lr * gradient, value


def deviation(u: Tensor, offset: float) -> Tensor:
    """σ = max(exp(u) − 1 + offset, 1e-10)."""
    return torch.clamp(torch.exp(u) - 1 + offset, min=STD_FLOOR)


# Bytes of the two tensors [S, S, 2 L] that the relation network fills at once. A process adapting
# omniglot-leo (L = 64) grew by 42 MiB at S = 200, 94 at 300, 168 at 400, 241 at 484, 256 at 500
PAIRS_BYTES = 240_000_000


class LEO(EmbeddingLearner):
    """Decodes a classifier from a latent code of the task and runs its inner loop on that code."""

    name = "leo"
    Config = LEOConfig
    usual_cause = (
        "the latent step overshot: set meta.clip_value = 0.1 and meta.clip_norm = 0.1 as the"
        " authors do, or lower learner.latent_lr"
    )

    def __init__(self, config: LEOConfig, spec: InputSpec, way: int) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way)
        if self.network is None and len(spec.shape) != 1:
            raise ConfigError(
                "leo without a network reads vectors [D], found examples of shape"
                f" {list(spec.shape)}",
                hint="set learner.network.kind for a network, or data.backbone for embeddings",
            )
        self.max_support = math.isqrt(PAIRS_BYTES // (2 * 2 * config.latent_dim * 4))

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """On features, on those of a frozen network, and on learned ones."""
        rates: dict[str, Any] = {"latent_lr": 0.3, "finetuning_lr": 0.05}
        small: dict[str, Any] = {"latent_dim": 6, "latent_steps": 2, "finetuning_steps": 2, **rates}
        one: dict[str, Any] = {
            "latent_dim": 6,
            "latent_steps": 1,
            "finetuning_steps": 1,
            "network": OF_PICTURES,
        }
        return {
            "leo": Variant(cls.Config(**small)),
            "leo-pictures": Variant(cls.Config(**one)),
            "leo-learned": Variant(cls.Config(**one, train_network=True, scores="distance")),
        }

    def init(self, generator: torch.Generator) -> Tensors:
        """Four maps, two rate vectors, the features' mean; `embed.` is the frozen network."""
        size, latent = self.features, self.config.latent_dim
        return {
            **self.network_params(generator),
            "centre": torch.zeros(size),
            **glorot_maps(size, latent, generator),
            "latent_lr": torch.full((latent,), self.config.latent_lr),
            "finetuning_lr": torch.full((size,), self.config.finetuning_lr),
        }

    def prepare(self, params: Tensors, x: Tensor, y: Tensor, domain: Tensor) -> Tensors:
        """Centre the features; with start = "prototypes" set the maps where w is the class mean.

        x [M, D] were embedded with the centre at 0; they are of unit length unless they are raw.
        """
        centre = x.mean(dim=0)
        params = {**params, "centre": centre}
        if self.config.start == "glorot":
            return params
        features = x - centre if self.config.features == "raw" else unit_length(x - centre)
        return {**params, **prototype_maps(params, features, self.config)}

    def is_frozen(self, name: str) -> bool:
        """A frozen network, and with it the mean of its features."""
        return super().is_frozen(name) or (name == "centre" and self.embeds_ahead)

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """x [B, ...] → centred features [B, D], of unit length unless they are raw."""
        h, buffers = super().embed_batch(params, x, together)
        if self.config.features == "raw":
            return h - params["centre"], buffers
        return unit_length(unit_length(h) - params["centre"]), buffers

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """z in latent space, then w in weight space."""
        latent = Stage(
            name="latent",
            init=encode,
            init_name="encoder",
            step=self.latent_step,
            steps=self.config.latent_steps,
            noise={"z_noise": ("N", self.config.latent_dim)},
        )
        weights = Stage(
            name="weights",
            init=decoder,
            step=self.finetune_step,
            steps=self.config.finetuning_steps,
            noise={"w_noise": ("N", self.features)},
        )
        return (latent, weights)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """The scores of the queries [Q, D]: [Q, N]."""
        return self.scores(query_x, state["w"])

    def scores(self, x: Tensor, w: Tensor) -> Tensor:
        """⟨x, w_n⟩, or −(τ/2) ‖x − w_n/τ‖², for x [B, D] and w [N, D]: [B, N].

        The term in ‖x‖² changes no answer, no loss and no step. With it the largest score says how
        near x is, which thresholds for unknown queries need.
        """
        if self.config.scores == "product":
            return product(x, w)
        tau: float = self.config.temperature
        return -tau / 2 * squared_distance(x, w / tau)

    def latent_step(
        self, params: Tensors, state: Tensors, support: Support
    ) -> tuple[Tensors, Tensor]:
        """One step in latent space, with this learner's scores."""
        return latent_step(params, state, support, scores=self.scores)

    def finetune_step(
        self, params: Tensors, state: Tensors, support: Support
    ) -> tuple[Tensors, Tensor]:
        """One step in weight space, with this learner's scores."""
        return finetune_step(params, state, support, scores=self.scores)

    def training_noise(self, episodes: Episode, generator: torch.Generator) -> Tensors:
        """ε of z and of every decoded w, and a dropout mask of the support set for each decode."""
        tasks, support, size = *episodes.support_y.shape[:2], self.features
        way, config = episodes.support_y.shape[-1], self.config
        decodes = config.latent_steps + 1
        keep = 1 - config.dropout
        on = 1.0 if config.sampling else 0.0
        noise = {
            "z_noise": on * torch.randn(tasks, way, config.latent_dim, generator=generator),
            "w_noise": on * torch.randn(tasks, decodes, way, size, generator=generator),
            "keep": torch.bernoulli(
                torch.full((tasks, decodes, support, size), keep), generator=generator
            )
            / keep,
            "keep_query": torch.bernoulli(
                torch.full((tasks, episodes.query_y.shape[1], size), keep), generator=generator
            )
            / keep,
        }
        return {name: value.to(episodes.support_x.device) for name, value in noise.items()}

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """The authors' objective; in training every decode draws w and drops features anew."""
        config = self.config
        support, query_x, buffers = self.embed_task(params, episode)
        mean, std = latent_moments(params, support)
        start = {"z": mean + std * noise["z_noise"]}
        z = start
        for i in range(config.latent_steps):
            dropped = Support(support.x * noise["keep"][i], support.y)
            z, _ = latent_step(params, z, dropped, noise["w_noise"][i], scores=self.scores)
        dropped = Support(support.x * noise["keep"][-1], support.y)
        w = decoder(params, z, dropped, {"w_noise": noise["w_noise"][-1]})
        for _ in range(config.finetuning_steps):
            w, _ = self.finetune_step(params, w, dropped)
        logits = self.predict(params, w, query_x * noise["keep_query"])
        query_loss = cross_entropy(logits, episode.query_y)
        moved = z["z"].detach() - start["z"]
        penalties = {
            "kl": divergence(mean, std, start["z"]),
            "encoder_penalty": (moved * moved).mean(),
            "orthogonality": orthogonality(params["decoder"]),
        }
        loss = (
            query_loss
            + config.kl_weight * penalties["kl"]
            + config.encoder_penalty * penalties["encoder_penalty"]
            + config.l2_weight * squared_norm(params)
            + config.orthogonality * penalties["orthogonality"]
        )
        y = episode.query_y
        return loss, self.outcome(logits, y, buffers, query_loss=query_loss, **penalties)
