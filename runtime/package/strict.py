"""JSON to frozen dataclasses and back, refusing what the dataclass does not say."""

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from handful.runtime.errors import ManifestError

T = TypeVar("T")
HINT = "export the package again, or install the handful that made it"
SHOWN = 60  # characters of a value or a name in a message


@cache
def hints(cls: Any) -> dict[str, Any]:
    """The types of a dataclass's fields, in order."""
    annotations = get_type_hints(cls)
    return {field.name: annotations[field.name] for field in fields(cls)}


def quote(value: object) -> str:
    """A JSON value as a message shows it: short, and never a whole document."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str) and len(value) > SHOWN:
        value = value[:SHOWN]
    words = {"None": "null", "True": "true", "False": "false"}
    text = words.get(repr(value), repr(value))
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def shorten(name: str) -> str:
    """A field's name as a message shows it."""
    return name if len(name) <= SHOWN else name[: SHOWN - 3] + "..."


def read(cls: type[T], value: object, place: str) -> T:
    """`value`, an object decoded from JSON, as the dataclass `cls`; `place` names it in errors."""
    where = f"`{place}`" if place else "manifest"
    if not isinstance(value, Mapping):
        raise ManifestError(f"{where} is {quote(value)}, wanted an object", hint=HINT)
    wanted = hints(cast(Any, cls))
    prefix = f"{place}." if place else ""
    for name in value:
        if name not in wanted:
            raise ManifestError(f"unknown field in manifest: `{prefix}{shorten(name)}`", hint=HINT)
    for name in wanted:
        if name not in value:
            raise ManifestError(f"missing field in manifest: `{prefix}{name}`", hint=HINT)
    return cls(
        **{name: _read_typed(kind, value[name], prefix + name) for name, kind in wanted.items()}
    )


def _read_typed(kind: Any, value: Any, place: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return read(cast(type, kind), value, place)
    if origin in (Union, types.UnionType):
        return _one_of(parts, value, place)
    if origin is Literal:
        if not any(type(value) is type(part) and value == part for part in parts):
            raise _wrong(place, value, "one of " + ", ".join(f"`{part}`" for part in parts))
        return value
    if origin is tuple:
        return _tuple(parts, value, place)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(place, value, "an object")
        return {
            name: _read_typed(parts[1], item, f"{place}.{shorten(name)}")
            for name, item in value.items()
        }
    return _scalar(kind, value, place)


def _scalar(kind: Any, value: Any, place: str) -> Any:
    if kind is float and type(value) in (int, float):
        if not math.isfinite(value):
            raise _wrong(place, value, "a finite number")
        return float(value)
    if type(value) is not kind:
        words = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
        raise _wrong(place, value, words[kind])
    return value


def _one_of(parts: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and type(None) in parts:
        return None
    kinds = [part for part in parts if part is not type(None)]
    if len(kinds) == 1:
        return _read_typed(kinds[0], value, place)
    if type(value) in kinds:
        return value
    words = {int: "an integer", float: "a number", str: "a string"}
    raise _wrong(place, value, " or ".join(words[kind] for kind in kinds))


def _tuple(parts: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(place, value, "a list")
    if parts[-1] is Ellipsis:
        parts = (parts[0],) * len(value)
    if len(parts) != len(value):
        raise _wrong(place, value, f"a list of {len(parts)}")
    return tuple(
        _read_typed(part, item, f"{place}[{i}]")
        for i, (part, item) in enumerate(zip(parts, value, strict=True))
    )


def _wrong(place: str, value: object, wanted: str) -> ManifestError:
    return ManifestError(f"`{place}` is {quote(value)}, wanted {wanted}", hint=HINT)


def to_plain(value: Any) -> Any:
    """A dataclass as what `json.dumps` takes."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value
