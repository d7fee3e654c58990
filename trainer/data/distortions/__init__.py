"""Which distortions a kind of example has: those of pictures, traces, signals or sounds."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from handful.trainer.data.log_mel import LogMelConfig
from handful.trainer.settings.errors import DataError

from .pictures import PICTURES_ONLY, SERIES_ONLY, DistortConfig, distort_pictures
from .series import distort_series
from .signals import SignalConfig, distort_signals
from .sounds import HearingConfig, distort_sounds

Distortion = DistortConfig | SignalConfig | HearingConfig


class Change(Protocol):
    """Distorts examples [B, ...]: each anew, but where `of` [B] numbers them as one person's."""

    def __call__(  # noqa: D102
        self, x: Tensor, generator: torch.Generator, of: Tensor | None = None
    ) -> Tensor: ...


def change_of(
    x: Tensor,
    config: Distortion,
    log_mel: LogMelConfig | None = None,
    *,
    where: str,
    prefix: str = "",
) -> Change:
    """What distorts examples like x [M, ...]; a DataError where nothing does, or not all of it.

    Pictures are uint8 pixels [M, H, W, C], series float32 [M, T, C], for a DistortConfig with
    places in a plane as their first two channels, sounds the energies [M, F, bands, 1] that
    `log_mel` makes. Pictures and traces are distorted each by itself, whoever's they are. `prefix`
    is what the names of the settings begin with.
    """
    if isinstance(config, HearingConfig):
        if log_mel is None:
            raise DataError(
                f"only sounds can be misheard, the examples of {where} are none",
                hint=f"leave {prefix}hearing out, or set data.rate",
            )
        return lambda x, generator, of=None: distort_sounds(x, config, log_mel, generator, of)
    found = f"{str(x.dtype).split('.')[-1]} {list(x.shape[1:])}"
    if isinstance(config, SignalConfig):
        if x.dtype != torch.float32 or x.ndim != 3:
            raise DataError(
                f"only signals [T, C] have {prefix}signal, the examples of {where} are {found}",
                hint=f"leave {prefix}signal out",
            )
        if misfit := config.misfit(x.shape[2]):
            raise DataError(
                f"{prefix}signal.{misfit} does not go with the {x.shape[2]} channels of {where}"
            )
        return lambda x, generator, of=None: distort_signals(x, config, generator, of)
    pictures = x.dtype == torch.uint8 and x.ndim == 4 and x.shape[3] in (1, 3)
    if not pictures and not (x.dtype == torch.float32 and x.ndim == 3 and x.shape[2] > 1):
        raise DataError(
            f"only pictures [H, W, C] and series [T, C] can be distorted, those of {where} are"
            f" {found}",
            hint="leave the distortions out; embeddings of a backbone are not pictures any more",
        )
    kind, others = ("pictures", SERIES_ONLY) if pictures else ("series", PICTURES_ONLY)
    wrong = [name for name in others if getattr(config, name)]
    if not pictures and config.strokes and x.shape[2] < 3:
        wrong.append("strokes")  # the pen is the third channel
    if wrong:
        raise DataError(
            f"the distortion {wrong[0]} is set, which {kind} like those of {where} do not have:"
            f" {found}",
            hint=f"leave {wrong[0]} out",
        )
    change = distort_pictures if pictures else distort_series
    return lambda x, generator, of=None: change(x, config, generator)
