"""Checks of embeddings: constant ones are refused, those of a doubtful scale are reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from .backbone import backbone_file, embed
from .backbones import known
from .channels import Channels
from .config import DataConfig
from .errors import DataError
from .labelled import LabelledSet

ALIKE = 0.95  # a mean cosine between class means above this separates nothing
MOSTLY_ZERO = 0.95
CONSTANT = 1e-6  # of the largest value
# On 20 classes of Caltech-101 with MobileNetV1 0.25 and EfficientNet-Lite0, 1 − cosine under the
# right scale was 1.7 to 3.4 times that under 0..255 or −128..127, and 1.0 to 1.1 times under 0..1.
CLEARLY = 1.5
CLASSES, EXAMPLES = 16, 6  # on which other scales are tried
SCALES = {
    "backbone_scale = 1.0, backbone_offset = 0.0": (1.0, 0.0, None),
    "backbone_scale = 0.00392156862745098, backbone_offset = 0.0": (1 / 255, 0.0, None),
    "backbone_scale = 0.00784313725490196, backbone_offset = -1.0": (1 / 127.5, -1.0, None),
    "backbone_mean = [0.485, 0.456, 0.406], backbone_std = [0.229, 0.224, 0.225]": (
        1 / 255,
        0.0,
        Channels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's, as torchvision's
    ),
}


@dataclass(frozen=True)
class Measured:
    """Statistics of a set of embeddings."""

    lowest: float
    highest: float
    spread: float  # standard deviation of a dimension, the mean over all of them
    zeros: float  # share
    cosine: float  # between the means of two classes, the mean over all pairs

    def __str__(self) -> str:
        """As a sentence's end."""
        return (
            f"from {self.lowest:.3g} to {self.highest:.3g}, deviation {self.spread:.2g},"
            f" {100 * self.zeros:.0f} % zeros,"
            f" mean cosine between class means {self.cosine:.3f}"
        )


def measure(data: LabelledSet) -> Measured:
    """The statistics of embeddings [M, D] of two classes or more."""
    x = data.x.flatten(1).double().cpu()
    parts = torch.split(x, data.counts.tolist())
    means = torch.stack([part.mean(dim=0) for part in parts])
    unit = means / means.norm(dim=1, keepdim=True).clamp_min(1e-30)
    pairs = len(unit) * (len(unit) - 1)
    cosine = (unit.sum(dim=0).square().sum() - unit.square().sum()) / max(pairs, 1)
    return Measured(
        float(x.min()),
        float(x.max()),
        float(x.std(dim=0, correction=0).mean()),
        float((x == 0).double().mean()),
        float(cosine),
    )


def refuse_constant(data: LabelledSet, config: DataConfig) -> None:
    """Refuse embeddings [M, D] that are the same for every example of several classes."""
    x = data.x.flatten(1)
    largest = float(x.abs().max())
    if len(data.classes) > 1 and float((x.amax(0) - x.amin(0)).max()) <= CONSTANT * largest:
        raise DataError(
            f"backbone {config.backbone} gives the same embedding for all {len(x)} pictures",
            hint=f"it reads {reads(config)}: data.backbone_scale and data.backbone_offset, or"
            " data.backbone_mean and data.backbone_std, must be those it was trained with",
        )


def reads(config: DataConfig) -> str:
    """The range of values that the settings make of pixels."""
    channels = Channels.of(config)
    if channels is None:
        scaled = config.preprocessing
        low, high = scaled.offset, 255 * scaled.scale + scaled.offset
    else:
        scale, offset = (t.flatten() for t in channels.factors(None))
        low, high = float(offset.min()), float((scale + offset).max())
    return f"values from {min(low, high):.4g} to {max(low, high):.4g}"


def doubts(data: LabelledSet, pictures: LabelledSet, config: DataConfig) -> Iterator[str]:
    """Sentences about embeddings that look as if the backbone read pictures in a wrong scale.

    `pictures` are the examples that `data` are the embeddings of, prepared for the backbone.
    """
    measured = measure(data)
    if measured.cosine > ALIKE or measured.zeros > MOSTLY_ZERO:
        yield (
            f"the embeddings of all classes are nearly the same ({measured}); the backbone reads"
            f" {reads(config)}: is that what it was trained with?"
        )
    better = None if known(config.backbone) else _better_scale(pictures, config)
    if better is not None:
        yield (
            f"the backbone reads {reads(config)}, and separates the classes worse than with"
            f" {better}: are data.backbone_scale and data.backbone_offset those of its training?"
        )


def _better_scale(pictures: LabelledSet, config: DataConfig) -> str | None:
    """The usual scale under which a few classes lie clearly further apart, if there is one."""
    sample = _few(pictures)
    path = backbone_file(config)
    x = _embedded(sample, path, Channels.of(config))
    distance = 1 - measure(sample.with_features(x)).cosine
    distances: dict[str, float] = {}
    for name, (scale, offset, channels) in SCALES.items():
        if channels is not None and sample.input.colour != "rgb":
            continue
        scaled = replace(sample, input=replace(sample.input, scale=scale, offset=offset))
        x = _embedded(scaled, path, channels)
        if bool(torch.isfinite(x).all()):
            distances[name] = 1 - measure(sample.with_features(x)).cosine
    best = max(distances, key=lambda name: distances[name])
    enough = max(CLEARLY * max(distance, 1e-9), 1 - ALIKE)
    return best if distances[best] > enough else None


def _embedded(pictures: LabelledSet, backbone: Path, channels: Channels | None) -> Tensor:
    return torch.from_numpy(embed(backbone, pictures, channels))


def _few(pictures: LabelledSet) -> LabelledSet:
    """Some examples of some classes, evenly from all of them."""
    every = max(1, len(pictures.classes) // CLASSES)
    sample = pictures.take(range(0, len(pictures.classes), every)[:CLASSES])
    parts = [part[:EXAMPLES] for part in torch.split(sample.x, sample.counts.tolist())]
    return replace(sample, x=torch.cat(parts), counts=sample.counts.clamp_max(EXAMPLES))
