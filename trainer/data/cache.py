"""The user's cache folder: where downloads and embeddings are kept."""

from __future__ import annotations

import os
from pathlib import Path

from handful.runtime.package.files import write_atomic

from .errors import DataError


def cache_folder() -> Path:
    """The folder handful in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "handful"


def keep(file: Path, data: bytes) -> None:
    """Write `data` to the file, whole or not at all; its folder is created."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, data)
    except OSError as cause:
        raise DataError(
            f"cannot write the cache {file}: {cause.strerror}",
            hint="set XDG_CACHE_HOME to a folder that can be written",
        ) from cause
