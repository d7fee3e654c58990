"""Settings: recipes, overrides, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from handful.trainer.learners import LEARNERS, leo, maml
from handful.trainer.listing import RECIPES
from handful.trainer.settings.errors import ConfigError, DataError
from handful.trainer.training.config import MetaConfig, from_dict, from_toml, to_dict

from ..each import each

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
    config = from_toml(TEXT, where="mine.toml")
    assert config.learner == "maml"
    assert isinstance(config.settings, maml.MAMLConfig)
    assert (config.settings.inner_lr, config.settings.network.filters) == (1.0, 32)
    assert type(config.settings.inner_lr) is float
    assert (config.meta.way, config.meta.shot) == ((5,), (1, 5))
    assert config.pretrain is None


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
    config = from_toml(TEXT, where="mine.toml", changes=changes)
    assert (config.meta.lr, config.meta.way) == (0.01, (5, 20))
    assert (config.settings.head, config.settings.first_order) == ("shared", True)
    assert config.settings.network.halving == "max"
    assert config.pretrain is not None
    assert config.pretrain.steps == 3
    assert (config.data.source, config.data.path) == ("some/folder", Path("some/place"))


def test_a_section_given_in_part_keeps_the_learners_own_defaults() -> None:
    """MAML's network is strided and reads the support set's statistics; a plain one does not."""
    network = from_toml(TEXT, where="mine.toml").settings.network
    assert (network.filters, network.halving, network.normalisation) == (32, "stride", "support")


def test_later_overrides_win() -> None:
    config = from_toml(TEXT, where="mine.toml", changes=["meta.lr=1", "meta.lr=2"])
    assert config.meta.lr == 2.0


NAMES = ", ".join(LEARNERS)
SECTIONS = "credit, data, learner, licence, meta, pretrain"
OF_MAML = (
    "adapt_only, by_count, centred, clip, evaluation_steps, first_order, head, head_lr, inner_lr,"
    " inner_steps, multi_step_loss, network, rates, whitened"
)
REFUSED: list[tuple[str, list[str], str, str | None]] = [
    ("[learner", [], "mine.toml is not TOML: Expected ']' at the end of a table declaration"
     " (at end of document)", None),
    ("", [], "no learner in mine.toml", f"add a section [learner] with a line name = \"…\","
     f" one of: {NAMES}"),
    ("learner = 'leo'", [], "mine.toml: learner is 'leo', wanted a section",
     f"add a section [learner] with a line name = \"…\", one of: {NAMES}"),
    ("[learner]\nname = 'wolf'", [], "mine.toml: there is no learner wolf",
     f"there are: {NAMES}, or module:Class of your own"),
    ("[learner]\nname = ['leo']", [], "mine.toml: there is no learner ['leo']",
     f"did you mean leo? there are: {NAMES}, or module:Class of your own"),
    (TEXT, ["learner.inner_step=1"], "mine.toml: there is no setting learner.inner_step",
     f"did you mean learner.inner_steps? there are: {OF_MAML}"),
    (TEXT, ["learner.network.flters=8"], "mine.toml: there is no setting learner.network.flters",
     "did you mean learner.network.filters? there are:"
     " filters, halving, halvings, hidden, kind, normalisation, pixels, readout, standardise,"
     " views"),
    (TEXT, ["inner_steps=1"], "mine.toml: there is no setting inner_steps",
     f"did you mean learner.inner_steps? there are: {SECTIONS}"),
    (TEXT, ["mata.lr=1"], "mine.toml: there is no setting mata",
     f"did you mean meta? there are: {SECTIONS}"),
    (TEXT, ["learner.xyz=1"], "mine.toml: there is no setting learner.xyz",
     f"there are: {OF_MAML}"),
    (TEXT, ["data=3"], "mine.toml: data is 3, wanted a section", None),
    (TEXT, ["pretrain=true"], "mine.toml: pretrain is true, wanted a section", None),
    (TEXT, ["meta.steps=1.5"], "mine.toml: meta.steps is 1.5, wanted a whole number", None),
    (TEXT, ["meta.steps=1.0"], "mine.toml: meta.steps is 1.0, wanted a whole number", None),
    (TEXT, ["meta.steps=true"], "mine.toml: meta.steps is true, wanted a whole number", None),
    (TEXT, ["meta.steps='1'"], 'mine.toml: meta.steps is "1", wanted a whole number', None),
    (TEXT, ["meta.lr=fast"], 'mine.toml: meta.lr is "fast", wanted a number', None),
    (TEXT, ["meta.lr=true"], "mine.toml: meta.lr is true, wanted a number", None),
    (TEXT, ["meta.way=[5, 'x']"], 'mine.toml: meta.way[1] is "x", wanted a whole number', None),
    (TEXT, ["meta.way=x"], 'mine.toml: meta.way is "x", wanted a whole number', None),
    (TEXT, ["learner.first_order=1"],
     "mine.toml: learner.first_order is 1, wanted true or false", None),
    (TEXT, ["data.source=3"], "mine.toml: data.source is 3, wanted text", None),
    (TEXT, ["data.path=3"], "mine.toml: data.path is 3, wanted text", None),
    (TEXT, ["data.source=2020-01-02"], "mine.toml: data.source is 2020-01-02, wanted text", None),
    (TEXT, ["data=12:30:00"], "mine.toml: data is 12:30:00, wanted a section", None),
    (TEXT, ["learner.head=both"],
     'mine.toml: learner.head is "both", wanted "fixed" or "shared"', None),
    (TEXT, ["learner.network.kind=conv-4"],
     'mine.toml: learner.network.kind is "conv-4", wanted "conv4", "conv1d", "trace", "resnet12",'
     ' "residual" or "mlp"',
     'did you mean learner.network.kind = "conv4"?'),
    (TEXT, ["learner.network=conv4"],
     'mine.toml: learner.network is "conv4", wanted a section', None),
    (TEXT, ["meta.lr"], "a setting is written name=value, found: meta.lr", None),
    (TEXT, ["meta..lr=1"], "a setting is written name=value, found: meta..lr=1", None),
    (TEXT, ["meta.lr.x=1", "meta.lr.x.y=2"],
     "meta.lr.x is not a section, in: meta.lr.x.y=2", None),
    (TEXT, ["meta.tasks=0"], "mine.toml: meta.tasks is 0, wanted 1 or more", None),
    (TEXT, ["meta.steps=-1"], "mine.toml: meta.steps is -1, wanted 0 or more", None),
    (TEXT, ["meta.lr=0"], "mine.toml: meta.lr is 0.0, wanted more than 0", None),
    (TEXT, ["pretrain.objective=cosin"],
     'mine.toml: pretrain.objective is "cosin", wanted "prototypical", "softmax" or "cosine"',
     'did you mean pretrain.objective = "cosine"?'),
    (TEXT, ["meta.objective=softmax"], "mine.toml: there is no setting meta.objective",
     "did you mean pretrain.objective? there are: batching, chunk, clip_norm,"
     " clip_value, distort, empty, hearing, lr, optimiser, partial, queries, rounds, schedule,"
     " seed, shot, signal, steps, tasks, validate_every, validation_episodes, validation_queries,"
     " validation_shot, validation_way, validation_within, way, within, within_groups"),
    (TEXT, ["pretrain.lr=0"], "mine.toml: pretrain.lr is 0.0, wanted more than 0", None),
    (TEXT, ["meta.lr=nan"], "mine.toml: meta.lr is nan, wanted more than 0", None),
    (TEXT, ["meta.lr=inf"], "mine.toml: meta.lr is inf, wanted a finite number", None),
    (TEXT, ["meta.clip_norm=-1"], "mine.toml: meta.clip_norm is -1.0, wanted more than 0", None),
    (TEXT, ["meta.validation_way=1"],
     "mine.toml: meta.validation_way is 1, wanted 2 or more", None),
    (TEXT, ["meta.way=1"], "mine.toml: meta.way is [1], wanted 2 or more", None),
    (TEXT, ["meta.shot=[1, 0]"], "mine.toml: meta.shot is [1, 0], wanted 1 or more", None),
    (TEXT, ["meta.shot=[]"], "mine.toml: meta.shot is [], wanted one number or more", None),
    (TEXT, ["meta.seed=9223372036854775808"], "mine.toml: meta.seed is 9223372036854775808,"
     " wanted less than 9223372036854775808", None),
    (TEXT, ["data.seed=9223372036854775808"], "data.seed is 9223372036854775808,"
     " wanted less than 9223372036854775808", None),
    (TEXT, ["learner.network.filters=0"],
     "mine.toml: learner.network.filters is 0, wanted 1 or more", None),
    (TEXT, ["learner.inner_steps=0"],
     "mine.toml: learner.inner_steps is 0, wanted 1 or more", None),
    (TEXT, ["learner.network.normalisation=group", "learner.network.filters=12"],
     "mine.toml: learner.network.filters is 12,"
     ' wanted multiples of 8 with normalisation = "group"', None),
    (TEXT, ["learner.adapt_only=head"], 'mine.toml: learner.network.normalisation is "support",'
     " but a frozen network embeds each example by itself",
     "set learner.network.normalisation to running, group, layer or none"),
    ("[learner]\nname = 'leo'\ndropout = 1", [],
     "mine.toml: learner.dropout is 1.0, wanted less than 1", None),
    ("[learner]\nname = 'leo'\nlatent_dim = 0", [],
     "mine.toml: learner.latent_dim is 0, wanted 1 or more", None),
    ("[learner]\nname = 'nearest'\ntemperature = 0", [],
     "mine.toml: learner.temperature is 0.0, wanted more than 0", None),
    ("[learner]\nname = 'ridge'\ntrain_network = true", [],
     "mine.toml: learner.train_network is true, but there is no network",
     "set learner.network.kind"),
    ("[learner]\nname = 'ridge'\ntrain_network = true\n[learner.network]\nfilters = 8", [],
     'mine.toml: learner.metric is "cosine", which is fixed before a network is trained',
     'set learner.metric = "euclidean", or learner.train_network = false'),
    ("[learner]\nname = 'baseline'\ndampening = 1.0", [],
     "mine.toml: learner.dampening is 1.0, wanted less than 1", None),
]  # fmt: skip


@each(("text", "changes", "message", "hint"), REFUSED)
def test_what_is_refused(text: str, changes: list[str], message: str, hint: str | None) -> None:
    with pytest.raises((ConfigError, DataError)) as caught:
        from_toml(text, where="mine.toml", changes=changes)
    assert str(caught.value) == message
    assert caught.value.hint == hint


@each("path", sorted(RECIPES.glob("*.toml")))
def test_every_recipe_is_read_and_comes_back_the_same(path: Path) -> None:
    config = from_toml(path.read_text(), where=path.name)
    # of persons' data: recipes are named by what they adapt to
    assert config.learner in path.stem or path.stem.endswith("-personal")
    assert from_dict(to_dict(config), where="again") == config


def test_there_are_recipes_for_both_main_learners() -> None:
    names = {path.stem for path in RECIPES.glob("*.toml")}
    assert {"omniglot-leo", "omniglot-maml"} <= names


@each("name", LEARNERS)
def test_a_learner_with_nothing_set_comes_back_the_same(name: str) -> None:
    config = from_dict({"learner": {"name": name}}, where="here")
    assert from_dict(to_dict(config), where="again") == config


def test_none_is_left_out() -> None:
    plain: dict[str, Any] = to_dict(from_dict({"learner": {"name": "leo"}}, where="here"))
    assert "network" not in plain["learner"]
    assert "clip_norm" not in plain["meta"]
    assert isinstance(from_dict(plain, where="again").settings, leo.LEOConfig)


def test_settings_do_not_change_after_they_were_made() -> None:
    config = MetaConfig()
    with pytest.raises(AttributeError):
        config.lr = 1.0  # type: ignore[misc]
