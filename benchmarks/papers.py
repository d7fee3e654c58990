"""Every learner beside its paper: published accuracies on Omniglot, re-implementations', ours.

`python benchmarks/papers.py NAME RUN` measures a run of a learner of papers.toml on Vinyals' test
classes with rotations, non-transductive and, where its paper is, transductive
as well, and keeps the result in learners/papers.json. Without arguments it only writes: the table
of all into results/papers.md, and each learner's rows into its page of docs/learners. Of learners
that are not trained at length the rows are those of results/learners-omniglot-ways.md.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tables import write_section, write_table

from handful.runtime.package.files import write_atomic
from handful.trainer.commands.subjects import Plan, RunSubject
from handful.trainer.evaluation import Result
from handful.trainer.export.card import markdown_table
from handful.trainer.training.checkpoint import LAST, read_checkpoint
from handful.trainer.training.folder import read_config

HERE = Path(__file__).parent
PUBLISHED, MEASURED = HERE / "papers.toml", HERE / "learners" / "papers.json"
LEARNERS = HERE.parent / "docs" / "learners"
SHORT = HERE / "results" / "learners-omniglot-ways.md"  # trained for 150 steps from one network
SIZES = ((5, 1), (5, 5), (20, 1), (20, 5))
HEAD = ("learner", "whose", *(f"{way}-way {shot}-shot" for way, shot in SIZES), "tasks trained on")
INTRODUCTION = """Accuracy in % ± 95 %. Ours is measured on 1000 episodes of Vinyals' meta-test
classes with rotations, with 15 queries a class, where the row names no other numbers; no answer
depends on other queries but in the rows that say "transductive". A learner's parameters are those
of its best validation. The papers' splits of the characters differ from this one
(docs/learners)."""
OF_A_BATCH = ("support", "running")  # normalisations whose parameters serve a batch's moments too
Row = tuple[str, ...]


def measure(run: Path, plan: Plan, *, transductive: bool) -> dict[str, Any]:
    """Of each size, as "5-way 1-shot", accuracy and interval."""
    subject = RunSubject.of(run, plan)

    def count(*_: object) -> Any:
        return lambda: None

    found: list[Result] = subject.measure(plan, transductive=transductive, count=count)
    return {f"{r.way}-way {r.shot}-shot": [r.value, r.interval] for r in found}


def describe_run(
    name: str, run: Path, published: Mapping[str, Any], episodes: int
) -> dict[str, Any]:
    """What there is to say of a run: how far it was trained, and what it reaches."""
    config = read_config(run)
    meta, normalisation = config.meta, config.settings.network.normalisation
    plan = Plan(
        ways=tuple(published["ways"]),
        shots=(1, 5),
        queries=published.get("queries", 15),
        episodes=episodes,
        yardsticks=False,
    )
    found = {
        "steps": read_checkpoint(run / LAST)[1]["progress"]["step"],
        "tasks": meta.tasks,
        "of": meta.steps,
        "queries": plan.queries,
        "episodes": plan.episodes,
        "plain": measure(run, plan, transductive=False),
    }
    if "transductive" in published and normalisation in OF_A_BATCH:
        found["transductive"] = measure(run, plan, transductive=True)
    print(name, json.dumps(found), flush=True)
    return found


def rows(name: str, published: Mapping[str, Any], ours: Mapping[str, Any] | None) -> list[Row]:
    """Of one learner: its paper, re-implementations, and what was measured here."""
    budget = published.get("budget")
    trained = _count(budget) if budget else ""
    found: list[Row] = []
    for key, called in (("paper", published["about"]), ("transductive", published["about"])):
        if key in published:
            ending = ", transductive" if key == "transductive" and "paper" in published else ""
            found.append((name, called + ending, *published[key], trained))
    found += [(name, *other, "") for other in published.get("others", [])]
    if "earlier" in published:
        commit, command = published["earlier_commit"], published["command"]
        about = f"**ours** at commit {commit}, as `{command}` without distortions"
        found.append((name, about, *published["earlier"], _count(published["earlier_tasks"])))
    if ours is None:
        return found
    done = ours["steps"] * ours["tasks"]
    share = f" ({100 * done / budget:.2g} %)" if budget else ""
    told = _count(done) + share
    command = f"`{published['command']}`"
    if ours["steps"] < ours["of"]:
        told += f", at meta-step {ours['steps']} of {ours['of']}"
    asked = "" if ours["episodes"] == 1000 else f", {ours['episodes']} episodes"
    asked += "" if ours["queries"] == 15 else f", {ours['queries']} query a class"
    for key, called in (("plain", "**ours**"), ("transductive", "**ours**, transductive")):
        if key in ours:
            cells = [_cell(ours[key].get(f"{way}-way {shot}-shot")) for way, shot in SIZES]
            found.append((name, f"{called}, {command}{asked}", *cells, told))
    return found


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _cell(value: list[float] | None) -> str:
    return "" if value is None else f"{100 * value[0]:.2f} ± {100 * value[1]:.2f}"


def short_rows() -> list[Row]:
    """The learners trained for 150 steps from a prototypical network, and their papers."""
    found: list[Row] = []
    for line in SHORT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if len(cells) != 6 or "/" not in cells[5]:
            continue
        name, *accuracies, paper = cells
        figures = paper.split(" (")
        published, source = figures[0].split(" / "), figures[1:]
        about = "paper" + (f" ({source[0]}" if source else "")
        if name != "relation":  # trained at length
            found.append((name, about, *published, ""))
            ours = "**ours**, 150 steps from one network, 300 episodes"
            found.append((name, ours, *(cell.split(" (")[0] for cell in accuracies), ""))
    return found


def write_pages() -> None:
    """The table of all learners, and each learner's rows in its page."""
    published = tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    every = {name: rows(name, one, measured.get(name)) for name, one in published.items()}
    table = markdown_table(HEAD, [*(row for of_one in every.values() for row in of_one)])
    short = markdown_table(HEAD[:-1], [row[:-1] for row in short_rows()])
    text = "\n\n".join(
        [
            INTRODUCTION,
            table,
            "From the network of omniglot-prototypical"
            f" ([all of them, beside it]({SHORT.name}), `python benchmarks/all_learners.py`):",
            short,
        ]
    )
    write_table("papers", "Every learner beside its paper", "python benchmarks/papers.py", text)
    for page in {one.get("page", name) for name, one in published.items()}:
        of_page = [n for n, one in published.items() if one.get("page", n) == page]
        own = markdown_table(HEAD, [row for name in of_page for row in every[name]])
        write_section(LEARNERS / f"{page}.md", "papers", own)


def main() -> None:
    """Measure a run, if one is named, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", help="a learner of papers.toml")
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--episodes", type=int, default=1000, help="a size")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.run is not None:
        published = tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))
        if asked.name not in published:
            parser.error(f"no {asked.name} in {PUBLISHED.name}, wanted one of {list(published)}")
        found = describe_run(asked.name, asked.run, published[asked.name], asked.episodes)
        measured = json.loads(MEASURED.read_text("utf-8")) if MEASURED.exists() else {}
        measured[asked.name] = found
        write_atomic(MEASURED, f"{json.dumps(measured, indent=1)}\n".encode())
    write_pages()


if __name__ == "__main__":
    main()
