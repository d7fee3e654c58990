"""Writes the trees of README and architecture page from files' first sentences; --check compares.

`python docs/tree.py` brings both up to date. A folder is described by its `__init__.py`, those
beside the code are described here.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
START, END = "<!-- tree -->\n", "<!-- /tree -->"
WIDTH = 28  # of the names, where the sentences begin
CODE = ("trainer", "runtime")
BESIDE = {
    "web": "the runtime in JavaScript, for browsers and Node, and pages to try it on",
    "exported": "packages that ship with the project, each a folder",
    "examples": "programs for a device, and a learner of your own",
    "docs": "these pages, and the script that draws the tree",
    "benchmarks": "every number with the script that made it",
    "tests": "equations, gradients, properties, contract, hostile files, messages",
}


def first_sentence(file: Path) -> str:
    """The first sentence of the file's docstring, without its full stop."""
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(doc.partition("\n\n")[0].split())
    return re.split(r"(?<!\bal)\. ", paragraph, maxsplit=1)[0].removesuffix(".")


def walk(folder: Path, depth: int) -> Iterator[str]:
    """A line for the folder, its files and its folders, in order of name."""
    yield line(f"{folder.name}/", first_sentence(folder / "__init__.py"), depth)
    for file in sorted(folder.glob("*.py")):
        if file.name != "__init__.py":
            yield line(file.name, first_sentence(file), depth + 1)
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").is_file():
            yield from walk(inner, depth + 1)


def line(name: str, sentence: str, depth: int, width: int = WIDTH) -> str:
    """`  name   sentence`; the sentences begin in one column."""
    return f"{'  ' * depth}{name}".ljust(width) + f" {sentence}"


def fenced(lines: list[str]) -> str:
    """A block that stands between the two marks."""
    return "```\n" + "\n".join(lines) + "\n```\n"


def tree() -> str:
    """Every file, and below the folders beside the code."""
    lines = [found for part in CODE for found in walk(ROOT / part, 0)]
    lines += [line(file.name, first_sentence(file), 0) for file in sorted(ROOT.glob("*.py"))]
    return fenced(lines + [line(f"{name}/", words, 0) for name, words in BESIDE.items()])


def rooms() -> str:
    """The folders alone."""
    described = {part: first_sentence(ROOT / part / "__init__.py") for part in CODE} | BESIDE
    return fenced([line(f"{name}/", words, 0, 12) for name, words in described.items()])


def written(page: str, block: str) -> str:
    """The page with the tree as the files have it now."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + START + block + END + after


def main() -> None:
    """Write both pages, or say which is out of date."""
    for name, block in (("docs/architecture.md", tree()), ("README.md", rooms())):
        page = (ROOT / name).read_text(encoding="utf-8")
        if "--check" not in sys.argv:
            (ROOT / name).write_text(written(page, block), encoding="utf-8")
        elif page != written(page, block):
            sys.exit(f"{name}: the tree is out of date; run: python docs/tree.py")


if __name__ == "__main__":
    main()
