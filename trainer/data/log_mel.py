"""Sound to log-mel energies: the definition once, in torch, trained on and traced into `embed`.

    frames    x_j = x[H j + n], n = 0 … W − 1, of W samples, H apart: F = 1 + ⌊(L − W) / H⌋
    power     P_j[k] = |Σ_n w[n] x_j[n] e^(−2πikn / M)|²,   w[n] = ½ − ½ cos(2πn / W)
    bands     E_j[b] = Σ_k m_b[k] P_j[k]
    energies  (ln(E_j[b] + floor) − mean) / deviation                          [F, bands, 1]

m_b are triangles of height 1 whose corners are evenly spaced on HTK's mel scale,
2595 log₁₀(1 + f/700), from `low` to `high`, with slopes linear in mel.

The transform is a product of matrices, of the places k that a triangle reads. |…|² does not depend
on where n is counted from; counted from W/2, about which w is even, the cosines are those of the
even part of a frame and the sines those of its odd part. Each has half the samples, so that the
matrices take half the memory and half the time: x[W/2 + n] ± x[W/2 − n], n = 0 … W/2 − 1, and w[0]
is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from handful.trainer.settings.errors import DataError, SettingError
from handful.trainer.settings.read import check_numbers

MOST = 2**16  # samples, places, bands
ENERGIES = "log_mel"  # the tensor inside an exported `embed` that its learner was trained on


@dataclass(frozen=True, kw_only=True)
class LogMelConfig:
    """The choices in the definition; the defaults are of speech at 16 kHz."""

    frame: int = 400  # W, samples: 25 ms
    hop: int = 320  # H, samples: 20 ms
    transform: int = 512  # M
    bands: int = 40
    low: float = 20.0  # hertz
    high: float = 7600.0
    floor: float = 1e-6  # added to energies, of samples from −1 to 1
    mean: float = -5.0  # of the logarithms, about, and
    deviation: float = 4.0  # their standard deviation: learners read numbers of order 1

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        least = {"low": 0, "mean": -MOST}
        below = dict.fromkeys(("frame", "hop", "transform", "bands", "mean"), MOST)
        check_numbers(self, least=least, below=below)
        if self.frame % 2 or not self.frame <= self.transform:
            wanted = f"wanted an even number up to transform, {self.transform}"
            raise SettingError("frame", f"is {self.frame}, {wanted}")
        if not self.low < self.high:
            raise SettingError("low", f"is {self.low:g}, wanted less than high, {self.high:g}")


@dataclass(frozen=True)
class LogMel:
    """The front end for sounds of one rate and length: x [B, L] → [B, F, bands, 1]."""

    config: LogMelConfig
    rate: int
    samples: int

    def __post_init__(self) -> None:
        """Refuse sounds shorter than a frame, and bands that no place of the transform is in."""
        config = self.config
        if self.samples < config.frame:
            raise DataError(
                f"sounds of {self.samples} samples are shorter than a frame of {config.frame}",
                hint="raise data.seconds, or lower data.log_mel.frame",
            )
        if config.high > self.rate / 2:
            raise DataError(
                f"data.log_mel.high is {config.high:g} hertz, at {self.rate} samples a second there"
                f" is nothing above {self.rate / 2:g}"
            )
        # now: the tensors of a trace are no numbers, and would be kept
        _ = self.matrices
        if empty := int((self.triangles.sum(dim=0) == 0).sum()):
            raise DataError(
                f"{empty} of {config.bands} mel bands are narrower than a step of the transform",
                hint="raise data.log_mel.transform, or lower data.log_mel.bands",
            )

    @property
    def frames(self) -> int:
        """F, the frames of a sound."""
        return 1 + (self.samples - self.config.frame) // self.config.hop

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what a sound becomes."""
        return self.frames, self.config.bands, 1

    @cached_property
    def triangles(self) -> Tensor:
        """m [K, bands] in float64, all K = M / 2 + 1 places of the transform."""
        config = self.config
        hertz = torch.arange(config.transform // 2 + 1, dtype=torch.float64)
        place = mel(hertz * self.rate / config.transform)[:, None]
        ends = mel(torch.tensor([config.low, config.high], dtype=torch.float64))
        corners = torch.linspace(0, 1, config.bands + 2, dtype=torch.float64)
        corners = ends[0] + corners * (ends[1] - ends[0])
        left, top, right = corners[:-2], corners[1:-1], corners[2:]
        rising, falling = (place - left) / (top - left), (right - place) / (right - top)
        return torch.minimum(rising, falling).clamp(min=0)

    @cached_property
    def matrices(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines and sines [W / 2, K′] under the window, and m [K′, bands], of the places read."""
        config = self.config
        read = torch.nonzero(self.triangles.sum(dim=1)).flatten()
        n = torch.arange(config.frame // 2, dtype=torch.float64)[:, None]
        window = 0.5 + 0.5 * torch.cos(2 * math.pi * n / config.frame)  # w[W/2 ± n]
        angle = 2 * math.pi * n * read / config.transform
        cosines, sines = window * angle.cos(), window * angle.sin()
        cosines[0] /= 2  # x[W/2] is its own partner, and is added to itself
        return cosines.float(), sines.float(), self.triangles[read].float()

    def __call__(self, x: Tensor) -> Tensor:
        """x [B, L], from −1 to 1."""
        config = self.config
        cosines, sines, triangles = self.matrices
        frames = self._frame(x)
        half = config.frame // 2
        after, before = frames[..., half:], frames[..., 1 : half + 1].flip(-1)
        even, odd = (after + before) @ cosines, (after - before) @ sines
        energy = (even * even + odd * odd) @ triangles
        logarithm = torch.log(energy + config.floor)
        return ((logarithm - config.mean) / config.deviation)[..., None]

    def _frame(self, x: Tensor) -> Tensor:
        """The frames [B, F, W] of x, put together from pieces of H samples."""
        config, frames = self.config, self.frames
        pieces = -(-config.frame // config.hop)  # a frame begins in one and ends in the last
        whole = (frames + pieces - 1) * config.hop
        if whole > self.samples:
            x = torch.nn.functional.pad(x, (0, whole - self.samples))
        shifted = [
            x[:, i * config.hop : (i + frames) * config.hop].reshape(-1, frames, config.hop)
            for i in range(pieces)
        ]
        return torch.cat(shifted, dim=2)[..., : config.frame]


def mel(hertz: Tensor) -> Tensor:
    """HTK's scale."""
    return 2595 * torch.log10(1 + hertz / 700)
