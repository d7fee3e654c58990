"""A run's settings: TOML recipes read into frozen dataclasses, overridden by the same names."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from handful.trainer.data import DataConfig
from handful.trainer.data.config import Credit
from handful.trainer.data.distortions import Distortion
from handful.trainer.data.distortions.pictures import DistortConfig
from handful.trainer.data.distortions.signals import SignalConfig
from handful.trainer.data.distortions.sounds import HearingConfig
from handful.trainer.data.domains import Mix
from handful.trainer.data.labelled import EVERYWHERE, ONE_GROUP, Within
from handful.trainer.episodes import TaskSize
from handful.trainer.learners import LEARNERS, find_learner
from handful.trainer.settings.errors import ConfigError, SettingError
from handful.trainer.settings.read import check_numbers, read_sections

# how the tasks of a step are computed: one by one, or `vmap` over chunks of them
Batching = Literal["auto", "loop", "vmap"]


@dataclass(frozen=True, kw_only=True)
class MetaConfig:
    """The meta-training loop: tasks, optimiser, validation."""

    steps: int = 10_000
    tasks: int = 4  # T, tasks a step
    way: tuple[int, ...] = (5,)  # each step draws one of them
    shot: tuple[int, ...] = (1,)
    queries: int = 5  # a class
    rounds: int = 1  # policies: a step's tasks have one to so many rounds of rollouts
    optimiser: Literal["adam", "sgd"] = "adam"  # sgd: without momentum, Reptile's meta-step
    lr: float = 1e-3
    schedule: Literal["constant", "halve", "cosine", "linear"] = "constant"
    clip_value: float | None = None  # each gradient entry into ±this, then
    clip_norm: float | None = None  # the whole gradient's norm to at most this
    batching: Batching = "auto"
    chunk: int = 8
    validate_every: int = 500
    validation_episodes: int = 200
    validation_way: int = 5
    validation_shot: int = 1
    validation_queries: int = 15
    within: float = 0.0  # the share of tasks whose classes come from few groups, as one alphabet
    within_groups: int = 1  # how many
    validation_within: bool = False  # each validation task's classes come from one group
    distort: DistortConfig | None = None  # of the pictures of training tasks
    hearing: HearingConfig | None = None  # of the sounds of training tasks
    signal: SignalConfig | None = None  # of the signals of training tasks
    partial: float = 0.0  # named classes: the share of steps whose tasks give half of the classes
    empty: float = 0.0  # and of those that give no examples at all
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        for name in ("way", "shot"):
            if not getattr(self, name):
                raise SettingError(name, "is [], wanted one number or more")
        least = {"steps": 0, "way": 2, "validation_way": 2, "seed": -(2**63)}
        shares = {"within": self.within, "partial": self.partial, "empty": self.empty}
        check_numbers(self, least=least | dict.fromkeys(shares, 0))
        for name, share in shares.items():
            if share > 1:
                raise SettingError(name, f"is {share}, wanted 0 to 1")
        kinds = {"distort": self.distort, "hearing": self.hearing, "signal": self.signal}
        if len(both := [name for name, set_to in kinds.items() if set_to is not None]) > 1:
            raise SettingError(both[1], f"is set, and {both[0]} too: examples are of one kind")

    @property
    def training_groups(self) -> Within:
        """Which training tasks come from few groups."""
        return Within(self.within, self.within_groups)

    @property
    def mix(self) -> Mix:
        """How many examples the named classes of a training task have."""
        return Mix(shots=self.shot, partial=self.partial, empty=self.empty)

    @property
    def distortion(self) -> Distortion | None:
        """Of the examples of training tasks."""
        return self.distort or self.hearing or self.signal

    @property
    def validation_groups(self) -> Within:
        """Whether validation tasks do."""
        return ONE_GROUP if self.validation_within else EVERYWHERE

    @property
    def validation_size(self) -> TaskSize:
        """The sizes of a validation task."""
        return TaskSize(self.validation_way, self.validation_shot, self.validation_queries)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(MetaConfig):
    """The pre-training of a learner's network: as a prototypical network, or as a classifier.

    A classifier has a head over all meta-training classes, linear ("softmax") or "cosine".
    """

    objective: Literal["prototypical", "softmax", "cosine"] = "prototypical"
    length: float | None = None  # prototypical: of every embedding; None: as the network gives it

    @property
    def loop(self) -> MetaConfig:
        """The settings of its loop alone."""
        fields = dataclasses.fields(MetaConfig)
        return MetaConfig(**{field.name: getattr(self, field.name) for field in fields})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of a run; `pretrain` are those of the pre-training of the learner's network."""

    learner: str
    settings: Any  # the learner's own Config
    data: DataConfig = field(default_factory=DataConfig)
    meta: MetaConfig = field(default_factory=MetaConfig)
    pretrain: PretrainConfig | None = None
    licence: str | None = None  # of the packages that are exported from it, as SPDX writes it
    credit: Credit | None = None  # who made the data; Omniglot's need not be said


def from_toml(text: str, *, where: str, changes: Sequence[str] = ()) -> RunConfig:
    """Read a recipe; `changes` are assignments such as `meta.lr=0.01`, their values TOML."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5000 digits
        raise ConfigError(f"{where} is not TOML: {error}") from error
    # the recipe's licence and credit are of packages trained on the recipe's data
    recipe_source, credit = _source(values), values.pop("credit", None)
    for change in changes:
        assign(values, change)
    sets_licence = any(change.startswith("licence") for change in changes)
    if is_same_file(_source(values), recipe_source):
        whole = {**credit, **values.get("credit", {})} if isinstance(credit, Mapping) else credit
        values |= {} if credit is None else {"credit": whole}
    elif not sets_licence:
        values.pop("licence", None)
    return from_dict(values, where=where)


def distortions(changes: Sequence[str], *, where: str) -> DistortConfig:
    """The distortions in assignments such as `rotation=15`."""
    values: dict[str, Any] = {"distort": {}}
    for change in changes:
        assign(values, f"distort.{change}")
    distort: DistortConfig = read_sections({"distort": DistortConfig}, values, where=where)[
        "distort"
    ]
    return distort


def is_same_file(given: Any, wanted: Any) -> bool:
    """Whether a data source or split is the recipe's, which may lie in any folder."""
    both = isinstance(given, str) and isinstance(wanted, str)
    return given == wanted or (both and Path(given).name == Path(wanted).name)


def _source(values: Mapping[str, Any]) -> Any:
    data = values.get("data")
    return data.get("source") if isinstance(data, Mapping) else data


def from_dict(values: Mapping[str, Any], *, where: str, trusted: bool = True) -> RunConfig:
    """The settings in a plain dict, as a recipe or a checkpoint holds them.

    Not `trusted`, they may name a learner of one's own where its module is imported already.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} holds no sections", hint="wanted learner, data and meta")
    learner = values.get("learner", {})
    wanted = f'add a section [learner] with a line name = "…", one of: {", ".join(LEARNERS)}'
    if not isinstance(learner, Mapping):
        raise ConfigError(f"{where}: learner is {learner!r}, wanted a section", hint=wanted)
    if "name" not in learner:
        raise ConfigError(f"no learner in {where}", hint=wanted)
    name = learner["name"]
    kinds = {
        "learner": find_learner(str(name), where=where, trusted=trusted).Config,
        "data": DataConfig,
        "meta": MetaConfig,
        "pretrain": PretrainConfig | None,
        "licence": str | None,
        "credit": Credit | None,
    }
    settings = {setting: value for setting, value in learner.items() if setting != "name"}
    absent: dict[str, Any] = {
        "data": {},
        "meta": {},
        "pretrain": None,
        "licence": None,
        "credit": None,
    }
    sections = read_sections(kinds, {**absent, **values, "learner": settings}, where=where)
    return RunConfig(learner=str(name), settings=sections.pop("learner"), **sections)


def data_from_dict(values: Any, *, where: str) -> DataConfig:
    """The section `data` alone of what `to_dict` gave: no learner is looked for or imported."""
    section = values.get("data", {}) if isinstance(values, Mapping) else values
    data: DataConfig = read_sections({"data": DataConfig}, {"data": section}, where=where)["data"]
    return data


def data_changes(changes: Sequence[str], *, why: str, such_as: str) -> dict[str, Any]:
    """The section `data` in assignments such as `data.image_size=32`, which may name no other.

    ConfigError where they do: `why` only settings of data are taken, and which are meant.
    """
    values: dict[str, Any] = {}
    for change in changes:
        assign(values, change)
    if others := [name for name in values if name != "data"]:
        raise ConfigError(f"--set: {others[0]} is set, {why}", hint=f"such as {such_as}")
    data: dict[str, Any] = values.get("data", {})
    return data


def to_dict(config: RunConfig) -> dict[str, Any]:
    """What `from_dict` reads; settings left at None are absent, as TOML has no null."""
    sections: dict[str, Any] = {
        "learner": {"name": config.learner, **_plain(config.settings)},
        "data": _plain(config.data),
        "meta": _plain(config.meta),
    }
    if config.pretrain is not None:
        sections["pretrain"] = _plain(config.pretrain)
    if config.licence is not None:
        sections["licence"] = config.licence
    if config.credit is not None:
        sections["credit"] = _plain(config.credit)
    return sections


def assign(values: dict[str, Any], change: str) -> None:
    """Put `a.b=value` into the dict; the value is TOML, a bare word is text."""
    name, equals, text = change.partition("=")
    *sections, last = (part.strip() for part in name.split("."))
    if not equals or not all((*sections, last)):
        raise ConfigError(f"a setting is written name=value, found: {change}")
    try:
        parsed = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        parsed = text
    place: Any = values
    for depth, section in enumerate(sections, start=1):
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{'.'.join(sections[:depth])} is not a section, in: {change}")
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
