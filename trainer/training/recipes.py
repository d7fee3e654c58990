"""Recipes: finding a run's settings by a learner's name, a recipe's name or a TOML file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from handful.trainer.data.config import Credit
from handful.trainer.learners import LEARNERS
from handful.trainer.listing import RECIPES, recipes
from handful.trainer.settings.errors import ConfigError, there_are

from .config import RunConfig, from_toml, is_same_file, to_dict

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
    if recipe not in LEARNERS and ":" not in recipe:
        more = ", a file.toml, or module:Class of your own"
        raise ConfigError(
            f"no recipe and no learner {recipe}",
            hint=there_are(recipe, [*LEARNERS, *recipes()], more=more),
        )
    return from_toml(f"[learner]\nname = {json.dumps(recipe)}", where=recipe, changes=changes)


def _text(file: Path) -> str:
    """The file's text, or a ConfigError that says why there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = there_are(file.stem, recipes()) + "; these are named without .toml"
        raise ConfigError(f"no recipe file {file}", hint=hint) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not text in UTF-8: {error}") from error
    except OSError as error:
        raise ConfigError(f"recipe file {file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name, which no shell passes on
        raise ConfigError(f"{str(file)!r} is no name of a file: {error}") from error


def named_recipe(config: RunConfig) -> dict[str, str]:
    """The recipe that comes with handful and has exactly these settings, for the card.

    Its files may lie anywhere.
    """
    for name in recipes():
        recipe = read_recipe(name, ())
        found = {
            field: wanted
            for field in ("source", "split")
            if is_same_file(getattr(config.data, field), wanted := getattr(recipe.data, field))
        }
        of_package = replace(
            config,
            licence=recipe.licence,
            credit=recipe.credit,
            data=replace(config.data, **found),
        )
        if to_dict(of_package) == to_dict(recipe):
            return {"recipe": name}
    return {}


def credit_of(config: RunConfig) -> Credit | None:
    """Who made the data of a run; None where nobody has said.

    A run whose settings are a recipe's has read its data.
    """
    from handful.trainer.data.sources.omniglot import CREDIT  # reads torch

    if config.data.source == "omniglot":
        return config.credit or CREDIT
    recipe = named_recipe(config).get("recipe")
    return config.credit or (read_recipe(recipe, ()).credit if recipe else None)
