"""A run's settings: TOML recipes read into frozen dataclasses, overridden by the same names."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from handful.trainer.data import DataConfig
from handful.trainer.errors import ConfigError
from handful.trainer.learners import LEARNERS
from handful.trainer.training.gradient import Batching

C = TypeVar("C")
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "text"}
RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True, kw_only=True)
class MetaConfig:
    """The meta-training loop: tasks, optimiser, validation."""

    steps: int = 10_000
    tasks: int = 4  # T, tasks a step
    way: tuple[int, ...] = (5,)  # each step draws one of them
    shot: tuple[int, ...] = (1,)
    queries: int = 5  # a class
    lr: float = 1e-3  # Adam
    schedule: Literal["constant", "halve", "cosine"] = "constant"
    halve_every: int = 2000
    clip_value: float | None = None  # each gradient entry into ±this, then
    clip_norm: float | None = None  # the whole gradient's norm to at most this
    batching: Batching = "auto"
    chunk: int = 8
    validate_every: int = 500
    validation_episodes: int = 200
    validation_way: int = 5
    validation_shot: int = 1
    validation_queries: int = 15
    patience: int | None = None  # stop after so many validations without a better one
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        for name, value in vars(self).items():
            number = isinstance(value, int | float)
            if number and name != "seed" and not value > (-1 if name == "steps" else 0):
                raise ConfigError(f"{name} must be positive, found: {value}")
        if not self.way or min(self.way) < 2 or not self.shot or min(self.shot) < 1:
            raise ConfigError(
                f"way must be at least 2 and shot at least 1, found: {self.way}, {self.shot}"
            )


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that makes a run; `pretrain` trains the learner's network beforehand."""

    learner: str
    settings: Any  # the learner's own Config
    data: DataConfig = field(default_factory=DataConfig)
    meta: MetaConfig = field(default_factory=MetaConfig)
    pretrain: MetaConfig | None = None


def from_toml(text: str, *, where: str, changes: Sequence[str] = ()) -> RunConfig:
    """Read a recipe; `changes` are assignments such as `meta.lr=0.01`, their values TOML."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}") from error
    for change in changes:
        _assign(found, change)
    return from_dict(found, where=where)


def from_dict(found: Mapping[str, Any], *, where: str) -> RunConfig:
    """The settings in a plain dict, as a recipe or a checkpoint holds them."""
    found = dict(found)
    settings = dict(_section(found.pop("learner", {}), f"{where} [learner]"))
    if "name" not in settings:
        raise ConfigError(
            f"no learner in {where}",
            hint='add a section [learner] with name = "maml", or one of: ' + ", ".join(LEARNERS),
        )
    name = settings.pop("name")
    if name not in LEARNERS:
        raise ConfigError(
            f"no such learner in {where}: {name}", hint=f"there are: {', '.join(LEARNERS)}"
        )
    _known(found, {"data", "meta", "pretrain"}, where)
    pretrain = found.get("pretrain")
    return RunConfig(
        learner=name,
        settings=build(LEARNERS[name].Config, settings, f"{where} [learner]"),
        data=build(DataConfig, found.get("data", {}), f"{where} [data]"),
        meta=build(MetaConfig, found.get("meta", {}), f"{where} [meta]"),
        pretrain=None if pretrain is None else build(MetaConfig, pretrain, f"{where} [pretrain]"),
    )


def to_dict(config: RunConfig) -> dict[str, Any]:
    """What `from_dict` reads; settings left at None are absent, as TOML has no null."""
    found = {
        "learner": {"name": config.learner, **_plain(config.settings)},
        "data": _plain(config.data),
        "meta": _plain(config.meta),
    }
    if config.pretrain is not None:
        found["pretrain"] = _plain(config.pretrain)
    return found


def build(kind: type[C], found: Any, where: str, base: C | None = None) -> C:
    """A config dataclass from a dict: names and types checked, sections nested.

    What `found` leaves out is as in `base`, for a section whose defaults are not the class's own.
    """
    hints = typing.get_type_hints(kind)
    _known(_section(found, where), set(hints), where)
    bases = _defaults(kind)
    values = {
        name: _convert(hints[name], value, f"{where} {name}", bases.get(name))
        for name, value in found.items()
    }
    if base is not None:
        return typing.cast(C, dataclasses.replace(typing.cast(Any, base), **values))
    return kind(**values)


def _defaults(kind: Any) -> dict[str, Any]:
    """The sections that the dataclass makes when none is given."""
    return {
        f.name: f.default_factory()
        for f in dataclasses.fields(kind)
        if f.default_factory is not dataclasses.MISSING
    }


def _section(found: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise ConfigError(f"{where} is a section, found: {found!r}")
    return found


def _convert(hint: Any, value: Any, where: str, base: Any = None) -> Any:
    """`value` as the field's type wants it, or a ConfigError that names both."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [o for o in options if o is not type(None)]
        return _convert(kinds[0], value, where, base) if value is not None else None
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type[Any], hint), value, where, base)
    if origin is Literal:
        if value not in options:
            raise ConfigError(f"{where} is one of {', '.join(map(str, options))}, found: {value!r}")
        return value
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(options[0], item, where) for item in items)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if type(value) is not hint:
        raise ConfigError(f"{where} is {KINDS.get(hint, hint.__name__)}, found: {value!r}")
    return value


def _known(found: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(found.keys() - known):
        raise ConfigError(
            f"no such setting in {where}: {', '.join(unknown)}",
            hint=f"there are: {', '.join(sorted(known))}",
        )


def _assign(found: dict[str, Any], change: str) -> None:
    """Put `a.b=value` into the dict; the value is TOML, a bare word is text."""
    name, equals, value = change.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"a setting is written name=value, found: {change}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *sections, last = name.strip().split(".")
    place = found
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{section} is not a section, in: {change}")
    place[last] = parsed


def _plain(config: Any) -> dict[str, Any]:
    """The dataclass as what TOML and JSON can hold."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return _plain(value)
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return {
        f.name: plain(getattr(config, f.name))
        for f in dataclasses.fields(config)
        if getattr(config, f.name) is not None
    }
