"""Settings: recipes, overrides, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from handful.trainer.config import RECIPES, MetaConfig, from_dict, from_toml, to_dict
from handful.trainer.errors import ConfigError
from handful.trainer.learners import leo, maml

TEXT = """
[learner]
name = "maml"
inner_lr = 1
[learner.network]
filters = 32
[meta]
way = 5
shot = [1, 5]
"""


def test_a_recipe_as_dataclasses() -> None:
    found = from_toml(TEXT, where="mine.toml")
    assert found.learner == "maml"
    assert isinstance(found.settings, maml.MAMLConfig)
    assert (found.settings.inner_lr, found.settings.network.filters) == (1.0, 32)
    assert type(found.settings.inner_lr) is float
    assert (found.meta.way, found.meta.shot) == ((5,), (1, 5))
    assert found.pretrain is None


def test_overrides_are_toml_or_bare_words() -> None:
    changes = [
        "meta.lr=0.01",
        "meta.way=[5, 20]",
        "learner.head=shared",
        "learner.network.halving='max'",
        "learner.first_order = true",
        "pretrain.steps=3",
        "data.source=some/folder",
        "data.path=some/place",
    ]
    found = from_toml(TEXT, where="mine.toml", changes=changes)
    assert (found.meta.lr, found.meta.way) == (0.01, (5, 20))
    assert (found.settings.head, found.settings.first_order) == ("shared", True)
    assert found.settings.network.halving == "max"
    assert found.pretrain is not None
    assert found.pretrain.steps == 3
    assert (found.data.source, found.data.path) == ("some/folder", Path("some/place"))


def test_a_section_given_in_part_keeps_the_learners_own_defaults() -> None:
    """MAML's network is strided and reads the support set's statistics; a plain one does not."""
    found = from_toml(TEXT, where="mine.toml").settings.network
    assert (found.filters, found.halving, found.normalisation) == (32, "stride", "support")


def test_later_overrides_win() -> None:
    found = from_toml(TEXT, where="mine.toml", changes=["meta.lr=1", "meta.lr=2"])
    assert found.meta.lr == 2.0


REFUSED: list[tuple[str, list[str], str, str | None]] = [
    ("[learner", [], "mine.toml is not TOML: Expected ']' at the end of a table declaration"
     " (at end of document)", None),
    ("", [], "no learner in mine.toml", "add a section [learner] with name = \"maml\","
     " or one of: leo, maml, nearest, prototypical"),
    ("learner = 'leo'", [], "mine.toml [learner] is a section, found: 'leo'", None),
    ("[learner]\nname = 'lion'", [], "no such learner in mine.toml: lion",
     "there are: leo, maml, nearest, prototypical"),
    (TEXT, ["learner.inner_step=1"], "no such setting in mine.toml [learner]: inner_step",
     "there are: adapt_only, centred, evaluation_steps, first_order, head, head_lr, inner_lr,"
     " inner_steps, multi_step_loss, network, rates"),
    (TEXT, ["mata.lr=1"], "no such setting in mine.toml: mata", "there are: data, meta, pretrain"),
    (TEXT, ["data=3"], "mine.toml [data] is a section, found: 3", None),
    (TEXT, ["meta.steps=1.5"], "mine.toml [meta] steps is a whole number, found: 1.5", None),
    (TEXT, ["meta.steps=true"], "mine.toml [meta] steps is a whole number, found: True", None),
    (TEXT, ["meta.lr=fast"], "mine.toml [meta] lr is a number, found: 'fast'", None),
    (TEXT, ["meta.way=[5, 'x']"], "mine.toml [meta] way is a whole number, found: 'x'", None),
    (TEXT, ["learner.head=both"],
     "mine.toml [learner] head is one of fixed, shared, found: 'both'", None),
    (TEXT, ["learner.network=conv4"],
     "mine.toml [learner] network is a section, found: 'conv4'", None),
    (TEXT, ["meta.lr"], "a setting is written name=value, found: meta.lr", None),
    (TEXT, ["meta.lr.x=1", "meta.lr.x.y=2"], "x is not a section, in: meta.lr.x.y=2", None),
    (TEXT, ["meta.tasks=0"], "tasks must be positive, found: 0", None),
    (TEXT, ["meta.steps=-1"], "steps must be positive, found: -1", None),
    (TEXT, ["meta.lr=0"], "lr must be positive, found: 0.0", None),
    (TEXT, ["meta.lr=nan"], "lr must be positive, found: nan", None),
    (TEXT, ["meta.clip_norm=-1"], "clip_norm must be positive, found: -1.0", None),
    (TEXT, ["meta.halve_every=0"], "halve_every must be positive, found: 0", None),
    (TEXT, ["meta.patience=0"], "patience must be positive, found: 0", None),
    (TEXT, ["meta.validation_shot=0"], "validation_shot must be positive, found: 0", None),
    (TEXT, ["meta.way=1"], "way must be at least 2 and shot at least 1, found: (1,), (1, 5)", None),
    (TEXT, ["meta.shot=[]"], "way must be at least 2 and shot at least 1, found: (5,), ()", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "changes", "message", "hint"), REFUSED)
def test_what_is_refused(text: str, changes: list[str], message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        from_toml(text, where="mine.toml", changes=changes)
    assert str(caught.value) == message
    assert caught.value.hint == hint


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_is_read_and_comes_back_the_same(path: Path) -> None:
    found = from_toml(path.read_text(), where=path.name)
    assert found.learner in path.stem
    assert from_dict(to_dict(found), where="again") == found


def test_there_are_recipes_for_both_main_learners() -> None:
    names = {path.stem for path in RECIPES.glob("*.toml")}
    assert {"omniglot-leo", "omniglot-maml"} <= names


@pytest.mark.parametrize("name", ["leo", "maml", "nearest", "prototypical"])
def test_a_learner_with_nothing_set_comes_back_the_same(name: str) -> None:
    found = from_dict({"learner": {"name": name}}, where="here")
    assert from_dict(to_dict(found), where="again") == found


def test_none_is_left_out() -> None:
    found: dict[str, Any] = to_dict(from_dict({"learner": {"name": "leo"}}, where="here"))
    assert "network" not in found["learner"]
    assert "patience" not in found["meta"]
    assert isinstance(from_dict(found, where="again").settings, leo.LEOConfig)


def test_settings_do_not_change_after_they_were_made() -> None:
    config = MetaConfig()
    with pytest.raises(AttributeError):
        config.lr = 1.0  # type: ignore[misc]
