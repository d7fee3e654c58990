"""Random distortions of sounds, as log-mel energies: another speaker, room, microphone and noise.

Each example gets a draw of its own, where nothing else is said uniform between minus and plus the
amount that is set. All of it happens on energies [F, bands], which are quick to change; what comes
in from outside repeats the border.

    speed    of saying it: time is stretched by e^±amount
    voice    the bands are stretched by e^±amount, as with a longer or shorter vocal tract: vocal
             tract length perturbation (Jaitly and Hinton 2013)
    shift    later or earlier, in frames
    gain     loudness, in nats of energy (one is 4.3 dB)
    tilt     of the microphone: from −amount at the lowest band to +amount at the highest, in nats
    noise    the share of examples with noise; its level lies 2.5 to 11.5 nats under the loudest
             band, it slopes by up to 2 nats either way, and it adds energy to each band
    frames   up to so many neighbouring frames are blanked out, and
    bands    up to so many bands: SpecAugment (Park et al. 2019, arXiv:1904.08779)
    silence  the share of examples whose first or last frames, up to a third of all, are digital
             silence, as of a recording that was too short
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from handful.trainer.data.log_mel import LogMelConfig
from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers

from .draws import Draw

LOUDEST, SPAN, SLOPE, ROUGH = 2.5, 9.0, 2.0, 0.5  # of the noise, nats


@dataclass(frozen=True, kw_only=True)
class HearingConfig:
    """How much is distorted; 0 is not at all."""

    speed: float = 0.0
    voice: float = 0.0
    shift: float = 0.0  # frames
    gain: float = 0.0  # nats
    tilt: float = 0.0  # nats
    noise: float = 0.0  # share of examples
    frames: float = 0.0
    bands: float = 0.0
    silence: float = 0.0  # share of examples

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least=dict.fromkeys(vars(self), 0))
        for name in ("noise", "silence"):
            if getattr(self, name) > 1:
                raise SettingError(name, f"is {getattr(self, name)}, wanted 0 to 1")


def distort_sounds(
    x: Tensor,
    config: HearingConfig,
    log_mel: LogMelConfig,
    generator: torch.Generator,
    of: Tensor | None = None,
) -> Tensor:
    """Log-mel energies [B, F, bands, 1], each example distorted anew.

    Those of one number in `of` [B] are of one speaker: voice, gain and tilt are theirs together.
    The generator is a CPU one: every device distorts alike.
    """
    draw = Draw(len(x), generator, x.device)
    speaker = Draw(len(x), generator, x.device, of)
    frames, bands = x.shape[1:3]
    time = torch.linspace(-1, 1, frames, device=x.device).reshape(1, frames, 1)
    band = torch.linspace(-1, 1, bands, device=x.device).reshape(1, 1, bands)
    place_t = time * draw.either(config.speed).exp() + draw.either(2 * config.shift / (frames - 1))
    place_b = (band + 1) * speaker.either(config.voice).exp() - 1
    grid = torch.stack([place.expand(-1, frames, bands) for place in (place_b, place_t)], dim=-1)
    moved = F.grid_sample(
        x.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=True
    ).squeeze(1)
    energy = moved * log_mel.deviation + log_mel.mean
    energy = energy + speaker.either(config.gain)
    level = energy.amax(dim=(1, 2), keepdim=True) - LOUDEST - SPAN * draw.share()
    rough = ROUGH * draw.normal(frames, bands)
    noise = level + band * draw.either(SLOPE) + rough
    energy = torch.where(draw.share() < config.noise, torch.logaddexp(energy, noise), energy)
    energy = energy + band * speaker.either(config.tilt)
    blank = draw.stretch(config.frames, frames, 1) | draw.stretch(config.bands, bands, 2)
    energy = torch.where(blank, energy.mean(dim=(1, 2), keepdim=True), energy)
    silent = draw.end(config.silence, frames)
    energy = torch.where(silent, torch.full_like(energy, log_mel.floor).log(), energy)
    return ((energy - log_mel.mean) / log_mel.deviation)[..., None]
