"""The JSON schema of manifest.json, generated from the dataclasses.

`python -m handful.runtime.package.schema > exported/manifest.schema.json` brings the committed
copy up to date.
"""

import json
import sys
import types
from dataclasses import is_dataclass
from typing import Any, Literal, Union, get_args, get_origin

from .manifest import FORMAT, Manifest
from .strict import hints

PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def schema() -> dict[str, Any]:
    """The schema as an object; a reader still has to check what docs/package-format.md adds."""
    found = _object(Manifest)
    found["properties"]["format"] = {"const": FORMAT}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"handful package manifest, format {FORMAT}",
        **found,
    }


def _object(cls: type) -> dict[str, Any]:
    names = hints(cls)
    return {
        "type": "object",
        "description": (cls.__doc__ or "").split("\n")[0],
        "additionalProperties": False,
        "required": list(names),
        "properties": {name: _kind(kind) for name, kind in names.items()},
    }


def _kind(kind: Any) -> dict[str, Any]:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if is_dataclass(kind) and isinstance(kind, type):
        return _object(kind)
    if kind is type(None):
        return {"type": "null"}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_kind(part) for part in parts]}
    if origin is Literal:
        return {"enum": list(parts)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _kind(parts[1])}
    if origin is tuple and parts[-1] is Ellipsis:
        return {"type": "array", "items": _kind(parts[0])}
    if origin is tuple:
        items = [_kind(part) for part in parts]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    return {"type": PLAIN[kind]}


def text() -> str:
    """The committed file's content."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
