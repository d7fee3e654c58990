"""Sections of RESULTS.md, each written by its script between two markers."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

from handful.runtime.package.files import write_atomic
from handful.trainer.training.folder import versions

FILE = Path(__file__).parent / "RESULTS.md"


def section(name: str, command: str, markdown: str) -> None:
    """Replace the section `name`, noting command, versions and commit."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=FILE.parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    installed = ", ".join(f"{k} {v}" for k, v in versions().items())
    note = f"`{command}`; {installed}; {platform.machine()}; commit {commit or 'unknown'}"
    body = f"<!-- {name} -->\n{markdown.strip()}\n\n{note}\n<!-- /{name} -->"
    text = FILE.read_text(encoding="utf-8")
    pattern = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
    text = pattern.sub(lambda _: body, text) if pattern.search(text) else f"{text}\n{body}\n"
    write_atomic(FILE, text.encode())
