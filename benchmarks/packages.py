"""The shipped packages beside what they have to beat, from their manifests, for RESULTS.md.

`handful export` measures on the way, and this script computes nothing; `handful evaluate NAME`
repeats the accuracy. Everything that was measured on a package stands in its card.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from handful.runtime.package.decode import read_manifest
from handful.runtime.package.files import write_atomic
from handful.runtime.package.manifest import Evaluation
from handful.runtime.package.read import find, shipped
from handful.runtime.tools.text import ERROR, difference, mean
from handful.trainer.episodes import TaskSize
from handful.trainer.export.card import is_start, is_step, markdown_table

PAGE = Path(__file__).parent / "RESULTS.md"
SECTION = re.compile(r"(<!-- packages -->\n).*?(\n<!-- /packages -->)", re.DOTALL)


def section() -> str:
    """Classification, then regression: a table each."""
    measured = [(name, e) for name in shipped() for e in read_manifest(find(name)).evaluation]
    classified = [(name, e) for name, e in measured if e.accuracy is not None]
    fitted = [(name, e) for name, e in measured if e.accuracy is None]
    return "\n\n".join([table("accuracy %", classified), table(ERROR, fitted)])


def table(measure: str, measured: list[tuple[str, Evaluation]]) -> str:
    """A row for each package and size; beside each rival the gain over it with its interval."""
    names = dict.fromkeys(c.name for _, evaluation in measured for c in evaluation.compared)
    rivals = [name for name in names if not is_step(name)]
    head = ("package", "task", measure, *(f"ahead of {name}" for name in rivals), "by inner steps")
    return markdown_table(head, [row(name, evaluation, rivals) for name, evaluation in measured])


def row(name: str, evaluation: Evaluation, rivals: list[str]) -> tuple[str, ...]:
    """One package at one size; of its inner steps what all of them gain over none."""
    gains = {c.name: difference(c) for c in evaluation.compared}
    return (
        f"[{name}](../exported/{name}/README.md)",
        str(TaskSize(evaluation.way, evaluation.shot, 1)),
        mean(evaluation),
        *(gains.get(rival, "") for rival in rivals),
        next((gain for rival, gain in gains.items() if is_start(rival)), ""),
    )


def main() -> None:
    """Write the section of RESULTS.md."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    text = PAGE.read_text(encoding="utf-8")
    write_atomic(PAGE, SECTION.sub(lambda m: f"{m[1]}\n{section()}\n{m[2]}", text).encode())


if __name__ == "__main__":
    main()
