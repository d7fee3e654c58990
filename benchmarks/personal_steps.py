"""Steps on top of prior means, or in their place: do learned, clipped gradient steps add anything?

`python benchmarks/personal_steps.py RUNS [NAME …]` takes the runs that benchmarks/personal.py left
in RUNS, of recipes with `learner.steps = 0`. The state of each, c and b of the classes, is moved by
STEPS steps on the support set's cross-entropy, through the run's `predict` and on its features:

    g ← ∇ L_support,  ‖g‖ ≤ 1 over c and b;  c ← c − α_k e^(u + v ln(1 + K)) g

α of each tensor and step, u and v are learned on tasks of the run's meta-validation persons, with
as many examples of a class as in its meta-training. Measured on its meta-test persons, on the same
tasks with steps and without: benchmarks/results/personal-steps.md. Intervals are over persons.

`--maml FOLD …` trains MAML in the place of prior means from the same pre-training, for these folds
of the first seed: all weights move, MAML below has the settings.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tables import write_table
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.package.files import write_atomic
from handful.runtime.tools.evaluate import mean_of
from handful.trainer.commands.subjects import Plan, RunSubject
from handful.trainer.data.domains import DomainSet
from handful.trainer.episodes import Episode, TaskSize
from handful.trainer.evaluation import embed_set
from handful.trainer.evaluation.accuracy import mean_by_person
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.parts.bounded_steps import (
    bound_gradient,
    count_factor,
    count_params,
    labelled_loss,
)
from handful.trainer.training.config import MetaConfig, from_dict, to_dict
from handful.trainer.training.folder import PRETRAINED, Trained, read_config
from handful.trainer.training.loop import Options
from handful.trainer.training.run import train

STEPS, MOVED = 3, ("c", "b")
FIRST_RATE = 0.1  # of c and b, in units of a whitened feature
TRAINING, TASKS, LR = 150, 4, 0.05  # meta-steps of Adam on the rates
PLAN = Plan(shots=(1, 2, 5), queries=5, episodes=200, seed=11)
MAML = {
    "name": "maml",
    "inner_steps": STEPS,
    "inner_lr": 0.03,
    "rates": "step",
    "clip": 1.0,
    "whitened": True,
    "by_count": True,
}
Values = dict[str, Array]  # by size, [2, P]
CALLED = {"myo": "gestures", "activity": "activities", "words": "words"}


def learn_rates(trained: Trained, data: DomainSet, meta: MetaConfig) -> Tensors:
    """ln α, u and v that lower the query loss on tasks of these persons."""
    data = data.with_drawing(data.within, None, meta.mix)
    rates = {name: torch.full((STEPS,), FIRST_RATE).log() for name in MOVED} | count_params()
    leaves = [rate.requires_grad_() for rate in rates.values()]
    optimiser = torch.optim.Adam(leaves, lr=LR)
    generator = torch.Generator().manual_seed(meta.seed)
    size = data.size(0, max(meta.shot), meta.queries)
    for _ in range(TRAINING):
        batch = data.episodes(size, tasks=TASKS, generator=generator)
        tasks = [Episode(*(part[t] for part in batch)) for t in range(TASKS)]
        loss = torch.stack(
            [
                labelled_loss(_answer(trained, rates, task, steps=STEPS), task.query_y)
                for task in tasks
            ]
        ).mean()
        for leaf, slope in zip(leaves, torch.autograd.grad(loss, leaves), strict=True):
            leaf.grad = slope
        optimiser.step()
    return {name: rate.detach() for name, rate in rates.items()}


def _answer(trained: Trained, rates: Tensors, task: Episode, *, steps: int) -> Tensor:
    """Logits [Q, N] of a task of features, after so many steps."""
    learner, params = trained.learner, trained.params
    support = Support(task.support_x, task.support_y)
    with torch.no_grad():
        state = adapt(learner, params, support)
    factor = count_factor(rates, support)
    for step in range(steps):
        moved = {name: state[name].detach().requires_grad_() for name in MOVED}
        with torch.enable_grad():
            logits = learner.predict(params, {**state, **moved}, support.x)
            found = torch.autograd.grad(labelled_loss(logits, support.y), list(moved.values()))
        gradient = bound_gradient(dict(zip(MOVED, found, strict=True)), 1.0)
        # the rates' gradient flows through the moves; that of the gradients themselves is dropped
        for name in MOVED:
            state[name] = state[name] - rates[name][step].exp() * factor * gradient[name]
    return learner.predict(params, state, task.query_x)


def measure_run(folder: Path) -> Values:
    """By size: the accuracy of each meta-test person without steps and with them, [2, P]."""
    subject = RunSubject.of(folder, PLAN)
    trained, test = subject.trained, subject.data
    sets = [
        embed_set(trained.learner, trained.params, data)
        for data in (subject.recorded.load("meta_val"), test)
    ]
    validation, embedded = sets
    assert isinstance(validation, DomainSet)
    assert isinstance(embedded, DomainSet)
    rates = learn_rates(trained, validation, read_config(folder).meta)
    return {_called(size): _measure(trained, rates, embedded, size) for size in PLAN.sizes(test)}


@torch.no_grad()
def _measure(trained: Trained, rates: Tensors, data: DomainSet, size: TaskSize) -> Array:
    generator = torch.Generator().manual_seed(PLAN.seed)
    right: list[list[float]] = [[], []]
    for _ in range(PLAN.episodes):
        batch = data.episodes(size, tasks=1, generator=generator)
        task = Episode(*(part[0] for part in batch))
        for steps, found in zip((0, STEPS), right, strict=True):
            answers = _answer(trained, rates, task, steps=steps).argmax(dim=1)
            found.append(float((answers == task.query_y.argmax(dim=1)).double().mean()))
    persons = data.persons(size, episodes=PLAN.episodes, seed=PLAN.seed)
    return np.stack([mean_by_person(np.array(found), persons) for found in right])


def _called(size: TaskSize) -> str:
    return f"{size.shot}" + (f" of {size.given} classes" if size.given else "")


def train_maml(run: Path) -> Path:
    """MAML from the pre-training of a run, in a folder beside it."""
    folder = run.with_name(f"maml-{run.name}")
    values = to_dict(read_config(run))
    network = {**values["learner"]["network"], "normalisation": "none"}
    values["learner"] = {**MAML, "network": network}
    if not (folder / "finished").exists():
        config = from_dict(values, where="the run")
        resumed = (folder / "config.json").exists()
        options = Options(resume=resumed, pretrained=None if resumed else run / PRETRAINED)
        train(config, folder, options)
        write_atomic(folder / "finished", b"")
    return folder


def measure_maml(run: Path) -> Values:
    """By size: the accuracy of each meta-test person by prior means and by MAML, [2, P]."""
    plan = replace(PLAN, yardsticks=False)
    found = [RunSubject.of(f, plan).measure(plan, count=_silently) for f in (run, train_maml(run))]
    return {_called(a.size): np.stack([a.values, b.values]) for a, b in zip(*found, strict=True)}


def _silently(*_: object) -> Any:
    return lambda: None


def merge(runs: Sequence[Path], measure: Callable[[Path], Values]) -> Values:
    """Each person of all folds, [2, P] by size; seeds of a fold are averaged."""
    folds: dict[str, list[Values]] = {}
    for run in runs:
        folds.setdefault(run.name.split("-")[1], []).append(measure(run))
        print(f"{run.name}: measured", flush=True)
    return {
        size: np.concatenate(
            [np.mean([found[size] for found in seeds], axis=0) for seeds in folds.values()], axis=1
        )
        for size in next(iter(folds.values()))[0]
    }


def table(name: str, other: str, merged: Values) -> str:
    """Prior means and the other, and what it gains."""
    lines = [f"| {CALLED[name]} | {' | '.join(merged)} |", "| --- |" + " --- |" * len(merged)]
    for at, called in enumerate(("prior means", other)):
        cells = (f"{100 * values[at].mean():.2f}" for values in merged.values())
        lines.append(f"| {called} | {' | '.join(cells)} |")
    gains = (mean_of(values[1] - values[0]) for values in merged.values())
    cells = (f"{100 * g.value:+.2f} ± {100 * g.interval:.2f}".replace("-", "−") for g in gains)
    lines.append(f"| gained | {' | '.join(cells)} |")
    return f"{next(iter(merged.values())).shape[1]} persons.\n\n" + "\n".join(lines)


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("names", nargs="*", default=list(CALLED))
    parser.add_argument("--maml", nargs="*", default=[], help="folds, of the first name")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tables = ["## Steps on top"]
    for name in asked.names:
        if runs := [file.parent for file in sorted(asked.runs.glob(f"{name}-*-*/finished"))]:
            tables.append(table(name, f"and {STEPS} steps", merge(runs, measure_run)))
    if asked.maml:
        name = asked.names[0]
        runs = [asked.runs / f"{name}-{fold}-0" for fold in asked.maml]
        tables += ["## MAML in their place", table(name, "MAML", merge(runs, measure_maml))]
    introduction = """Accuracy in %, by examples of each class; ± 95 % intervals of the paired
difference, over persons, none of whom a network or a rate was learned on."""
    title = "Gradient steps on top of prior means, and in their place"
    command = "python benchmarks/personal_steps.py RUNS" + (" --maml" if asked.maml else "")
    write_table("personal-steps", title, command, "\n\n".join([introduction, *tables]))


if __name__ == "__main__":
    main()
