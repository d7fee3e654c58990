"""Writes the tree on the architecture page from the first sentence of every file; --check compares.

`python docs/tree.py` brings the page up to date. A folder is described by its `__init__.py`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- tree -->\n", "<!-- /tree -->"
PARTS = ("trainer", "runtime")
WIDTH = 28  # of the names, where the sentences begin


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


def line(name: str, sentence: str, depth: int) -> str:
    """`  name   sentence`; the sentences begin in one column."""
    return f"{'  ' * depth}{name}".ljust(WIDTH) + f" {sentence}"


def tree() -> str:
    """The block that stands between the two marks."""
    lines = [*walk(ROOT / "trainer", 0), *walk(ROOT / "runtime", 0)]
    lines += [line(file.name, first_sentence(file), 0) for file in sorted(ROOT.glob("*.py"))]
    return "```\n" + "\n".join(lines) + "\n```\n"


def written(page: str) -> str:
    """The page with the tree as the files have it now."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + START + tree() + END + after


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    if "--check" not in sys.argv:
        PAGE.write_text(written(page), encoding="utf-8")
    elif page != written(page):
        sys.exit("docs/architecture.md: the tree is out of date; run: python docs/tree.py")
