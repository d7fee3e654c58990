"""Which data a run reads, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from handful.trainer.bounds import LARGEST

from .errors import DataError

MAX_SIDE = 4096  # as the manifest's

Interpolation = Literal["lanczos", "bilinear", "bicubic", "box"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """A source, its split by class, and how its examples are prepared."""

    source: str = "omniglot"  # omniglot, glyphs, a folder of images, or an .npz file
    path: Path | None = None  # where omniglot's files are; None: the usual places, or a download
    split: str = "vinyals"  # omniglot: vinyals or lake; others: random, or a JSON file of classes
    rotations: bool = True  # omniglot and glyphs: quarter turns are classes of their own
    image_size: int = 28  # pixels a side
    resize: int | None = None  # folder: the shorter side before the centre is cut; None: image_size
    interpolation: Interpolation = "lanczos"  # of a folder's images
    colour: Literal["grey", "rgb"] = "grey"  # of a folder's images
    array: str = "x"  # npz: the name of the examples
    labels: str = "y"  # npz: the name of their labels
    seed: int = 0  # of a random split
    backbone: Path | None = None  # a frozen ONNX graph, picture → embedding
    backbone_scale: float = 1 / 127.5  # what the backbone reads is pixel · scale + offset
    backbone_offset: float = -1.0

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        if not self.source:
            raise DataError("data.source is empty", hint="omniglot, glyphs, a folder or a file")
        for name, side in (("image_size", self.image_size), ("resize", self.resize)):
            if side is not None and not 1 <= side <= MAX_SIDE:
                raise DataError(f"data.{name} is {side}, wanted 1 to {MAX_SIDE} pixels")
        if not abs(self.seed) < LARGEST:
            raise DataError(f"data.seed is {self.seed}, wanted less than {LARGEST}")
