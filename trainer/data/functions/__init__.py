"""Families of functions to learn from a few readings, each drawn anew for every task."""

from __future__ import annotations

from handful.trainer.episodes import EpisodeSource
from handful.trainer.import_path import import_class, is_import_path

from .sensor import Sensor
from .sinusoid import Sinusoid

FUNCTIONS: dict[str, type[EpisodeSource]] = {"sinusoid": Sinusoid, "sensor": Sensor}


def is_functions(source: str) -> bool:
    """Whether `data.source` names a family of functions: one of ours, or module:Class."""
    return source in FUNCTIONS or is_import_path(source)


def load_functions(source: str) -> EpisodeSource:
    """The family; one of the user's own is built without arguments."""
    if source in FUNCTIONS:
        return FUNCTIONS[source]()
    kind = import_class(source, EpisodeSource, what="episode source", where="data.source")  # type: ignore[type-abstract]
    return kind()
