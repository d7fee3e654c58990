"""The JSON schema of manifest.json, generated from the dataclasses and the rules' patterns.

`python -m handful.runtime.package.schema > exported/manifest.schema.json` brings the committed
copy up to date.
"""

import json
import sys
import types
from dataclasses import is_dataclass
from typing import Any, Literal, Union, get_args, get_origin

from .flow import MAX_STEPS
from .manifest import CHANNEL, FORMAT, HASH, INNER, NAME, NEXT, OBJECTS, ROLES, Manifest
from .rules import (
    FASTEST,
    MAX_AXES,
    MAX_CLASSES,
    MAX_ERROR,
    MAX_EVALUATIONS,
    MAX_GRAPH_BYTES,
    MAX_GRAPHS,
    MAX_RATE,
    MAX_SAMPLES,
    MAX_TENSORS,
    MAX_TEXT,
    MIN_RATE,
    OFFSET,
    RANGE,
    SCALE,
    SLOWEST,
    SYMBOLS,
)
from .strict import hints

TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
OF_IMAGES = ("layout", "colour", "resize", "interpolation")
OF_SERIES = ("whole", "channels")
HERTZ = {"anyOf": [{"type": "number", "minimum": SLOWEST, "maximum": FASTEST}, {"type": "null"}]}

PLAIN = {"type": "string", "pattern": f"^{NAME.pattern}$"}
INNER_NAME = {"type": "string", "pattern": f"^{INNER.pattern}$", "not": {"enum": list(OBJECTS)}}
OWN_NAME = {
    "type": "string",
    "pattern": f"^(?!.*\\{NEXT}$){INNER.pattern}$",
    "not": {"enum": [*OBJECTS, *ROLES]},
}
WORDS = {"type": "string", "maxLength": MAX_TEXT}
SHARE = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]}
ERROR = {"anyOf": [{"type": "number", "minimum": 0, "maximum": MAX_ERROR}, {"type": "null"}]}
RETURN = {
    "anyOf": [{"type": "number", "minimum": -MAX_ERROR, "maximum": MAX_ERROR}, {"type": "null"}]
}
WIDTH = {"type": "number", "minimum": 0, "maximum": MAX_ERROR}
COUNT = {"type": "integer", "minimum": 1}
NATURAL = {"type": "integer", "minimum": 0}
TENSORS = {"type": "array", "maxItems": MAX_TENSORS}

# What the rules add to a field's type, by the place of the field: `[]` is an entry of a list or of
# an object of names.
RULES: dict[str, dict[str, Any]] = {
    "format": {"const": FORMAT},
    "name": PLAIN,
    "learner": WORDS,
    "licence": WORDS,
    "input.shape": {"minItems": 1, "maxItems": MAX_AXES - 1},
    "input.shape[]": COUNT,
    "input.channels[].name": {"type": "string", "minLength": 1, "maxLength": CHANNEL},
    "input.channels[].text": WORDS,
    "graphs": {"maxProperties": MAX_GRAPHS, "propertyNames": INNER_NAME},
    "graphs[].file": PLAIN,
    "graphs[].sha256": {"type": "string", "pattern": f"^{HASH.pattern}$"},
    "graphs[].bytes": {"type": "integer", "minimum": 1, "maximum": MAX_GRAPH_BYTES},
    "graphs[].inputs": TENSORS,
    "graphs[].outputs": TENSORS,
    "graphs[].inputs[].name": INNER_NAME,
    "graphs[].outputs[].name": INNER_NAME,
    "stages": {"type": "array", "minItems": 1},
    "stages[].name": INNER_NAME,
    "stages[].steps": {"type": "integer", "minimum": 0, "maximum": MAX_STEPS},
    "stages[].state[]": OWN_NAME,
    "stages[].noise[]": OWN_NAME,
    "evaluation": {"type": "array", "maxItems": MAX_EVALUATIONS},
    "evaluation[].data": WORDS,
    "evaluation[].split": WORDS,
    "evaluation[].way": COUNT,
    "evaluation[].shot": NATURAL,
    "evaluation[].given": {"anyOf": [COUNT, {"type": "null"}]},
    "evaluation[].episodes": COUNT,
    "evaluation[].persons": {"anyOf": [COUNT, {"type": "null"}]},
    "evaluation[].accuracy": SHARE,
    "evaluation[].mean_squared_error": ERROR,
    "evaluation[].mean_return": RETURN,
    "evaluation[].interval": WIDTH,
    "evaluation[].compared[].name": WORDS,
    "evaluation[].compared[].accuracy": SHARE,
    "evaluation[].compared[].mean_squared_error": ERROR,
    "evaluation[].compared[].mean_return": RETURN,
    "evaluation[].compared[].difference": {**WIDTH, "minimum": -MAX_ERROR},
    "evaluation[].compared[].interval": WIDTH,
    **{f"graphs[].{side}[].shape": {"maxItems": MAX_AXES} for side in ("inputs", "outputs")},
    **{
        f"graphs[].{side}[].shape[]": {"anyOf": [COUNT, {"enum": list(SYMBOLS)}]}
        for side in ("inputs", "outputs")
    },
    "classes": {
        "anyOf": [
            {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
                "minItems": 2,
                "maxItems": MAX_CLASSES,
                "uniqueItems": True,
            },
            {"type": "null"},
        ]
    },
    "limits.way.min": COUNT,
    "limits.shot.min": NATURAL,
    "limits.support.min": NATURAL,
    "input": {
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": "image"}}},
                "then": {"properties": {name: {"not": {"type": "null"}} for name in OF_IMAGES}},
                "else": {
                    "properties": {
                        **{name: {"type": "null"} for name in OF_IMAGES},
                        "invert": {"const": False},
                    }
                },
            },
            {
                "if": {"properties": {"kind": {"const": "audio"}}},
                "then": {
                    "properties": {
                        "shape": {"maxItems": 1, "items": {"maximum": MAX_SAMPLES}},
                        "rate": {"type": "integer", "minimum": MIN_RATE, "maximum": MAX_RATE},
                        "range": {"const": list(RANGE)},
                        "scale": {"const": SCALE},
                        "offset": {"const": OFFSET},
                    }
                },
            },
            {
                "if": {"properties": {"kind": {"const": "image"}}},
                "then": {"properties": {"rate": {"type": "null"}}},
            },
            {
                "if": {"properties": {"kind": {"const": "array"}}},
                "then": {"properties": {"rate": HERTZ}},
                "else": {"properties": {name: {"type": "null"} for name in OF_SERIES}},
            },
            {
                "if": {"properties": {"whole": {"not": {"type": "null"}}}},
                "then": {
                    "properties": {
                        "shape": {"minItems": 2, "maxItems": 2},
                        "rate": {"type": "null"},
                    }
                },
            },
        ]
    },
}


def schema() -> dict[str, Any]:
    """The schema as an object; a reader still has to check what docs/package-format.md adds."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"handful package manifest, format {FORMAT}",
        **_object(Manifest, ""),
    }


def _object(cls: type, place: str) -> dict[str, Any]:
    names = hints(cls)
    prefix = f"{place}." if place else ""
    return {
        "type": "object",
        "description": (cls.__doc__ or "").split("\n")[0],
        "additionalProperties": False,
        "required": list(names),
        "properties": {name: _add_rules(kind, prefix + name) for name, kind in names.items()},
    }


def _add_rules(kind: Any, place: str) -> dict[str, Any]:
    """The type of a field with what the rules add."""
    described = _kind(kind, place)
    rules = RULES.get(place, {})
    if "anyOf" in rules or "const" in rules:
        return rules
    return {**described, **rules}


def _kind(kind: Any, place: str) -> dict[str, Any]:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if is_dataclass(kind) and isinstance(kind, type):
        return _object(kind, place)
    if kind is type(None):
        return {"type": "null"}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_kind(part, place) for part in parts]}
    if origin is Literal:
        return {"enum": list(parts)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _add_rules(parts[1], f"{place}[]")}
    if origin is tuple and parts[-1] is Ellipsis:
        return {"type": "array", "items": _add_rules(parts[0], f"{place}[]")}
    if origin is tuple:
        items = [_kind(part, place) for part in parts]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    return {"type": TYPES[kind]}


def text() -> str:
    """The committed file's content."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
