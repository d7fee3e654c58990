"""Random distortions of signals [T, C] of sensors on a body: another person, placement and pace.

What is uniform lies between minus and plus the amount that is set. The first five belong to a
person, or to how the sensor is worn; in tasks of one person each, all examples of a task share
their draw. The last three belong to the example.

    rotation   of a ring of sensors, in places, `ring` channels to a ring: read between neighbours
    turn       of axes, in degrees: each three channels are x, y, z, all turned about one axis
    gain       all channels grow to e^±amount
    level      is added to all channels; a gain, where the channels are logarithms
    channels   a normal deviate is added to each channel, in each ring the same
    speed      time is stretched by so much of it, about the middle
    shift      later or earlier, in readings; what comes in from outside repeats the end
    noise      a normal deviate of each reading
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers

from .draws import Draw

AXES = 3


@dataclass(frozen=True, kw_only=True)
class SignalConfig:
    """How much is distorted; 0 is not at all. Units are those of the examples."""

    ring: int = 0  # channels; 0: there is none
    rotation: float = 0.0  # places
    turn: float = 0.0  # degrees
    gain: float = 0.0  # nats
    level: float = 0.0  # units
    channels: float = 0.0  # units
    speed: float = 0.0  # share of the time
    shift: float = 0.0  # readings
    noise: float = 0.0  # units

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least=dict.fromkeys(vars(self), 0), below={"speed": 1})
        if self.rotation and not self.ring:
            raise SettingError("ring", "is 0, but rotation is set", hint="how many go round?")

    def misfit(self, channels: int) -> str | None:
        """Which setting does not go with so many channels."""
        if self.ring and channels % self.ring:
            return f"ring = {self.ring}"
        return f"turn = {self.turn:g}" if self.turn and channels % AXES else None


def distort_signals(
    x: Tensor, config: SignalConfig, generator: torch.Generator, of: Tensor | None = None
) -> Tensor:
    """Signals [B, T, C], each distorted anew; those of one number in `of` [B] as one person's.

    The generator is a CPU one: every device distorts alike.
    """
    person, example = (Draw(len(x), generator, x.device, number) for number in (of, None))
    if config.rotation:
        x = _rotate(x, config.ring, person.either(config.rotation))
    if config.turn:
        triples = torch.unflatten(x, 2, (-1, AXES))
        x = (triples @ _turns(config.turn, person)[:, None]).flatten(2)
    x = x * person.either(config.gain).exp() + person.either(config.level)
    if config.channels:
        ring = config.ring or x.shape[2]
        x = x + config.channels * person.normal(1, ring).repeat(1, 1, x.shape[2] // ring)
    if config.speed or config.shift:
        x = _retime(x, 1 + example.either(config.speed), example.either(config.shift))
    if config.noise:
        x = x + config.noise * torch.randn(x.shape, generator=generator).to(x.device)
    return x


def _rotate(x: Tensor, ring: int, places: Tensor) -> Tensor:
    """Each ring of channels read `places` [B, 1, 1] further round."""
    rings = torch.unflatten(x, 2, (-1, ring))
    places = places[..., None]
    whole = places.floor()
    at = torch.arange(ring, device=x.device) + whole.long()  # [B, 1, 1, ring]
    here, after = (rings.gather(3, (index % ring).expand_as(rings)) for index in (at, at + 1))
    between = places - whole
    return (here + (after - here) * between).flatten(2)


def _turns(most: float, person: Draw) -> Tensor:
    """Rotations [B, 3, 3] about random axes, by Rodrigues' formula."""
    axis = F.normalize(person.normal(1, AXES)[:, 0], dim=1)
    angle = person.either(math.radians(most))
    x, y, z = axis.unbind(dim=1)
    zero = torch.zeros_like(x)
    rows = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1)
    cross = torch.unflatten(rows, 1, (AXES, AXES))
    eye = torch.eye(AXES, device=axis.device)
    return eye + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


def _retime(x: Tensor, speed: Tensor, shift: Tensor) -> Tensor:
    """x read at other times, between neighbouring readings."""
    length, channels = x.shape[1:]
    middle = (length - 1) / 2
    time = torch.arange(length, device=x.device) - middle
    at = (time * speed[:, 0] + middle + shift[:, 0]).clamp(0, length - 1)
    before = at.floor().clamp(max=max(length - 2, 0)).long()
    share = (at - before)[..., None]
    rows = before[..., None].expand(-1, -1, channels)
    after = (rows + 1).clamp(max=length - 1)
    return x.gather(1, rows) * (1 - share) + x.gather(1, after) * share
