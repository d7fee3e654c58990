"""Reptile and the Meta-Learner LSTM on sinusoids: trained, exported, adapted by the runtime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import handful
from handful.runtime.tools.verify import verify
from handful.trainer.commands.evaluate import evaluate_package, evaluate_run
from handful.trainer.commands.export import Request, export_command
from handful.trainer.commands.subjects import Plan
from handful.trainer.data.functions import Sinusoid
from handful.trainer.episodes import TaskSize
from handful.trainer.training.config import from_toml
from handful.trainer.training.run import train

from .small import generator

META = """
[learner.network]
kind = "mlp"
hidden = [16]
normalisation = "none"
[data]
source = "sinusoid"
[meta]
steps = 40
tasks = 4
shot = [20]
validate_every = 20
validation_episodes = 20
validation_shot = 10
"""
RECIPES = {
    "reptile": '[learner]\nname = "reptile"\ninner_lr = 0.02\nevaluation_steps = 6'
    + META
    + 'optimiser = "sgd"\nlr = 1.0\nschedule = "linear"\nqueries = 1\n',
    "meta-lstm": '[learner]\nname = "meta-lstm"\ninner_steps = 3\nhidden = 4\np = 4.0'
    + META
    + "lr = 1e-2\nclip_norm = 1.0\nqueries = 5\n",
}


def silent(name: str, total: int) -> object:
    return lambda: None


@pytest.mark.parametrize("name", RECIPES)
def test_from_a_recipe_to_the_runtime(name: str, tmp_path: Path) -> None:
    run, package = tmp_path / "run", tmp_path / "package"
    assert train(from_toml(RECIPES[name], where=name), run).finished
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    errors = [line["validation_error"] for line in lines if "validation_error" in line]
    assert errors[-1] < 0.95 * errors[0]

    export_command(run, package, Request(episodes=2), silent)  # type: ignore[arg-type]
    assert verify(package).ok
    plan = Plan(shots=(3, 12), queries=9, episodes=4)  # fewer and more than a mini-batch
    of_package = evaluate_package(package, plan, count=silent)  # type: ignore[arg-type]
    of_run = evaluate_run(run, plan, transductive=False, device="cpu", count=silent)  # type: ignore[arg-type]
    assert [r.value for r in of_package] == pytest.approx([r.value for r in of_run], rel=1e-3)

    drawn = Sinusoid().episodes(TaskSize(1, 12, 4), tasks=1, generator=generator(3))
    x, y, query = (part[0].numpy() for part in drawn[:3])
    task = handful.load(package).adapt(x, y[:, 0])
    assert task.outputs(query).shape == (4, 1)
