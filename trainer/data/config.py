"""Which data a run reads, and how."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """A source, its split by class, and how its examples are prepared."""

    source: str = "omniglot"  # omniglot, glyphs, a folder of images, or an .npz file
    path: Path | None = None  # where omniglot's files are; None: the usual places, or a download
    split: str = "vinyals"  # omniglot: vinyals or lake; others: random, or a JSON file of classes
    rotations: bool = True  # omniglot and glyphs: quarter turns are classes of their own
    image_size: int = 28  # pixels a side
    colour: Literal["grey", "rgb"] = "grey"  # of a folder's images
    array: str = "x"  # npz: the name of the examples
    labels: str = "y"  # npz: the name of their labels
    seed: int = 0  # of a random split
    backbone: Path | None = None  # a frozen ONNX graph, picture → embedding
    backbone_scale: float = 1 / 127.5  # what the backbone reads is pixel · scale + offset
    backbone_offset: float = -1.0

    def at_size(self, size: int) -> DataConfig:
        """The same source as colour pictures of another size."""
        return replace(self, image_size=size, colour="rgb")
