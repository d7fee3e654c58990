"""onnxruntime for browsers: two files, out of a folder or downloaded once, by their hashes."""

from __future__ import annotations

import http.client
import io
import os
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from handful.runtime.errors import PackageError
from handful.runtime.package.files import read_regular, sha256, write_atomic

VERSION = "1.30.0"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
FILES = {  # each with its sha256: where they come from does not matter
    "ort.wasm.bundle.min.mjs": ("11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}
MAX_BYTES = 2**25  # of a file
MAX_ARCHIVE = 2**26
TIMEOUT_S = 30
WHAT = f"onnxruntime-web {VERSION}"

Progress = Callable[[int, int | None], None]  # bytes so far, and of the whole archive where known


def cache_folder() -> Path:
    """Where the two files are kept: in XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "handful" / f"onnxruntime-web-{VERSION}"


def read_runtime(
    given: Path | None = None, *, progress: Progress = lambda done, total: None
) -> dict[str, bytes]:
    """The two files by their names: out of `given`, or of the cache, or downloaded into it.

    `given` is a folder that has them, as node_modules/onnxruntime-web/dist, or the archive as npm
    has it. PackageError where they are other files, or cannot be had.
    """
    if given is not None:
        return _read_archive(given) if given.is_file() else _read_folder(given)
    folder = cache_folder()
    if all((folder / name).is_file() for name in FILES):
        return _read_folder(folder)
    found = _download(progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in found.items():
            write_atomic(folder / name, data)
    except OSError as cause:
        raise PackageError(
            f"cannot write the cache {folder}: {cause.strerror}",
            hint="set XDG_CACHE_HOME to a folder that can be written",
        ) from cause
    return found


def _read_folder(folder: Path) -> dict[str, bytes]:
    absent = f"of {WHAT}, which `npm pack onnxruntime-web@{VERSION}` downloads"
    found = {name: read_regular(folder / name, limit=MAX_BYTES, absent=absent) for name in FILES}
    return _check(found, str(folder))


def _read_archive(file: Path) -> dict[str, bytes]:
    with open(file, "rb") as stream:
        return _unpack(stream, str(file))


def _download(progress: Progress) -> dict[str, bytes]:
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT_S) as response:
            length = response.headers.get("Content-Length")
            return _unpack(
                io.BytesIO(_all(response, int(length) if length else None, progress)), URL
            )
    except (OSError, ValueError, http.client.HTTPException) as cause:
        raise PackageError(
            f"cannot download {URL}: {cause}",
            hint=f"download it elsewhere, and give it as --runtime; or put {' and '.join(FILES)}"
            f" into {cache_folder()}",
        ) from cause


def _all(response: IO[bytes], total: int | None, progress: Progress) -> bytes:
    data = bytearray()
    while part := response.read(2**16):
        data += part
        if len(data) > MAX_ARCHIVE:
            raise PackageError(f"{URL} is larger than {MAX_ARCHIVE} bytes")
        progress(len(data), total)
    return bytes(data)


def _unpack(stream: IO[bytes], name: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r:gz") as archive:
            for member in archive:
                own = Path(member.name).name
                if member.isreg() and own in FILES and member.size <= MAX_BYTES:
                    content = archive.extractfile(member)
                    assert content is not None  # of a regular file there is one
                    found[own] = content.read()
    except (tarfile.TarError, EOFError, OSError) as cause:
        raise PackageError(f"{name} is not a whole archive: {cause}") from cause
    return _check(found, name)


def _check(found: dict[str, bytes], name: str) -> dict[str, bytes]:
    for file, wanted in FILES.items():
        if file not in found or (digest := sha256(found[file])) != wanted:
            what = f"has sha256 {digest}" if file in found else "is not there"
            raise PackageError(
                f"{file} in {name} {what}, wanted {wanted}",
                hint=f"it is a file of {WHAT}: `npm pack onnxruntime-web@{VERSION}` downloads it",
            )
    return found
