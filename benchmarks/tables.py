"""The tables of results/: each file is written by the script that measures it, and by no hand."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

from handful.runtime.package.files import write_atomic
from handful.trainer.training.folder import versions

FOLDER = Path(__file__).parent / "results"


def write_table(name: str, title: str, command: str, markdown: str) -> None:
    """Write results/NAME.md: the title, the Markdown, then command, versions and commit."""
    FOLDER.mkdir(exist_ok=True)
    text = f"# {title}\n\n{markdown.strip()}\n\n{_origin(command)}\n"
    write_atomic(FOLDER / f"{name}.md", text.encode())


def write_section(page: Path, name: str, markdown: str) -> None:
    """Put Markdown between the marks `<!-- NAME -->` and `<!-- /NAME -->` of a page."""
    marks = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
    old = page.read_text(encoding="utf-8")
    if not marks.search(old):
        raise SystemExit(f"{page} has no <!-- {name} --> with its end")
    new = marks.sub(lambda found: f"{found[1]}\n{markdown}\n{found[2]}", old)
    write_atomic(page, new.encode())


def _origin(command: str) -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    installed = ", ".join(f"{k} {v}" for k, v in versions().items())
    return f"`{command}`; {installed}; {platform.machine()}; commit {commit or 'unknown'}"
