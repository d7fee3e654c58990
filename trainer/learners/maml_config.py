"""What MAML and its kin leave to choose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from handful.trainer.bounds import check_numbers
from handful.trainer.errors import SettingError
from handful.trainer.networks import NetworkConfig

from .adapted_network import Head
from .features import frozen_body, moving_body


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
        normalisation = self.network.normalisation
        if normalisation == "running" and self.adapt_only == "all":
            raise moving_body()
        if normalisation in ("support", "task") and self.adapt_only == "head":
            raise frozen_body("network.normalisation", normalisation)
