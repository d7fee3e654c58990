"""Pre-training as a classifier of all meta-training classes: by hand, and as part of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.trainer.episodes import Episode, TaskSize, sample
from handful.trainer.learners.classifier import Classifier, ClassifierConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.features import unit_length
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.checkpoint import BEST, LAST, read_checkpoint
from handful.trainer.training.config import RunConfig, from_dict
from handful.trainer.training.folder import load_run
from handful.trainer.training.loop import Options
from handful.trainer.training.run import train

from ..each import each
from .small import generator, vectors
from .test_run import after, same, steps_of

MLP = NetworkConfig(kind="mlp", hidden=(12, 8), normalisation="running")


def classifier(classes: int | None = 60, **settings: Any) -> Classifier:
    return Classifier(
        ClassifierConfig(classes=classes, network=MLP, **settings), vectors().input, 5
    )


def episode(size: TaskSize) -> Episode:
    batch = sample(vectors(), size, tasks=1, generator=generator(4))
    return Episode(*(t[0] for t in batch))


@each("head", ["linear", "cosine"])
def test_the_loss_is_over_the_classes_of_the_whole_set(head: str) -> None:
    """The same examples under torch's own loss, their classes found again in the labelled set."""
    learner, data = classifier(head=head), vectors()
    params = learner.init(generator())
    task = episode(TaskSize(7, 2, 1))
    loss, outcome = learner.meta_loss(params, task, {}, 0.0)
    x = torch.cat([task.support_x, task.query_x])
    numbers = torch.tensor([int(data.labels[(data.x == row).all(dim=1)]) for row in x])
    assert learner.network is not None
    h, _ = learner.network(params, x)
    weight = params["head.weight"]
    if head == "linear":
        logits = torch.nn.functional.linear(h, weight, params["head.bias"])
    else:
        similarity = torch.nn.functional.cosine_similarity(h[:, None], weight[None], dim=2)
        logits = 2.0 * params["head.length"] * similarity
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, numbers))
    hits = (logits.argmax(dim=1) == numbers).float().mean()
    torch.testing.assert_close(outcome.metrics["accuracy"], hits)
    assert outcome.buffers.keys() == {name for name in params if ".running_" in name}


def test_a_cosine_head_of_many_classes_has_the_larger_scale() -> None:
    h = torch.randn(3, 8, generator=generator())
    for classes, scale in ((200, 2.0), (201, 10.0)):
        learner = classifier(classes, head="cosine")
        params = learner.init(generator())
        weight = params["head.weight"]
        torch.testing.assert_close(params["head.length"], weight.norm(dim=1))
        wanted = scale * unit_length(h) @ weight.T  # lengths start as the weights': g v/‖v‖ = v
        torch.testing.assert_close(learner.all_classes(params, h), wanted, rtol=1e-4, atol=1e-5)


def test_the_number_of_classes_has_to_be_known() -> None:
    with pytest.raises(ConfigError) as caught:
        classifier(None).init(generator())
    assert str(caught.value) == "learner.classes is not set"
    assert caught.value.hint == "set it to the number of training classes"


def test_more_classes_than_the_head_has_are_refused() -> None:
    batch = sample(vectors(), TaskSize(60, 1, 1), tasks=1, generator=generator())
    with pytest.raises(ConfigError) as caught:
        classifier(59).training_noise(batch, generator())
    assert str(caught.value) == "learner.classes is 59, the training data have 60 or more"
    assert classifier(60).training_noise(batch, generator()) == {}


def run_config(folder: Path, objective: str | None, learner: str = "means") -> RunConfig:
    data = vectors()
    file = folder / "vectors.npz"
    if not file.exists():
        np.savez(file, x=data.x.numpy(), y=np.repeat(data.classes, 8))
    steps: dict[str, Any] = {"batching": "vmap"}  # "auto" measures, and may choose another chunk
    steps |= {"steps": 4, "queries": 2, "shot": [1], "way": [5], "validate_every": 1, "tasks": 2}
    steps |= {"validation_way": 3, "validation_queries": 2, "validation_episodes": 4}
    pretrain = steps | ({"objective": objective} if objective else {})
    settings = {
        "learner": {"name": learner, "network": {"kind": "mlp", "hidden": [12, 8]}},
        "data": {"source": str(file), "split": "random"},
        "pretrain": pretrain,
        "meta": steps,
    }
    return from_dict(settings, where="test")


@each("objective", ["softmax", "cosine"])
def test_a_stopped_run_goes_on_as_if_it_had_not(objective: str, tmp_path: Path) -> None:
    config = run_config(tmp_path, objective)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(config, whole).finished
    assert train(config, parts, Options(stop=after(2))).step < 4
    assert train(config, parts, Options(resume=True)).step == 4
    for file in (LAST, BEST, f"pretrained/{LAST}", f"pretrained/{BEST}"):
        assert same(whole / file, parts / file), file
    assert steps_of(parts) == steps_of(parts / "pretrained") == [0, 1, 2, 3, 4]


@each(
    ("objective", "learner"),
    [(None, "prototypical"), ("prototypical", "prototypical"), ("softmax", "classifier")],
)
def test_the_objective_chooses_what_the_network_is_trained_as(
    objective: str | None, learner: str, tmp_path: Path
) -> None:
    config = run_config(tmp_path, objective)
    train(config, tmp_path / "run")
    folder = tmp_path / "run" / "pretrained"
    settings = json.loads((folder / "config.json").read_text())
    assert settings["learner"]["name"] == learner
    assert "objective" not in settings["meta"]
    pretrained, _ = read_checkpoint(folder / BEST)
    params, _ = read_checkpoint(tmp_path / "run" / BEST)
    heads = {name for name in pretrained if name.startswith("head.")}
    assert heads == ({"head.weight", "head.bias"} if learner == "classifier" else set())
    for name, value in pretrained.items():
        assert name in heads or torch.equal(params[f"embed.{name}"], value)
    if heads:  # of all classes that it was trained on, which the run found by itself
        trained = json.loads((folder / "data.json").read_text())["parts"]["meta_train"]
        assert settings["learner"]["classes"] == len(trained) == len(pretrained["head.bias"])
    assert load_run(folder, vectors()).learner.name == learner


def test_a_network_learns_its_training_classes(tmp_path: Path) -> None:
    config = run_config(tmp_path, "softmax")
    train(config, tmp_path / "run", Options())
    lines = (tmp_path / "run" / "pretrained" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if "loss" in json.loads(line)]
    assert losses[-1] < losses[0]
