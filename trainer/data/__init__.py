"""Data sources: each gives a labelled set for a part of its classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from handful.trainer.data.sources.download import Progress, silent
from handful.trainer.listing import SOURCES
from handful.trainer.settings.errors import DataError

from .config import DataConfig
from .labelled import LabelledSet
from .record import RecordedPart
from .splits import Part

if TYPE_CHECKING:
    from .backbone import BackboneInput

__all__ = [
    "SOURCES",
    "DataConfig",
    "DataError",
    "LabelledSet",
    "Part",
    "Progress",
    "embed",
    "folder_kind",
    "load_data",
    "load_pictures",
]


def load_data(
    config: DataConfig,
    part: Part,
    *,
    progress: Progress = silent,
    recorded: RecordedPart | None = None,
    skip_bad: bool = False,
) -> LabelledSet:
    """The classes of one part; embeddings where the config names a backbone, energies of sounds.

    `progress` is told of a download: the bytes so far, and how many the file has. `recorded` are
    the classes that a run was made with: these are read instead of the split's, and refused where
    they are not the same any more. `skip_bad` leaves out files that cannot be read.
    """
    pictures = load_pictures(config, part, progress=progress, recorded=recorded, skip_bad=skip_bad)
    return embed(pictures, config)


def embed(pictures: LabelledSet, config: DataConfig) -> LabelledSet:
    """The backbone's embeddings of pictures, the energies of sounds; or the set as it is."""
    if config.rate is not None:
        from handful.trainer.data.sources.sounds import energies

        return energies(pictures, config)
    if not config.backbone:
        return pictures
    from .backbone import embed_pictures, refuse_constant

    data = embed_pictures(pictures, config)
    refuse_constant(data, config)
    return data


def load_pictures(
    config: DataConfig,
    part: Part,
    *,
    progress: Progress = silent,
    recorded: RecordedPart | None = None,
    skip_bad: bool = False,
    wanted: BackboneInput | None = None,
) -> LabelledSet:
    """The examples as a device meets them: pictures where there is a backbone, in its layout.

    `wanted` is what the backbone reads, where that is known without its file.
    """
    if not config.backbone:
        return _load(config, part, progress, recorded, skip_bad)
    from .backbone import input_of, prepare_pictures

    wanted = wanted or input_of(config)
    if config.source not in SOURCES and Path(config.source).is_dir():
        # files are read at the size that the backbone wants, once
        config = replace(config, image_size=wanted.size, colour=wanted.colour)
    pictures = _load(config, part, progress, recorded, skip_bad)
    return prepare_pictures(pictures, config, wanted)


def _load(
    config: DataConfig,
    part: Part,
    progress: Progress,
    recorded: RecordedPart | None,
    skip_bad: bool,
) -> LabelledSet:
    """The source's examples, those that were recorded where there is a record."""
    data = _read(config, part, progress, recorded, skip_bad)
    if config.source not in SOURCES:
        data = data.group(config.group_separator)
    for name in data.facts:
        try:
            name.encode()
        except UnicodeEncodeError as cause:
            raise DataError(
                f"the name of class {name!a} is not text", hint="name it in UTF-8"
            ) from cause
    if recorded is not None:
        recorded.compare(data.facts)
    if config.symmetries > 1 and part == "meta_train":
        from .labelled import with_symmetries

        data = with_symmetries(data, config.symmetries)
    return data


def _read(
    config: DataConfig,
    part: Part,
    progress: Progress,
    recorded: RecordedPart | None,
    skip_bad: bool,
) -> LabelledSet:
    """The source's own function; Pillow is imported by those that need it."""
    path = Path(config.source)
    if config.source == "omniglot":
        from handful.trainer.data.sources.omniglot import load_omniglot

        return load_omniglot(config, part, progress=progress, recorded=recorded)
    if config.source == "glyphs":
        from handful.trainer.data.sources.glyphs import load_glyphs

        return load_glyphs(config, part, recorded=recorded)
    if config.source == "bands":
        from handful.trainer.data.sources.bands import load_bands

        return load_bands(config, part, recorded=recorded)
    if path.is_dir():
        load = _loader(folder_kind(config))
        return load(config, part, recorded=recorded, skip_bad=skip_bad)
    if path.suffix == ".npz":
        from handful.trainer.data.sources.arrays import load_arrays

        return load_arrays(config, part, recorded=recorded)
    raise DataError(
        f"no data source {config.source}",
        hint=f"there are: {', '.join(SOURCES)}; no folder of that name exists",
    )


def folder_kind(config: DataConfig) -> str:
    """The kind of input that a folder's files are, as the runtime's table names it."""
    if config.rate is not None:
        return "audio"
    from handful.trainer.data.sources.recordings import holds_readings

    readings = config.window is not None or holds_readings(config)
    return "array" if readings else "image"


def _loader(kind: str) -> Callable[..., LabelledSet]:
    if kind == "audio":
        from handful.trainer.data.sources.sounds import load_sounds

        return load_sounds
    if kind == "array":
        from handful.trainer.data.sources.recordings import load_recordings

        return load_recordings
    from handful.trainer.data.sources.pictures import load_folder

    return load_folder
