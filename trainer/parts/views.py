"""Views of an example: copies that are moved, turned or reversed, made on the device as well.

A word that is said a little later is the same word, but not the same features. A learner that
embeds several views of each example can average over them and compare any two; since the views are
made in `embed`, a device makes the same ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers

FAR = 2**31  # more rows than any example has


@dataclass(frozen=True, kw_only=True)
class ViewsConfig:
    """Which views there are beside the example itself."""

    shifts: tuple[int, ...] = ()  # rows (samples, frames) later along the first axis
    turns: tuple[float, ...] = ()  # degrees, in the plane of the first two channels
    reverse: bool = False  # the first axis backwards: a pen that goes the other way

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"shifts": -FAR, "turns": -360}, below={"turns": 361})

    @property
    def count(self) -> int:
        """V, the example itself included."""
        return 1 + len(self.shifts) + len(self.turns) + int(self.reverse)


def check_views(config: ViewsConfig, shape: tuple[int, ...]) -> None:
    """Refuse views that examples of `shape` do not have."""
    if (config.shifts or config.reverse) and len(shape) < 2:
        name = "shifts" if config.shifts else "reverse"
        raise SettingError(
            f"learner.views.{name}",
            f"moves the first axis of series and images, the examples have the shape {list(shape)}",
        )
    if config.shifts and max(map(abs, config.shifts)) >= shape[0]:
        far = max(config.shifts, key=abs)
        raise SettingError("learner.views.shifts", f"has {far}, wanted less than {shape[0]} rows")
    if config.turns and (len(shape) != 2 or shape[1] < 2):
        raise SettingError(
            "learner.views.turns",
            "turns series [T, C] whose first two channels are a plane,"
            f" the examples have the shape {list(shape)}",
        )


def views(config: ViewsConfig, x: Tensor) -> Tensor:
    """x [B, ...] → [B, V, ...]: the example, then shifted, turned and reversed.

    A shift repeats the first or the last row where nothing comes in.
    """
    made = [x]
    for shift in config.shifts:
        rows = torch.arange(x.shape[1], device=x.device) - shift
        made.append(x[:, rows.clamp(0, x.shape[1] - 1)])
    for degrees in config.turns:
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = torch.tensor([[cosine, sine], [-sine, cosine]], device=x.device, dtype=x.dtype)
        made.append(torch.cat([x[..., :2] @ turn, x[..., 2:]], dim=-1))
    if config.reverse:
        made.append(x[:, torch.arange(x.shape[1] - 1, -1, -1, device=x.device)])
    return torch.stack(made, dim=1)
