"""Several processes on one machine: the first shares work out, the others compute."""

from __future__ import annotations

from .host import ALONE, Shape, shape_of
from .pool import Workers, blocks, episode_blocks, workers
from .worker import WorkerError

__all__ = [
    "ALONE",
    "Shape",
    "WorkerError",
    "Workers",
    "blocks",
    "episode_blocks",
    "shape_of",
    "workers",
]
