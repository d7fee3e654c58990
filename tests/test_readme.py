"""The tree of the architecture page, and the README's links, commands and Python, are true."""

from __future__ import annotations

import ast
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import handful
from handful.cli import main

from .each import each

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = ("runtime", "trainer", "examples")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("benchmarks/*.md")])


def blocks(kind: str, text: str = README) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """The lines of the shell blocks that call handful, without their comments."""
    lines = [line for block in blocks("sh", text) for line in block.splitlines()]
    split = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in split if words[:1] == ["handful"]]


def test_the_tree_is_that_of_the_files() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "docs" / "tree.py", "--check"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


@each("page", PAGES)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"(?:\]\(|src=\")([^)#\"]+)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_anchor_is_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    broken = [
        f"{target}#{anchor}"
        for target, anchor in links
        if anchor not in anchors(page.parent / target if target else page)
    ]
    assert broken == []


def test_a_table_begins_after_a_blank_line() -> None:
    """Or it runs on from the table or the paragraph above it."""
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if re.fullmatch(r"\|( *:?-+:? *\|)+", line):
                assert number < 2 or not lines[number - 2].strip(), f"{page}:{number}"


def test_every_name_on_the_page_of_the_api_is_there() -> None:
    names = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE)
    assert len(names) > 20
    for name in names:
        assert pkgutil.resolve_name(name) is not None  # an AttributeError where it is not there


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    text = index.read_text(encoding="utf-8")
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#]+)", text)}
    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked


def test_nothing_is_installed_that_no_index_has() -> None:
    """Until there is a release, hints and pages install from a clone."""
    code = [*ROOT.glob("*.py"), *(path for part in CODE for path in (ROOT / part).rglob("*.py"))]
    for path in (*PAGES, *code):
        assert not re.search(r"pip install '?handful", path.read_text(encoding="utf-8")), path


def test_the_first_screen_is_short() -> None:
    """It fits a screen: under 850 words, at most six rows of gains, eight lines of Python."""
    assert len(README.split()) < 850
    (gains,) = re.findall(r"<!-- adapting -->(.*)<!-- /adapting -->", README, re.DOTALL)
    assert 1 <= len(re.findall(r"^\| [^-w]", gains, re.MULTILINE)) <= 6
    (code,) = blocks("python")
    assert len(code.splitlines()) <= 8


def test_the_readme_adapts() -> None:
    (code,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(handful.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"print\(.*\)  # (.*)", code)


@each("page", PAGES)
def test_every_python_block_is_python(page: Path) -> None:
    for block in blocks("python", page.read_text(encoding="utf-8")):
        ast.parse(block.replace("…", "..."))


@each("page", PAGES)
def test_every_command_line_is_one_that_the_command_takes(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        assert words[0] in main.commands, words
        command = main.commands[words[0]]
        command.make_context(
            words[0], list(words[1:]), parent=click.Context(main, **main.context_settings)
        )


def test_every_command_is_on_its_page() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert {words[0] for words in commands(page)} == set(main.commands)
    for name, command in main.commands.items():
        for option in (p for p in command.params if isinstance(p, click.Option)):
            assert option.opts[0] in page, f"{name} {option.opts[0]}"


@pytest.mark.slow
def test_the_readmes_training_runs_on_glyphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train, evaluate, export = [
        words for words in commands(README) if words[0] in ("train", "evaluate", "export")
    ]
    small = [
        *("--data", "glyphs", "--set", "pretrain.steps=20", "--set", "meta.steps=5"),
        *("--set", "pretrain.validation_episodes=5", "--set", "meta.validation_episodes=5"),
    ]
    for words in ([*train, *small], [*evaluate, "--episodes", "5"], [*export, "--episodes", "5"]):
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
    assert (tmp_path / "exported" / "my-leo" / "manifest.json").is_file()
