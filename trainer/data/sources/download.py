"""Downloads with a checked hash into the user's cache; a file is there whole, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from handful.runtime.package.files import write_atomic
from handful.trainer.settings.errors import DataError

CHUNK = 2**16
MAX_BYTES = 2**28  # no archive of ours is near 256 MiB
TIMEOUT_S = 30

Progress = Callable[[int, int | None], None]  # bytes so far, and of the whole file where known


@dataclass(frozen=True)
class Archive:
    """A file and the md5 its publisher's users know it by."""

    name: str
    md5: str


def _read(url: str, progress: Progress) -> bytes:
    data = bytearray()
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        while part := response.read(CHUNK):
            data += part
            if len(data) > MAX_BYTES:
                raise DataError(f"{url} is larger than {MAX_BYTES} bytes")
            progress(len(data), total)
    return bytes(data)


def _failed(url: str, folder: Path, cause: Exception) -> DataError:
    return DataError(
        f"cannot download {url}: {cause}",
        hint=f"download it elsewhere and put it into {folder}",
    )


def silent(done: int, total: int | None) -> None:
    """Tell nobody."""


def fetch(base: str, archive: Archive, folder: Path, *, progress: Progress = silent) -> Path:
    """Download base + name into the folder, unless it is there."""
    target = folder / archive.name
    if target.is_file():
        return target
    url = base + archive.name
    try:
        data = _read(url, progress)
    except urllib.error.HTTPError as cause:
        cause.close()  # it holds the connection
        raise _failed(url, folder, cause) from cause
    except (OSError, ValueError, http.client.HTTPException) as cause:
        raise _failed(url, folder, cause) from cause
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if md5 != archive.md5:
        raise DataError(
            f"{url} has md5 {md5}, wanted {archive.md5}",
            hint="the download is broken, or the file was changed: try again later",
        )
    keep(target, data)
    return target


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
