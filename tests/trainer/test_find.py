"""Learners by import path: found in the current folder, refused in words where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from handful.trainer.learners import find_learner
from handful.trainer.learners.leo import LEO
from handful.trainer.learners.prototypical import Prototypical
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.config import data_from_dict, from_dict, from_toml, to_dict
from handful.trainer.training.recipes import read_recipe

MODULE = """
import dataclasses
from handful.trainer.learners.prototypical import Prototypical

@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    width: int = 3

class Mine(Prototypical):
    name = "mine"
    Config = Settings

class Unfinished(Mine):
    Config = 3

from handful.trainer.learners import Learner

class Empty(Learner):
    pass

class Nameless(Empty):
    def init(self, generator): return {}
    def stages(self, *, training=False): return ()
    def predict(self, params, state, query_x): return query_x

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, which is not on the path of imports."""
    name = f"module_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return name


def test_a_name_is_one_of_ours_and_a_path_is_imported(module: str) -> None:
    assert find_learner("leo", where="here") is LEO
    kind = find_learner(f"{module}:Mine", where="here")
    assert (kind.name, issubclass(kind, Prototypical)) == ("mine", True)
    assert find_learner(f"{module}:Mine", where="here") is kind


def test_a_recipe_and_the_command_line_name_it_alike(module: str) -> None:
    config = from_toml(
        f'[learner]\nname = "{module}:Mine"', where="mine.toml", changes=["learner.width=7"]
    )
    assert (config.learner, config.settings.width) == (f"{module}:Mine", 7)
    assert read_recipe(f"{module}:Mine", ["learner.width=7"]) == config
    assert from_dict(to_dict(config), where="config.json") == config


FORM = "a learner of your own is a subclass of Learner: see docs/own-learner.md"
WRONG = [
    ("{m}:", "{m}: is no import path of a learner",
     "write module:Class, as my_module:MyClass for a class in my_module.py"),
    ("{m}.py:Mine()", "{m}.py:Mine() is no import path of a learner",
     "write module:Class, as my_module:MyClass for a class in my_module.py"),
    ("no_such.module:Mine", "there is no module no_such.module",
     "give the command in the folder that holds it, or install it"),
    ("{m}:Yours", "{m} has no learner Yours", FORM),
    ("{m}:number", "{m} has no learner number", FORM),
    ("{m}:Settings", "{m} has no learner Settings", FORM),
    ("{m}:Empty", "Empty does not have init, predict, stages", FORM),
    ("{m}:Nameless", "Nameless has no name",
     'give the class a line name = "my-learner", which packages show'),
    ("{m}:Unfinished", "Unfinished has no Config",
     "give the class its settings, a frozen dataclass: Config = MyConfig"),
]  # fmt: skip


def test_what_is_no_learner_is_refused(module: str) -> None:
    for name, message, hint in WRONG:
        with pytest.raises(ConfigError) as caught:
            find_learner(name.format(m=module), where="mine.toml")
        assert str(caught.value) == f"mine.toml: {message.format(m=module)}"
        assert caught.value.hint == hint


BROKEN = [
    ("import torch\n\n1 / 0\n", "ZeroDivisionError: division by zero (broken_{n}.py, line 3)"),
    ("import no_such\n", "ModuleNotFoundError: No module named 'no_such' (broken_{n}.py, line 1)"),
    ("class :\n", "SyntaxError: invalid syntax (broken_{n}.py, line 1)"),
]


def test_a_module_that_fails_says_where(module: str) -> None:
    for n, (text, message) in enumerate(BROKEN):
        name = f"broken_{n}"
        Path(f"{name}.py").write_text(text)
        with pytest.raises(ConfigError) as caught:
            find_learner(f"{name}:Mine", where="mine.toml")
        assert str(caught.value) == f"mine.toml: {name} cannot be imported: {message.format(n=n)}"
        assert caught.value.hint == "put it right there: the module's own code failed"


def test_a_packages_data_are_read_without_its_learner(module: str) -> None:
    """A package may come from anybody: evaluating it must not import what it names."""
    Path("trap.py").write_text("raise SystemExit('imported')")
    config = {"learner": {"name": "trap:Mine"}, "data": {"source": "glyphs", "rotations": False}}
    data = data_from_dict(config, where="manifest.json")
    assert (data.source, data.rotations) == ("glyphs", False)
    assert "trap" not in sys.modules
