"""Downloads with a checked hash; a file is there whole, or not at all."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from handful.runtime.files import write_atomic

from .errors import DataError

CHUNK = 2**16
MAX_BYTES = 2**28  # no archive of ours is near 256 MiB
TIMEOUT_S = 30


@dataclass(frozen=True)
class Archive:
    """A file and the md5 its publisher's users know it by."""

    name: str
    md5: str


def fetch(
    base: str,
    archive: Archive,
    folder: Path,
    *,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Path:
    """Download base + name into the folder, unless it is there; `progress` gets bytes, total."""
    target = folder / archive.name
    if target.is_file():
        return target
    url = base + archive.name
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            data = bytearray()
            while part := response.read(CHUNK):
                data += part
                if len(data) > MAX_BYTES:
                    raise DataError(f"{url} is larger than {MAX_BYTES} bytes")
                progress(len(data), total)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise DataError(
            f"cannot download {url}: {error}",
            hint=f"download it elsewhere and put it into {folder}",
        ) from error
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != archive.md5:
        raise DataError(
            f"{url} has md5 {found}, wanted {archive.md5}",
            hint="the download is broken, or the file was changed: try again later",
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(target, bytes(data))
    return target
