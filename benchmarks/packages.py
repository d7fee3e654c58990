"""The shipped packages beside what they have to beat, from their manifests, for RESULTS.md.

What adapting gains, on the README's first screen, is a choice of these rows. `handful export`
measures on the way, and this script computes nothing; `handful evaluate NAME` repeats the accuracy.
Everything that was measured on a package stands in its card.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from handful.runtime.package.decode import read_manifest
from handful.runtime.package.files import write_atomic
from handful.runtime.package.manifest import Comparison, Evaluation
from handful.runtime.package.read import find, list_shipped
from handful.runtime.tools.text import ERROR, MEASURED_AS, difference, mean, value
from handful.trainer.data.environments import Rollouts
from handful.trainer.episodes import TaskSize
from handful.trainer.evaluation.accuracy import NOTHING
from handful.trainer.evaluation.returns import OF_ROLLOUTS
from handful.trainer.export.card import is_start, is_step, markdown_table

PAGE = Path(__file__).parent / "RESULTS.md"
SECTION = re.compile(r"(<!-- packages -->\n).*?(\n<!-- /packages -->)", re.DOTALL)
SCREEN = PAGE.parents[1] / "README.md"
GAINS = re.compile(r"(<!-- adapting -->\n).*?(\n<!-- /adapting -->)", re.DOTALL)
EXPERT = "an expert who is told mass, gain and friction"
LEAST_SQUARES = "least squares on the support set"
# what is adapted, and how it is measured; its package, way and shot; what begins the name of the
# simplest rival on the same episodes; at most six rows
ADAPTING = (
    ("a sensor, 5 known values", "sensor-maml", 1, 5, LEAST_SQUARES),
    ("[a cart](docs/policies.md), 20 rollouts", "cart-maml", 1, 20, EXPERT),
)
SHORT = re.compile(" o| who")  # what a rival is called ends before it
SAID = {"classification": "% right", "regression": "error", "policy": "return"}

# of named classes: what is told apart, and its package
PERSONAL = (
    ("eight gestures, a forearm", "myo-personal"),
    ("five activities, phone or watch", "activity-personal"),
    ("forty words, spoken", "words-personal"),
)
FEW, MORE = 1, 5  # examples of each class


def section() -> str:
    """Classification of new classes, of named ones, regression, and policies: a table each."""
    measured = [
        (name, e)
        for name in list_shipped()
        for e in read_manifest(find(name)).evaluation
        if e.split == "meta_test"  # official runs have tables of their own
    ]
    named = [(n, e) for n, e in measured if any(c.name == NOTHING for c in e.compared)]
    classified = [(n, e) for n, e in measured if e.accuracy is not None and (n, e) not in named]
    fitted = [(name, e) for name, e in measured if e.mean_squared_error is not None]
    acting = [(name, e) for name, e in measured if e.mean_return is not None]
    tables = (("accuracy %", classified), ("accuracy %", named), (ERROR, fitted))
    return "\n\n".join(table(*one) for one in (*tables, (MEASURED_AS["policy"], acting)))


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
        size_of(evaluation),
        mean(evaluation),
        *(gains.get(rival, "") for rival in rivals),
        next((gain for rival, gain in gains.items() if is_start(rival)), ""),
    )


def size_of(evaluation: Evaluation) -> str:
    """The size of its tasks, as people say it."""
    if evaluation.mean_return is not None:
        return str(Rollouts(1, evaluation.shot, 1))
    return str(TaskSize(evaluation.way, evaluation.shot, 1, evaluation.given))


def gains() -> str:
    """What adapting gains: before its inner steps, after them, and the simplest rival."""
    head = ("what, from how many examples", "with", "before", "after", "simplest rival")
    persons = (
        "a person never seen (% right)",
        "for everybody",
        f"{FEW} example each",
        f"{MORE}",
        f"best cheap rule, {FEW} / {MORE}",
    )
    return "\n\n".join(
        [
            markdown_table(persons, [personal_gain(*chosen) for chosen in PERSONAL]),
            markdown_table(head, [gain(*chosen) for chosen in ADAPTING]),
        ]
    )


def personal_gain(what: str, name: str) -> tuple[str, ...]:
    """One row: before any example, after one and after five of each class, and the best rival.

    Everybody's classifier is the better of the two that were measured; the best rule at each size
    is chosen on these very tasks, in the rules' favour.
    """
    of_shot = {e.shot: e for e in read_manifest(find(name)).evaluation if e.given is None}
    before = [c for c in of_shot[FEW].compared if c.name.endswith(NOTHING)]
    rules = [
        max((c for c in of_shot[shot].compared if is_rule(c)), key=by_value) for shot in (FEW, MORE)
    ]
    return (
        f"[{what}](exported/{name}/README.md)",
        value(max(before, key=by_value)),
        *(f"**{mean(of_shot[shot])}**" for shot in (FEW, MORE)),
        " / ".join(map(value, rules)),
    )


def is_rule(compared: Comparison) -> bool:
    """Whether it is a rule on examples, and not the package itself after fewer steps."""
    return not (compared.name.endswith(NOTHING) or is_step(compared.name))


def by_value(compared: Comparison) -> float:
    """What to sort rivals by."""
    return compared.value


def gain(what: str, name: str, way: int, shot: int, rival: str) -> tuple[str, ...]:
    """One row; an accuracy in percent, or a mean squared error."""
    measured = read_manifest(find(name)).evaluation
    (found,) = (e for e in measured if (e.way, e.shot) == (way, shot))
    (before,) = (c for c in found.compared if is_start(c.name) or c.name == f"0 {OF_ROLLOUTS}")
    (other,) = (c for c in found.compared if c.name.startswith(rival))
    return (
        f"{what} ({SAID[read_manifest(find(name)).task]})",
        f"[{name}](exported/{name}/README.md)",
        value(before),
        f"**{mean(found)}**",
        f"{value(other)}, {SHORT.split(other.name)[0]}",
    )


def main() -> None:
    """Write the section of RESULTS.md and the README's table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for page, part, written in ((PAGE, SECTION, section()), (SCREEN, GAINS, gains())):
        text = page.read_text(encoding="utf-8")
        filled = part.sub(lambda m, new=written: f"{m[1]}\n{new}\n{m[2]}", text)  # type: ignore[misc]
        write_atomic(page, filled.encode())


if __name__ == "__main__":
    main()
