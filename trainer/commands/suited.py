"""Which recipes some data can be trained by, and which of their settings have to be lowered."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from handful.runtime.errors import HandfulError
from handful.trainer.config import MetaConfig, RunConfig
from handful.trainer.data import DataConfig, LabelledSet
from handful.trainer.data.functions import is_functions
from handful.trainer.data.record import is_name
from handful.trainer.evaluation import fits
from handful.trainer.learners import Learner
from handful.trainer.listing import recipes
from handful.trainer.recipe import read_recipe
from handful.trainer.training.data import suffice
from handful.trainer.training.folder import build_learner

AXES = {1: "vectors", 2: "series", 3: "energies"}  # of an example that is no picture
NETWORKS = {"conv1d": "series", "trace": "series", "conv4": "energies", "residual": "energies"}
WITHIN: Mapping[str, Any] = {"within": 0.0, "validation_within": False}


@dataclass(frozen=True)
class Suited:
    """A recipe for examples of this kind, and what has to be changed for these data."""

    recipe: str
    command: tuple[str, ...]  # that trains by it
    lowered: tuple[str, ...] = ()  # settings, as meta.way=[3]
    refused: str | None = None  # why no lower setting helps

    def line(self) -> str:
        """The command, as a shell reads it."""
        return shlex.join(self.command)


def suited(
    data: DataConfig,
    changes: Sequence[str],
    train: LabelledSet,
    validation: LabelledSet,
    *,
    options: Sequence[str] = (),
) -> list[Suited]:
    """Every recipe for such examples; `changes` are the settings of the data, as data.seed=1.

    `options` are what else the commands begin with, as --skip-bad.
    """
    kinds = [AXES.get(train.x.ndim - 1)] if train.input.kind != "image" else ["pictures"]
    if data.rate is not None:
        kinds.append("sounds")
    found = []
    for name in recipes():
        recipe = read_recipe(name, ())
        if _kind(recipe) not in kinds:
            continue
        wanted = [*_differing(data, recipe, changes), *changes]
        source = f"data.source={json.dumps(data.source, ensure_ascii=False)}"
        config = read_recipe(name, [source, *wanted])
        lowered, settings = lower(config, train, validation)
        where = [] if data.source == recipe.data.source else ["--data", data.source]
        sets = [word for change in (*wanted, *settings) for word in ("--set", change)]
        command = ("handful", "train", name, *where, *options, *sets, "--out", "RUN")
        try:
            check(lowered, train, validation)
            found.append(Suited(name, command, tuple(settings)))
        except HandfulError as error:
            found.append(Suited(name, command, tuple(settings), str(error)))
    return found


def lower(
    config: RunConfig, train: LabelledSet, validation: LabelledSet
) -> tuple[RunConfig, list[str]]:
    """The settings with tasks that these data can fill, and the assignments that make them so."""
    settings: list[str] = []
    for section in ("meta", "pretrain"):
        meta = getattr(config, section)
        if meta is None:
            continue
        smaller = _smaller(meta, train, validation)
        config = replace(config, **{section: replace(meta, **smaller)})
        try:
            alone = replace(config, pretrain=None) if section == "meta" else config
            suffice(alone, train, validation)
        except HandfulError:  # groups that are absent, or too small
            smaller |= {n: off for n, off in WITHIN.items() if getattr(meta, n) != off}
            config = replace(config, **{section: replace(meta, **smaller)})
        settings += [f"{section}.{name}={json.dumps(value)}" for name, value in smaller.items()]
    return config, settings


def check(config: RunConfig, train: LabelledSet, validation: LabelledSet) -> None:
    """Refuse what training would refuse before its first step."""
    suffice(config, train, validation)
    learner, meta = build_learner(config, train), config.meta
    for way in meta.way:
        for shot in meta.shot:
            size = train.size(way, shot, meta.queries)
            fits(learner, train, size, where="the meta-training set", prefix="meta.")
    _fits_validation(learner, meta, validation)


def _fits_validation(learner: Learner, meta: MetaConfig, validation: LabelledSet) -> None:
    size = meta.validation_size
    fits(learner, validation, size, where="the validation set", prefix="meta.validation_")


def _smaller(meta: MetaConfig, train: LabelledSet, validation: LabelledSet) -> dict[str, Any]:
    """The settings that are too large, as large as they may be, queries before shots."""
    fewest, fewest_validated = int(train.counts.min()), int(validation.counts.min())
    shot = tuple(dict.fromkeys(max(1, min(k, fewest - 1)) for k in meta.shot))
    validation_shot = max(1, min(meta.validation_shot, fewest_validated - 1))
    way = tuple(dict.fromkeys(max(2, min(n, len(train.classes))) for n in meta.way))
    # a head of as many outputs as the largest training task has cannot be validated on more
    most = len(validation.classes) if way == meta.way else min(len(validation.classes), max(way))
    possible = {
        "way": way,
        "shot": shot,
        "queries": max(1, min(meta.queries, fewest - max(shot))),
        "validation_way": max(2, min(meta.validation_way, most)),
        "validation_shot": validation_shot,
        "validation_queries": max(
            1, min(meta.validation_queries, fewest_validated - validation_shot)
        ),
    }
    return {name: value for name, value in possible.items() if value != getattr(meta, name)}


def _differing(data: DataConfig, recipe: RunConfig, changes: Sequence[str]) -> list[str]:
    """Assignments for what the recipe says of its own data, and is not so of these."""
    names = [] if data.source == "glyphs" else ["split"]
    if data.source.endswith(".npz"):
        names += ["array", "labels"]
    said = {change.partition("=")[0].strip() for change in changes}
    return [
        f"data.{name}={_toml(getattr(data, name))}"
        for name in names
        if getattr(data, name) != getattr(recipe.data, name) and f"data.{name}" not in said
    ]


def _toml(text: str) -> str:
    """A word as it is, other text in quotes."""
    return text if text.isidentifier() else json.dumps(text, ensure_ascii=False)


def _kind(recipe: RunConfig) -> str:
    """The kind of examples that a recipe's network reads."""
    if is_functions(recipe.data.source):
        return "functions"
    if is_name(recipe.data.source):
        return "pictures"
    if recipe.data.rate is not None:
        return "sounds"
    return NETWORKS.get(getattr(getattr(recipe.settings, "network", None), "kind", ""), "vectors")
