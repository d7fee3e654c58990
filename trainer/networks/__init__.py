"""Networks as values: each is a frozen dataclass with init(generator) → params and a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from handful.trainer.operations.convolution import Form
from handful.trainer.operations.normalise import GROUPS, Normalisation, Params, Statistics
from handful.trainer.settings.errors import ConfigError, SettingError
from handful.trainer.settings.read import check_numbers

from .conv4 import BLOCKS, Conv4
from .mlp import MLP
from .resnet import Residual, ResNet12
from .series import CHANNELS, Conv1d, Trace
from .wrapped import SHIFTS, Count, Standardise, Standardised, Views

__all__ = [
    "MLP",
    "Conv1d",
    "Conv4",
    "Network",
    "NetworkConfig",
    "ResNet12",
    "Residual",
    "Trace",
    "build_network",
]

MOST_WIDTHS = 8  # of a residual network: its sides are halved for each
LEAST = 16  # samples of a series that is halved four times
MOST_PIXELS = 256  # of a side that a trace is drawn into
TIMES = ("", "once", "twice", "three times", "four times", "five times", "six times", "seven times")


class Network(Protocol):
    """x [B, ...] → features [B, D] and the statistics of x; `statistics` replace x's own."""

    @property
    def features(self) -> int:
        """D, the length of the features."""
        ...

    def init(self, generator: torch.Generator) -> Params:
        """Fresh parameters."""
        ...

    def __call__(
        self, params: Params, x: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Features and statistics."""
        ...


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Which network, and what of it is open to choice."""

    kind: Literal["conv4", "conv1d", "trace", "resnet12", "residual", "mlp"] = "conv4"
    # of all blocks, conv4 and trace: or of each; resnet12: of the first; residual: of the stem and
    # of each block
    filters: int | tuple[int, ...] = 64
    halving: Literal["max", "stride"] = "max"  # conv4
    halvings: int = BLOCKS  # conv4: so many of its blocks halve, the first ones
    readout: Literal["flatten", "mean"] = "flatten"  # conv4, conv1d, residual
    pixels: int = 24  # trace: a side of the picture that a trace is drawn into
    hidden: tuple[int, ...] = (256, 128, 64, 64)  # mlp: Finn 2017's Omniglot network
    normalisation: Normalisation = "running"
    standardise: Standardise = "no"  # each channel of x: by the data, or each example by itself
    views: Count = 1  # of each picture, moved by a pixel: with running averages only

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(
            self,
            least={"halvings": 0, "pixels": 2**BLOCKS},
            below={"halvings": BLOCKS + 1, "pixels": MOST_PIXELS + 1},
        )
        name, sizes = ("hidden", self.hidden) if self.kind == "mlp" else ("filters", self.widths)
        four = self.kind in ("conv4", "trace")
        wanted = (1, BLOCKS) if four else (1,)
        if self.kind == "residual":
            if not 2 <= len(sizes) <= MOST_WIDTHS:
                raise SettingError(
                    name, f"is {list(sizes)}, wanted a list of 2 to {MOST_WIDTHS}, the stem's first"
                )
        elif self.kind != "mlp" and len(sizes) not in wanted:
            raise SettingError(
                name,
                f"is {list(sizes)}, wanted one number"
                + (f", or one for each of the {BLOCKS} blocks" if four else ""),
            )
        pictures = self.kind in ("conv4", "resnet12", "residual")
        if self.views > 1 and not (pictures and self.normalisation == "running"):
            raise SettingError(
                "views",
                f"is {self.views}, wanted 1 with kind {self.kind}"
                f" and normalisation {self.normalisation}",
                hint='more views need a network of images with normalisation = "running"',
            )
        if self.standardise != "no" and self.kind == "trace":
            raise SettingError(
                "standardise",
                f'is "{self.standardise}", wanted "no" with kind trace',
                hint="a trace is centred and scaled where it is drawn",
            )
        rounded = self.kind == "resnet12"  # to multiples of 8
        if self.normalisation == "group" and not rounded and any(size % GROUPS for size in sizes):
            raise SettingError(
                name,
                f"is {', '.join(map(str, sizes))}, wanted multiples of {GROUPS}"
                ' with normalisation = "group"',
            )

    @property
    def levels_free(self) -> bool:
        """Whether it brings each example into one range itself, whatever the example's own is."""
        return self.kind == "trace" or self.standardise == "example"

    @property
    def widths(self) -> tuple[int, ...]:
        """The filters, of all blocks or of each."""
        return self.filters if isinstance(self.filters, tuple) else (self.filters,)


def build_network(config: NetworkConfig, shape: tuple[int, ...], form: Form) -> Network:
    """The network for `shape`: (H, W, C) for images, (T, C) for series, anything for an mlp."""
    network = _several_views(config, shape, form)
    if config.standardise == "no":
        return network
    if config.standardise == "example" and len(shape) < 2:
        raise ConfigError(
            'learner.network.standardise is "example", but the examples have the shape'
            f" {list(shape)}: one value of each channel",
            hint='set learner.network.standardise = "data"',
        )
    return Standardised(network, config.standardise, shape[-1])


def _several_views(config: NetworkConfig, shape: tuple[int, ...], form: Form) -> Network:
    network = _one_view(config, shape, form)
    if config.views == 1:
        return network
    if form != "convolution":
        raise ConfigError(
            f"learner.network.views is {config.views}, but this network adapts to each task",
            hint="set learner.network.views = 1; only a network that is frozen has more views",
        )
    return Views(network, SHIFTS[config.views])


def _one_view(config: NetworkConfig, shape: tuple[int, ...], form: Form) -> Network:
    if config.kind == "mlp":
        return MLP(shape=shape, hidden=config.hidden, normalisation=config.normalisation)
    if config.kind == "conv1d":
        return _conv1d(config, shape)
    if config.kind == "trace":
        return _trace(config, shape, form)
    if len(shape) != 3:
        raise ConfigError(
            f'learner.network.kind is "{config.kind}", which reads images [H, W, C],'
            f" the examples have the shape {list(shape)}",
            hint='set learner.network.kind = "mlp" for vectors',
        )
    height, width, channels = shape
    pooled = config.kind != "conv4" or config.halving == "max"
    halvings = {"conv4": config.halvings, "residual": len(config.widths) - 1}.get(
        config.kind, BLOCKS
    )
    if pooled and min(height, width) < 2**halvings:
        raise ConfigError(
            f'learner.network.kind is "{config.kind}", which halves images {TIMES[halvings]},'
            f" the examples have {height} × {width} pixels",
            hint=f"set data.image_size to {2**halvings} or more",
        )
    if config.kind == "resnet12":
        return ResNet12(
            shape=(height, width, channels),
            filters=config.widths[0],
            normalisation=config.normalisation,
            form=form,
        )
    if config.kind == "residual":
        return Residual(
            shape=(height, width, channels),
            filters=config.widths,
            readout=config.readout,
            normalisation=config.normalisation,
            form=form,
        )
    return Conv4(
        shape=(height, width, channels),
        filters=config.widths,
        halving=config.halving,
        halvings=config.halvings,
        readout=config.readout,
        normalisation=config.normalisation,
        form=form,
    )


def _conv1d(config: NetworkConfig, shape: tuple[int, ...]) -> Conv1d:
    shape = shape[:2] if shape[2:] == (1,) else shape  # energies [F, bands, 1] are a series
    if len(shape) != 2 or shape[0] < LEAST:
        raise ConfigError(
            'learner.network.kind is "conv1d", which reads series [T, C] and halves T four times,'
            f" the examples have the shape {list(shape)}",
            hint=f"T has to be {LEAST} or more; images have conv4, vectors mlp",
        )
    return Conv1d(
        shape=(shape[0], shape[1]),
        filters=config.widths[0],
        readout=config.readout,
        normalisation=config.normalisation,
    )


def _trace(config: NetworkConfig, shape: tuple[int, ...], form: Form) -> Trace:
    if len(shape) != 2 or shape[0] < 2 or shape[1] not in (2, 3):
        raise ConfigError(
            'learner.network.kind is "trace", which draws series [T, 2] or [T, 3] of x, y and pen,'
            f" the examples have the shape {list(shape)}",
            hint="other series have conv1d, images conv4, vectors mlp",
        )
    picture = Conv4(
        shape=(config.pixels, config.pixels, CHANNELS),
        filters=config.widths,
        normalisation=config.normalisation,
        form=form,
    )
    return Trace(picture)
