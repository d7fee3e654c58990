"""manifest.json: its bytes to a checked manifest, and back."""

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handful.runtime.errors import ManifestError

from .archive import Files, open_files
from .files import brief_path, mode_of, sha256
from .manifest import FILE, FORMAT, Manifest
from .rules import check
from .strict import HINT, quote, read, shorten, to_plain

MAX_BYTES = 2**20
EXPORTED = "an exported package is a folder made by `handful export`"
MAX_DEPTH = 64  # of objects and lists within each other
MAX_INTEGER = 2**53
SURROGATE = re.compile("[\ud800-\udfff]")


def parse(content: object) -> Manifest:
    """A manifest decoded from JSON, every field checked."""
    if isinstance(content, Mapping) and "format" in content:
        number = content["format"]
        if type(number) is not int or number != FORMAT:
            raise ManifestError(
                f"manifest has format {quote(number)}, this runtime reads {FORMAT}", hint=HINT
            )
    manifest = read(Manifest, content, "")
    check(manifest)
    return manifest


def decode(data: bytes) -> Manifest:
    """The manifest in `data`, the bytes of a manifest.json."""
    try:
        content = json.loads(
            _text(data),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{FILE} is not JSON: {error}", hint=HINT) from error
    _check_content(content)
    return parse(content)


def _text(data: bytes) -> str:
    """JSON is UTF-8 without a byte-order mark, RFC 8259."""
    if data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ManifestError(f"{FILE} begins with a byte-order mark, wanted plain UTF-8", hint=HINT)
    try:
        return data.decode()
    except UnicodeDecodeError as cause:
        raise ManifestError(f"{FILE} is not UTF-8 at byte {cause.start}", hint=HINT) from cause


def _check_content(content: object) -> None:
    """Refuse what is nested too deeply to be walked, and strings that no encoding can write."""
    level: list[object] = [content]
    for _ in range(MAX_DEPTH + 1):  # behind the deepest there may be numbers and strings
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and SURROGATE.search(value):
                raise ManifestError(
                    f"{FILE} has half a character: {quote(value)}, wanted whole ones", hint=HINT
                )
        if not any(isinstance(value, dict | list) for value in level):
            return
        level = inner
    raise ManifestError(f"{FILE} is nested more than {MAX_DEPTH} levels deep", hint=HINT)


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of the package in the folder or file `path`, or in the manifest.json `path`."""
    return decode(read_bytes(Path(path)))


def read_bytes(path: Path) -> bytes:
    """The bytes of a package's manifest.json, read with care."""
    if not mode_of(path):
        raise ManifestError(
            f"no package at {brief_path(path)}",
            hint=EXPORTED,
        )
    return manifest_of(open_files(path))


def manifest_of(files: Files) -> bytes:
    """The bytes of manifest.json among a package's files."""
    return files.read(FILE, limit=MAX_BYTES, error=ManifestError, absent=EXPORTED)


def identify(data: bytes) -> str:
    """The identity of the package whose manifest.json has these bytes; it names every other file.

    The hash of its text with lines that end in LF, as git may check it out with CRLF. In JSON the
    end of a line is white space: within a string it would be escaped.
    """
    return sha256(data.replace(b"\r\n", b"\n"))


def to_json(manifest: Manifest) -> str:
    """The text of manifest.json."""
    check(manifest)
    return json.dumps(to_plain(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise ManifestError(f"field given twice in manifest: `{shorten(twice)}`", hint=HINT)
    return fields


def _no_constant(name: str) -> float:
    raise ManifestError(f"{name} in manifest, wanted a finite number", hint=HINT)


def _integer(digits: str) -> int:
    """An integer that every language reads as the same: a float64 holds it."""
    if len(digits) > 20 or abs(int(digits)) > MAX_INTEGER:
        raise ManifestError(
            f"{shorten(digits)} in manifest, integers are at most {MAX_INTEGER}", hint=HINT
        )
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ManifestError(f"{shorten(digits)} in manifest, wanted a finite number", hint=HINT)
    return value
