"""Named classes of persons never seen: prior means beside the simplest things that could beat them.

`python benchmarks/personal.py PREPARED RUNS [NAME …]` reads the files of `handful data prepare`,
trains the recipes NAME-personal (all of DATA by default) for the folds over persons and the seeds
of `--folds` and `--seeds` into folders of RUNS (what has finished is not trained again), measures
each run on its meta-test persons beside the yardsticks of `handful evaluate`, and writes
benchmarks/results/personal.md of all that RUNS has. The best cheap rule is the one that was best on
the run's meta-validation persons, at each number of examples. Intervals are over persons, each of
whom tests in one fold; the seeds of a fold are averaged first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tables import write_section, write_table

from handful.runtime.arrays import Array
from handful.runtime.package.files import write_atomic
from handful.runtime.tools.evaluate import Mean, mean_of
from handful.trainer.commands.subjects import Plan, RunSubject
from handful.trainer.data.prepare import FOLDS, split_persons
from handful.trainer.evaluation import Result
from handful.trainer.evaluation.everybody import Everybody
from handful.trainer.training.loop import Options
from handful.trainer.training.recipes import read_recipe
from handful.trainer.training.run import train

DATA = {"myo": "myo", "activity": "activity", "words": "commands"}  # of each recipe its file
CALLED = {
    "myo": "Eight gestures, muscle signals of a forearm",
    "activity": "Five activities, a phone or a watch",
    "words": "Forty spoken words",
}
PLAN = Plan(shots=(1, 2, 5), queries=5, episodes=400, seed=11)
EPISODES = {"words": 150}  # of a size, where forty classes ask more queries each
HEAD = (
    "persons never seen",
    ["no examples", "1 of each class", "2", "5", "5 of half of the classes"],
)
LEARNER, BEST_RULE = "prior means", "the best cheap rule"
EVERYBODY, MEANS = "everybody's classifier, no examples", "class means of everybody's features"
METHODS = (
    EVERYBODY,
    MEANS,
    "interpolated means of everybody's features",
    "posterior of the means of everybody's features",
    "logistic regression from everybody's head",
    "re-estimated normalisation",
)
PAGE = Path(__file__).parents[1] / "docs" / "personal.md"
TITLE = "Named classes of persons never seen"
INTRODUCTION = """Accuracy in %, by examples of each class; ± 95 % intervals of paired
differences, over persons. Support and query are of other recordings; meta-test persons are in no
other part. A cheap rule has the settings, and the best of them is the one, that were best on the
meta-validation persons of the same run at the same number of examples."""

Values = dict[str, dict[str, list[float]]]  # by size and method: of each person


def train_run(name: str, prepared: Path, folder: Path, fold: int, seed: int) -> None:
    """The recipe, for a fold over persons and a seed; what is finished stays."""
    if (folder / "finished").exists():
        return
    source = prepared / f"{DATA[name]}.npz"
    column = read_recipe(f"{name}-personal", ()).data.domain[0]
    with np.load(source) as arrays:
        split = split_persons(DATA[name], arrays[column], fold=fold)
    file = prepared / f"{DATA[name]}.json"  # the first fold
    if split != json.loads(file.read_text()):
        file = folder.with_suffix(".json")
        write_atomic(file, json.dumps(split).encode())
    changes = [f"data.source={source}", f"data.split={file}", f"meta.seed={seed}"]
    config = read_recipe(f"{name}-personal", [*changes, f"pretrain.seed={seed}"])
    train(config, folder, Options(resume=(folder / "config.json").exists()))
    write_atomic(folder / "finished", b"")


def measure_run(folder: Path, plan: Plan) -> Values:
    """Every method on the run's meta-test persons, at each size."""
    subject = RunSubject.of(folder, plan)
    rules = subject.yardsticks()
    assert isinstance(rules, Everybody)
    found: Values = {}
    for result in subject.measure(plan, yardsticks=rules, count=_silently):
        methods = {name: values for name, values in result.others.items() if name in METHODS}
        methods |= {BEST_RULE: result.others[rules.best_rule(result.size)], LEARNER: result.values}
        found[_called(result)] = {name: values.tolist() for name, values in methods.items()}
    return found


def _silently(*_: object) -> Any:
    return lambda: None


def _called(result: Result) -> str:
    return f"{result.shot}" + (f" of {result.given} classes" if result.given else "")


def merge(results: Mapping[int, Sequence[Values]]) -> dict[str, dict[str, Array]]:
    """By size and method the accuracy of every person, [P]: the mean over a fold's seeds."""
    first = next(iter(results.values()))[0]
    return {
        size: {
            method: np.concatenate(
                [
                    np.mean([found[size][method] for found in seeds], axis=0)
                    for seeds in results.values()
                ]
            )
            for method in methods
        }
        for size, methods in first.items()
    }


def table(merged: Mapping[str, Mapping[str, Array]]) -> str:
    """Methods down, sizes across; under the learner its lead over the three that it has to beat."""
    lines = [_line("", list(merged)), "| --- |" + " --- |" * len(merged)]
    for method in next(iter(merged.values())):
        bold = "**" if method == LEARNER else ""
        cells = [f"{bold}{100 * of_size[method].mean():.1f}{bold}" for of_size in merged.values()]
        lines.append(_line(f"{bold}{method}{bold}", cells))
    for other in (EVERYBODY, MEANS, BEST_RULE):
        leads = [mean_of(of_size[LEARNER] - of_size[other]) for of_size in merged.values()]
        lines.append(_line(f"ahead of {other}", [_signed(lead) for lead in leads]))
    return "\n".join(lines)


def summary(called: str, merged: Mapping[str, Mapping[str, Array]]) -> str:
    """Everybody's classifier, and at each size the learner and its lead over the best rule."""
    first = next(iter(merged.values()))
    cells = [f"{100 * first[EVERYBODY].mean():.1f}"]
    for of_size in merged.values():
        lead = mean_of(of_size[LEARNER] - of_size[BEST_RULE])
        cells.append(f"{100 * of_size[LEARNER].mean():.1f} ({_signed(lead)})")
    return _line(called, cells)


def _line(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _signed(lead: Mean) -> str:
    return f"{100 * lead.value:+.1f} ± {100 * lead.interval:.1f}".replace("-", "−")


def write_page(runs: Path) -> None:
    """The table of each data set, of all runs that are measured."""
    sections, short = [], []
    for name, called in CALLED.items():
        results: dict[int, list[Values]] = {}
        for file in sorted(runs.glob(f"{name}-*-*/measured.json")):
            fold = int(file.parent.name.split("-")[1])
            results.setdefault(fold, []).append(json.loads(file.read_text()))
        if results:
            merged = merge(results)
            persons = len(next(iter(merged.values()))[LEARNER])
            seeds = ", ".join(f"{len(found)} in fold {fold}" for fold, found in results.items())
            short.append(summary(f"{called}, {persons} persons", merged))
            about = f"{persons} persons; runs of other seeds: {seeds}."
            sections.append(f"## {called}\n\n{about}\n\n{table(merged)}")
    command = "python benchmarks/personal.py PREPARED RUNS"
    write_table("personal", TITLE, command, "\n\n".join([INTRODUCTION, *sections]))
    write_section(PAGE, "persons", "\n".join([_line(*HEAD), "| --- |" + " --- |" * 5, *short]))


def main() -> None:
    """Train, measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("names", nargs="*", default=list(DATA))
    parser.add_argument("--folds", type=int, nargs="+", help="all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.runs.mkdir(parents=True, exist_ok=True)
    for seed in asked.seeds:
        for name in asked.names:
            for fold in asked.folds or range(FOLDS[DATA[name]][0]):
                folder = asked.runs / f"{name}-{fold}-{seed}"
                train_run(name, asked.prepared.resolve(), folder, fold, seed)
                plan = replace(PLAN, episodes=EPISODES.get(name, PLAN.episodes))
                if not (result := folder / "measured.json").exists():
                    write_atomic(result, json.dumps(measure_run(folder, plan), indent=1).encode())
                print(f"{folder.name}: measured", flush=True)
                write_page(asked.runs)


if __name__ == "__main__":
    main()
