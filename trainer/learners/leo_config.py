"""What LEO leaves to choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from handful.trainer.bounds import check_numbers
from handful.trainer.networks import NetworkConfig

from .features import no_network


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
