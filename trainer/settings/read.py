"""Plain dicts into frozen dataclasses, by pydantic; what does not fit is said in our words."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError, create_model

from .errors import ConfigError, SettingError, there_are

STRICT = ConfigDict(strict=True, extra="forbid")
WANTED = {  # by the first word of pydantic's type of error
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "text",
    "tuple": "a list",
    "list": "a list",
    "dataclass": "a section",
    "dict": "a section",
    "model": "a section",
}
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
SHOWN = 60  # characters of a value in a message


def read_sections(
    kinds: Mapping[str, Any], values: Mapping[str, Any], *, where: str
) -> dict[str, Any]:
    """Each section of `values` as the dataclass that `kinds` names for it, checked all at once.

    Names and types are strict: only a whole number may stand for a number, and a single value for a
    list of one. What a nested section leaves out is as in the default of the dataclass around it.
    `where` is the file, for the errors.
    """
    try:
        prepared = {name: _prepare(kinds.get(name), value) for name, value in values.items()}
        form = _form(tuple(kinds.items()))
    except (NameError, PydanticUserError) as error:
        raise ConfigError(
            f"the types of a learner's Config cannot be read: {error}",
            hint="its fields are numbers, text, choices, tuples and dataclasses of a module",
        ) from error
    try:
        # as JSON, for which strict is what TOML means: an array is a tuple, a text is a path
        text = json.dumps(prepared, default=_as_json, ensure_ascii=False).encode()
        sections = form.model_validate_json(text)
    except UnicodeEncodeError as error:
        wrong = error.object[error.start]
        raise ConfigError(f"{where}: a text holds {wrong!r}, which is not Unicode") from error
    except ValidationError as error:
        raise _in_words(error, values, kinds, where) from error
    return {name: getattr(sections, name) for name in kinds}


@cache
def _form(kinds: tuple[tuple[str, Any], ...]) -> type[BaseModel]:
    """The model of these sections, made once: that takes longer than reading by it."""
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in kinds}
    return create_model("Settings", __config__=STRICT, **fields)


def _prepare(hint: Any, value: Any, default: Any = None) -> Any:
    """What pydantic does not do: lists of one value, and defaults that the section around gives."""
    options = (hint, *typing.get_args(hint))  # the type itself, or those of `X | None`
    section = next((option for option in options if dataclasses.is_dataclass(option)), None)
    if section is not None and isinstance(value, Mapping):
        hints, defaults = typing.get_type_hints(section), _defaults(section, default)
        start = {} if default is None else dataclasses.asdict(default)
        return start | {
            name: _prepare(hints.get(name), item, defaults.get(name))
            for name, item in value.items()
        }
    lone = value is not None and not isinstance(value, list | tuple)
    of_its_own = typing.get_origin(hint) is not tuple and type(value) in options  # int | tuple
    a_list = any(typing.get_origin(option) is tuple for option in options)
    return [value] if lone and a_list and not of_its_own else value


def _defaults(section: Any, instance: Any) -> dict[str, Any]:
    """The dataclasses among the fields of `instance`, or among the defaults of its class."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(section):
        if instance is not None:
            values[field.name] = getattr(instance, field.name)
        elif field.default_factory is not dataclasses.MISSING:
            values[field.name] = field.default_factory()
        else:
            values[field.name] = field.default
    return {name: value for name, value in values.items() if dataclasses.is_dataclass(value)}


def _as_json(value: Any) -> Any:
    """A path is text. TOML's dates and times are no setting: a form that no type accepts."""
    return value.__fspath__() if hasattr(value, "__fspath__") else [[[]]]


def _in_words(
    error: ValidationError, values: Mapping[str, Any], kinds: Mapping[str, Any], where: str
) -> ConfigError:
    """One ConfigError for all that pydantic found: a line for each setting, and their hints."""
    wanted: dict[tuple[str, str], list[str]] = {}  # a union's types are several errors of one value
    lines: list[str] = []
    hints: list[str] = []
    for problem in error.errors(include_url=False):
        path, value = _follow(problem["loc"], values)
        kind, context = problem["type"], problem.get("ctx", {})
        cause = context.get("error")
        if kind in UNKNOWN:
            lines.append(f"there is no setting {path}")
            hints.append(_find_similar(path, kinds))
        elif kind == "missing":
            lines.append(f"{path}.{problem['loc'][-1]} is missing")
        elif isinstance(cause, SettingError):
            lines.append(f"{path}.{cause}")
            hints += [cause.hint] if cause.hint else []
        elif kind == "literal_error":
            choices = context["expected"].replace("'", '"')
            wanted.setdefault((path, _quote(value)), []).append(choices)
            close = difflib.get_close_matches(str(value), re.findall('"(.*?)"', choices), n=1)
            hints += [f'did you mean {path} = "{close[0]}"?'] if close else []
        elif (word := kind.partition("_")[0]) in WANTED:
            wanted.setdefault((path, _quote(value)), []).append(WANTED[word])
        else:  # a ValueError of somebody's own Config, say
            lines.append(f"{path or 'the settings'}: {cause or problem['msg']}")
    lines += [
        f"{p} is {shown}, wanted {' or '.join(dict.fromkeys(w))}"
        for (p, shown), w in wanted.items()
    ]
    return ConfigError(
        "\n".join(f"{where}: {line}" for line in lines), hint="\n".join(hints) or None
    )


def _follow(steps: tuple[int | str, ...], values: Any) -> tuple[str, Any]:
    """The setting's name with its sections, as `meta.way[1]`, and the value that was given."""
    path = ""
    for step in steps:  # those that lead nowhere are pydantic's own: a union's types, lists of one
        if isinstance(step, str) and isinstance(values, Mapping) and step in values:
            path, values = f"{path}.{step}" if path else step, values[step]
        elif isinstance(step, int) and isinstance(values, list | tuple):
            path, values = f"{path}[{step}]", values[step]
    return path, values


def _find_similar(path: str, kinds: Mapping[str, Any]) -> str:
    """The setting that may have been meant, which can be of another section, and all beside it."""
    every = [setting for name, kind in kinds.items() for setting in _names(kind, f"{name}.")]
    section, _, last = path.rpartition(".")
    beside = sorted(n for n in (*every, *kinds) if n.rpartition(".")[0] == section)
    listed = there_are("", [name.rpartition(".")[2] for name in beside])
    # the same name in another section, else a close one beside it, else a close one anywhere
    for names, cutoff in ((every, 1.0), (beside, 0.6), (every, 0.6)):
        lasts = [name.rpartition(".")[2] for name in names]
        if close := difflib.get_close_matches(last, lasts, n=1, cutoff=cutoff):
            return f"did you mean {names[lasts.index(close[0])]}? {listed}"
    return listed


def _names(kind: Any, prefix: str) -> Iterator[str]:
    """The settings of a dataclass and of those within it, with their sections."""
    for option in (kind, *typing.get_args(kind)):
        if dataclasses.is_dataclass(option):
            hints = typing.get_type_hints(option)
            for field in dataclasses.fields(option):
                yield prefix + field.name
                yield from _names(hints[field.name], f"{prefix}{field.name}.")


def _quote(value: Any) -> str:
    """A value as TOML would write it, not too long."""
    plain = isinstance(value, str | int | float | list | tuple | Mapping) or value is None
    text = json.dumps(value, ensure_ascii=False, default=str) if plain else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


LARGEST = 2**63  # torch's whole numbers are below this


def check_numbers(
    config: Any, *, least: Mapping[str, int] | None = None, below: Mapping[str, int] | None = None
) -> None:
    """Refuse a number out of its bounds, in a field or in a tuple of numbers.

    A whole number is 1 or more and another number is finite and more than 0, unless `least` names a
    bound of its own for the field, which is allowed itself; `below` names what is just too large.
    """
    for name, value in vars(config).items():
        numbers = list(value) if isinstance(value, tuple) else [value]
        for number in numbers:
            if type(number) not in (int, float):
                continue
            whole = type(number) is int
            bound = (least or {}).get(name, 1 if whole else 0)
            limit = (below or {}).get(name, LARGEST if whole else math.inf)
            open_below = not whole and name not in (least or {})
            if not bound <= number < limit or (open_below and number == bound):
                wanted = f"more than {bound}" if open_below else f"{bound} or more"
                if number >= limit:
                    wanted = "a finite number" if limit == math.inf else f"less than {limit}"
                shown = numbers if isinstance(value, tuple) else number
                raise SettingError(name, f"is {shown}, wanted {wanted}")
