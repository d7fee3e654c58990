"""Recipes: finding a run's settings by a learner's name, a recipe's name or a TOML file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from handful.trainer.config import RECIPES, RunConfig, from_toml, to_dict
from handful.trainer.errors import ConfigError
from handful.trainer.learners import LEARNERS

SOURCE = "data.source="


def read_recipe(recipe: str, changes: Sequence[str]) -> RunConfig:
    """A TOML file, a recipe's name, or a learner's name: then its recipe for the data, if any."""
    path = Path(recipe)
    if path.suffix == ".toml":
        return from_toml(_text(path), where=recipe, changes=changes)
    sources = [
        change[len(SOURCE) :].strip("\"'") for change in changes if change.startswith(SOURCE)
    ]
    for name in (recipe, f"{(sources or ['omniglot'])[-1]}-{recipe}"):
        if name in recipes():
            file = RECIPES / f"{name}.toml"
            return from_toml(_text(file), where=file.name, changes=changes)
    if recipe not in LEARNERS:
        raise ConfigError(
            f"no recipe and no learner {recipe}",
            hint=f"there are: {', '.join([*LEARNERS, *recipes()])}, or a file.toml",
        )
    return from_toml(f'[learner]\nname = "{recipe}"', where=recipe, changes=changes)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no recipe file {file}") from None
    except ValueError as error:
        raise ConfigError(f"{file} is not text in UTF-8: {error}") from error


def recipes() -> list[str]:
    """The names of the recipes that come with handful."""
    return sorted(file.stem for file in RECIPES.glob("*.toml"))


def named_recipe(config: RunConfig) -> dict[str, str]:
    """The recipe that comes with handful and has exactly these settings, for the card."""
    for name in recipes():
        if to_dict(read_recipe(name, ())) == to_dict(config):
            return {"recipe": name}
    return {}


def described_learners() -> list[tuple[str, str]]:
    """Each learner's name, and the first line of its file: the method and its paper."""
    docs = {name: sys.modules[kind.__module__].__doc__ or "" for name, kind in LEARNERS.items()}
    return [(name, doc.splitlines()[0]) for name, doc in docs.items()]
