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
from typing import Any

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.errors import ConfigError

from .embedding import OF_PICTURES, EmbeddingLearner
from .features import squared_distance, unit_length
from .form import (
    Noise,
    Outcome,
    Stage,
    Support,
    Tensors,
    Variant,
    cross_entropy,
)
from .leo_config import LEOConfig
from .leo_penalties import divergence, orthogonality, squared_norm
from .leo_start import glorot_maps, prototype_maps
from .leo_steps import decoder, encode, finetune_step, latent_moments, latent_step, product

__all__ = ["LEO", "LEOConfig"]

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
            "center": torch.zeros(size),
            **glorot_maps(size, latent, generator),
            "latent_lr": torch.full((latent,), self.config.latent_lr),
            "finetuning_lr": torch.full((size,), self.config.finetuning_lr),
        }

    def prepare(self, params: Tensors, x: Tensor, y: Tensor) -> Tensors:
        """Centre the features; with start = "prototypes" set the maps where w is the class mean.

        x [M, D] were embedded with the centre at 0; they are of unit length unless they are raw.
        """
        center = x.mean(dim=0)
        params = {**params, "center": center}
        if self.config.start == "glorot":
            return params
        features = x - center if self.config.features == "raw" else unit_length(x - center)
        return {**params, **prototype_maps(params, features, self.config)}

    def frozen(self, name: str) -> bool:
        """A frozen network, and with it the mean of its features."""
        return super().frozen(name) or (name == "center" and self.embeds_ahead)

    def embedded(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """x [B, ...] → centred features [B, D], of unit length unless they are raw."""
        h, buffers = super().embedded(params, x, together)
        if self.config.features == "raw":
            return h - params["center"], buffers
        return unit_length(unit_length(h) - params["center"]), buffers

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
