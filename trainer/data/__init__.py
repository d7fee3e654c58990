"""Data sources: each gives a labelled set for a part of its classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from handful.trainer.listing import SOURCES

from .config import DataConfig
from .download import Progress, silent
from .errors import DataError
from .labelled import LabelledSet
from .splits import Part

__all__ = [
    "SOURCES",
    "DataConfig",
    "DataError",
    "LabelledSet",
    "Part",
    "Progress",
    "load_data",
    "load_pictures",
]


def load_data(config: DataConfig, part: Part, *, progress: Progress = silent) -> LabelledSet:
    """The classes of one part; embeddings where the config names a backbone.

    `progress` is told of a download: the bytes so far, and how many the file has.
    """
    pictures = load_pictures(config, part, progress=progress)
    if not config.backbone:
        return pictures
    from .backbone import embed_pictures

    return embed_pictures(pictures, config)


def load_pictures(config: DataConfig, part: Part, *, progress: Progress = silent) -> LabelledSet:
    """The examples as a device meets them: pictures where there is a backbone, in its layout."""
    if not config.backbone:
        return _load(config, part, progress)
    from .backbone import backbone_input, for_backbone

    if config.source not in SOURCES and Path(config.source).is_dir():
        # files are read at the size that the backbone wants, once
        wanted = backbone_input(config.backbone)
        config = replace(config, image_size=wanted.size, colour=wanted.colour)
    return for_backbone(_load(config, part, progress), config)


def _load(config: DataConfig, part: Part, progress: Progress) -> LabelledSet:
    """The source's own function; Pillow is imported by those that need it."""
    path = Path(config.source)
    if config.source == "omniglot":
        from .omniglot import load_omniglot

        return load_omniglot(config, part, progress=progress)
    if config.source == "glyphs":
        from .glyphs import load_glyphs

        return load_glyphs(config, part)
    if path.is_dir():
        from .folder import load_folder

        return load_folder(config, part)
    if path.suffix == ".npz":
        from .arrays import load_arrays

        return load_arrays(config, part)
    raise DataError(
        f"no data source {config.source}",
        hint=f"there are: {', '.join(SOURCES)}; no folder of that name exists",
    )
