"""Data sources: each gives a labelled set for a part of its classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .config import DataConfig
from .errors import DataError
from .labelled import LabelledSet
from .splits import Part

__all__ = ["SOURCES", "DataConfig", "DataError", "LabelledSet", "Part", "load_data", "load_pictures"]

SOURCES = {
    "omniglot": "1623 handwritten characters of 50 alphabets, 20 drawers each; downloaded when absent",
    "glyphs": "invented characters, drawn by a program; needs no files",
    "FOLDER": "images, one sub-folder a class",
    "FILE.npz": "arrays or embeddings with labels",
}

Loader = Callable[[DataConfig, Part], LabelledSet]


def load_data(config: DataConfig, part: Part) -> LabelledSet:
    """The classes of one part; embeddings where the config names a backbone."""
    pictures = load_pictures(config, part)
    if not config.backbone:
        return pictures
    from .backbone import embed_pictures

    return embed_pictures(pictures, config)


def load_pictures(config: DataConfig, part: Part) -> LabelledSet:
    """The examples as a device meets them: pictures where there is a backbone."""
    if config.backbone:
        from .backbone import backbone_input
        from .folder import load_folder

        _, size, _ = backbone_input(config.backbone)
        return load_folder(config.at_size(size), part)
    return _loader(config.source)(config, part)


def _loader(source: str) -> Loader:
    """The function of a source; Pillow and onnxruntime are imported by those that need them."""
    path = Path(source)
    if source == "omniglot":
        from .omniglot import load_omniglot as load
    elif source == "glyphs":
        from .glyphs import load_glyphs as load
    elif path.is_dir():
        from .folder import load_folder as load
    elif path.suffix == ".npz":
        from .arrays import load_arrays as load
    else:
        raise DataError(
            f"no data source {source}",
            hint=f"there are: {', '.join(SOURCES)}; no folder of that name exists",
        )
    return load
