"""A run that takes its pre-training over from another: it is the run that does it itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.trainer.learners.prototypical import Prototypical, PrototypicalConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.training.checkpoint import BEST, LAST, read_checkpoint
from handful.trainer.training.config import RunConfig, from_dict
from handful.trainer.training.folder import RunError, read_config
from handful.trainer.training.loop import Options
from handful.trainer.training.pretrain import _collect_compared, pretraining_of
from handful.trainer.training.run import train

from ..each import each
from .two_processes import RUNS, small_data

Config = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def config(data: dict[str, Any]) -> RunConfig:
    return from_dict({**RUNS["leo"], "data": data}, where="leo")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, config: RunConfig) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(config, folder)
    return folder


def same(one: Path, two: Path) -> bool:
    (left, _), (right, _) = read_checkpoint(one), read_checkpoint(two)
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@each("named", ["", "pretrained"])
def test_the_run_is_the_one_that_pre_trains_itself(
    named: str, tmp_path: Path, config: RunConfig, whole: Path
) -> None:
    source, pretrain = pretraining_of(whole / named)
    assert pretrain == config.pretrain
    taken = tmp_path / "taken"
    train(replace(config, pretrain=pretrain), taken, Options(pretrained=source))
    for file in (LAST, BEST, f"pretrained/{LAST}", f"pretrained/{BEST}"):
        assert same(whole / file, taken / file), file
    assert read_config(taken) == config


def test_a_prototypical_network_is_a_pre_training(
    tmp_path: Path, config: RunConfig, data: dict[str, Any]
) -> None:
    assert config.pretrain is not None
    prototypical = RunConfig(
        learner=Prototypical.name,
        settings=PrototypicalConfig(network=config.settings.network),
        data=config.data,
        meta=config.pretrain.loop,
    )
    train(prototypical, tmp_path / "prototypical")
    source, pretrain = pretraining_of(tmp_path / "prototypical")
    train(replace(config, pretrain=pretrain), tmp_path / "taken", Options(pretrained=source))
    assert same(tmp_path / "prototypical" / BEST, tmp_path / "taken" / "pretrained" / BEST)


def test_the_number_of_views_may_differ() -> None:
    few = RunConfig(
        learner=Prototypical.name,
        settings=PrototypicalConfig(network=NetworkConfig(kind="conv4", filters=8)),
    )
    wide = replace(few, settings=PrototypicalConfig(network=NetworkConfig(kind="conv4")))
    many = replace(few, settings=PrototypicalConfig(network=replace(few.settings.network, views=5)))
    assert _collect_compared(few) == _collect_compared(many)
    assert _collect_compared(few) != _collect_compared(wide)


def other_network(config: RunConfig) -> RunConfig:
    network = replace(config.settings.network, hidden=(12,))
    return replace(config, settings=replace(config.settings, network=network))


def other_data(config: RunConfig) -> RunConfig:
    return replace(config, data=replace(config.data, seed=1))


@each(
    ("change", "message"),
    [
        (other_network, "its learner.network.hidden is [8], here [12]"),
        (other_data, "its data.seed is 0, here 1"),
    ],
)
def test_another_network_or_other_data_are_refused(
    change: Callable[[RunConfig], RunConfig],
    message: str,
    tmp_path: Path,
    config: RunConfig,
    whole: Path,
) -> None:
    source, _ = pretraining_of(whole)
    with pytest.raises(RunError) as caught:
        train(change(config), tmp_path / "run", Options(pretrained=source))
    assert str(caught.value).startswith(f"{source} was trained for something else: {message}")
    assert caught.value.hint == (
        "take its network and data, or leave out --pretrained, and the network is pre-trained anew"
    )
    assert not (tmp_path / "run").exists()


def test_changed_examples_are_refused(tmp_path: Path, whole: Path) -> None:
    elsewhere = small_data(tmp_path)
    arrays = dict(np.load(elsewhere["source"]))
    arrays["x"][0] += 1
    np.savez(elsewhere["source"], **arrays)
    moved = from_dict({**RUNS["leo"], "data": elsewhere}, where="leo")
    source, _ = pretraining_of(whole)
    with pytest.raises(RunError) as caught:
        train(moved, tmp_path / "run", Options(pretrained=source))
    assert str(caught.value) == (
        f"{source} was trained on other data: its meta_train has other classes or examples"
    )
    assert not (tmp_path / "run").exists()


def test_what_was_not_pre_trained_or_has_not_finished_is_refused(
    tmp_path: Path, config: RunConfig, data: dict[str, Any]
) -> None:
    plain = from_dict({**RUNS["maml"], "data": data}, where="maml")
    train(plain, tmp_path / "maml", Options(stop=lambda: True))
    with pytest.raises(RunError) as caught:
        pretraining_of(tmp_path / "maml")
    assert str(caught.value) == (
        f"{tmp_path / 'maml'} has no pre-trained network: it is a run of maml"
    )
    assert caught.value.hint == (
        "name a run with a folder pretrained, or one of classifier or prototypical"
    )
    train(config, tmp_path / "leo", Options(stop=lambda: True))
    with pytest.raises(RunError) as caught:
        pretraining_of(tmp_path / "leo")
    pretrained = tmp_path / "leo" / "pretrained"
    assert str(caught.value).startswith(f"{pretrained} has ")
    assert caught.value.hint == f"finish it first: handful train --resume --out {pretrained}"
