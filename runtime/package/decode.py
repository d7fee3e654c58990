"""manifest.json: its bytes to a checked manifest, and back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handful.runtime.errors import ManifestError

from .files import read_regular
from .manifest import FILE, FORMAT, Manifest
from .rules import check
from .strict import HINT, plain, read

MAX_BYTES = 2**20
READABLE = (1, FORMAT)
UNBOUNDED = {"min": 1, "max": None}


def parse(found: object) -> Manifest:
    """A manifest decoded from JSON, every field checked."""
    if isinstance(found, Mapping) and "format" in found:
        number = found["format"]
        if type(number) is not int or number not in READABLE:
            raise ManifestError(
                f"manifest has format {json.dumps(number)[:40]}, this runtime reads"
                f" {' and '.join(map(str, READABLE))}",
                hint=HINT,
            )
        if number == 1:
            found = as_format_2(found)
    manifest = read(Manifest, found, "")
    check(manifest)
    return manifest


def as_format_2(found: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest of format 1 with what format 2 added: no limit in all, nothing compared."""
    new = dict(found)
    if isinstance(limits := found.get("limits"), Mapping):
        new["limits"] = _grown(limits, "limits", "support", UNBOUNDED)
    if isinstance(evaluation := found.get("evaluation"), list):
        new["evaluation"] = [
            _grown(entry, f"evaluation[{i}]", "compared", [])
            if isinstance(entry, Mapping)
            else entry
            for i, entry in enumerate(evaluation)
        ]
    return new


def _grown(found: Mapping[str, Any], place: str, name: str, value: object) -> dict[str, Any]:
    if name in found:
        raise ManifestError(f"unknown field in manifest: `{place}.{name}`", hint=HINT)
    return {**found, name: value}


def decode(data: bytes) -> Manifest:
    """The manifest in `data`, the bytes of a manifest.json."""
    try:
        found = json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{FILE} is not JSON: {error}", hint=HINT) from error
    return parse(found)


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of the package in the folder `path`, or in the file `path` itself."""
    return decode(read_bytes(Path(path)))


def read_bytes(path: Path) -> bytes:
    """The bytes of a package's manifest.json, read with care."""
    file = path / FILE if path.is_dir() else path
    if not file.is_file() and not file.is_symlink():
        raise ManifestError(
            f"no {FILE} in {path}" if path.is_dir() else f"no package at {path}",
            hint="an exported package is a folder made by `handful export`",
        )
    return read_regular(file, limit=MAX_BYTES, error=ManifestError)


def to_json(manifest: Manifest) -> str:
    """The text of manifest.json."""
    check(manifest)
    return json.dumps(plain(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ManifestError(f"field given twice in manifest: `{twice}`", hint=HINT)
    return found


def _no_constant(name: str) -> float:
    raise ManifestError(f"{name} in manifest, wanted a finite number", hint=HINT)
