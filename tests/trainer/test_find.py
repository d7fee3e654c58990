"""Learners by import path: found in the current folder, refused in words where there is none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from handful.cli import main
from handful.trainer.commands.train import Request
from handful.trainer.commands.train import _config as resumed
from handful.trainer.data.record import DataRecord, to_json
from handful.trainer.data.splits import PARTS
from handful.trainer.learners import find_learner
from handful.trainer.learners.leo import LEO
from handful.trainer.learners.prototypical import Prototypical
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.config import data_from_dict, from_dict, from_toml, to_dict
from handful.trainer.training.folder import read_config, write_config
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


def test_a_runs_folder_has_nothing_imported_without_trust(tmp_path: Path, module: str) -> None:
    """As the cases are that were tried: a learner, a source of data, and a pre-training."""
    mark = tmp_path / "ran"
    Path("evil.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n{MODULE}")
    runs = {
        "run": {"learner": {"name": "evil:Mine"}},
        "functions": {"learner": {"name": "maml"}, "data": {"source": "evil:Mine"}},
    }
    nothing = to_json(DataRecord(parts={part: {} for part in PARTS}))
    for name, settings in runs.items():
        Path(name).mkdir()
        Path(name, "config.json").write_text(json.dumps(settings))
        Path(name, "data.json").write_text(json.dumps(nothing))
    commands = [
        "evaluate run",
        "compare run",
        "export run out",
        "train --resume --out run",
        "train maml --pretrained run --out new",
        "evaluate functions",
        "compare functions",
        "train --resume --out functions",
    ]
    for line in commands:
        done = CliRunner().invoke(main, line.split())
        assert (done.exit_code, mark.exists()) == (1, False), line
        assert "names code of its own, evil:Mine: reading it would run the module evil" in (
            done.stderr
        ), line
        assert done.stderr.endswith(
            "hint: if you know what that module does, say so with --trust\n"
        ), line
    try:
        for line in commands:
            if "functions" in line:
                continue
            sys.modules.pop("evil", None)
            mark.unlink(missing_ok=True)
            done = CliRunner().invoke(main, [*line.split(), "--trust"])
            assert (mark.exists(), done.exit_code) == (True, 1), line  # the run is not whole
            assert "names code of its own" not in done.stderr, line
        assert read_config(Path("run")).learner == "evil:Mine"  # it is imported now
    finally:
        sys.modules.pop("evil", None)


def test_a_recipe_that_is_given_again_is_the_users_own_word(module: str, tmp_path: Path) -> None:
    """It names what the run names; nothing else of the run's does."""
    config = from_dict({"learner": {"name": f"{module}:Mine"}}, where="mine.toml")
    (tmp_path / "run").mkdir()
    write_config(config, tmp_path / "run")
    del sys.modules[module]
    with pytest.raises(ConfigError, match="names code of its own"):
        read_config(tmp_path / "run")
    Path("mine.toml").write_text(f'[learner]\nname = "{module}:Mine"\n')
    request = Request(recipe="mine.toml", resume=True)
    assert resumed(tmp_path / "run", request).learner == f"{module}:Mine"
