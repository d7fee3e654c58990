"""A pre-trained network, taken over by one with another normalisation or form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig, build_network
from handful.trainer.networks.transfer import pretraining_normalisation, transfer
from handful.trainer.parts.features import running_statistics
from handful.trainer.training import run
from handful.trainer.training.checkpoint import BEST, read_checkpoint
from handful.trainer.training.config import from_dict
from handful.trainer.training.folder import RunError

from ..each import each
from .small import IMAGE, SIZE, generator, pictures

CONV4 = NetworkConfig(filters=8, halving="max")
RESNET = NetworkConfig(kind="resnet12", filters=8)
MLP = NetworkConfig(kind="mlp", hidden=(12, 6))


def trained(config: NetworkConfig) -> dict[str, torch.Tensor]:
    """Parameters as after training: every γ, β and average away from where it starts."""
    network = build_network(config, IMAGE.shape, "convolution")
    draw = generator(1)
    return {
        name: value if name.endswith(".weight") else torch.rand(value.shape, generator=draw) + 0.5
        for name, value in network.init(draw).items()
    }


@each("config", [CONV4, RESNET, MLP])
def test_without_normalisation_it_computes_what_it_did(config: NetworkConfig) -> None:
    pretrained = trained(config)
    x = torch.rand(3, SIZE, SIZE, 1, generator=generator(2))
    before, _ = build_network(config, IMAGE.shape, "convolution")(
        pretrained, x, running_statistics(pretrained)
    )
    bare = build_network(replace(config, normalisation="none"), IMAGE.shape, "matmul")
    params = transfer(pretrained, "none", "matmul")
    assert params.keys() == bare.init(generator()).keys()
    after, _ = bare(params, x)
    torch.testing.assert_close(order(config, after), order(config, before), rtol=1e-4, atol=1e-4)


def order(config: NetworkConfig, features: torch.Tensor) -> torch.Tensor:
    """Conv4's flattened features stand channels first in one form, last in the other."""
    return features.sort(dim=1).values if config.kind == "conv4" else features


@each("normalisation", ["support", "transductive"])
def test_a_set_s_own_moments_take_the_averages_place(normalisation: Any) -> None:
    pretrained = trained(CONV4)
    x = torch.rand(6, SIZE, SIZE, 1, generator=generator(2))
    batch, _ = build_network(CONV4, IMAGE.shape, "convolution")(pretrained, x)
    network = build_network(replace(CONV4, normalisation=normalisation), IMAGE.shape, "matmul")
    after, _ = network(transfer(pretrained, normalisation, "matmul"), x)
    torch.testing.assert_close(order(CONV4, after), order(CONV4, batch), rtol=1e-4, atol=1e-4)


def test_which_normalisation_a_network_is_trained_under() -> None:
    assert [
        pretraining_normalisation(kind) for kind in ("support", "task", "transductive", "none")
    ] == ["running"] * 4
    assert [pretraining_normalisation(kind) for kind in ("running", "group", "layer")] == [
        "running",
        "group",
        "layer",
    ]


@each("normalisation", ["none", "task", "group", "layer", "support"])
def test_maml_takes_all_of_its_body_over(normalisation: Any) -> None:
    network = replace(CONV4, normalisation=normalisation)
    learner = MAML(MAMLConfig(network=network), IMAGE, 5)
    params = learner.init(generator())
    pretrained = trained(learner.pretrained_network())
    taken = learner.with_pretrained(params, pretrained)
    assert taken.keys() == params.keys()
    assert all(taken[name].shape == value.shape for name, value in params.items())
    body = [n for n in params if n.startswith("theta.conv") and n[-6:] not in (".scale", "offset")]
    changed = [name for name in body if not torch.equal(taken[name], params[name])]
    assert changed == [name for name in body if "blend" not in name]


def drawn(folder: Path) -> dict[str, Any]:
    """The [data] of a run on 40 classes of 8 pictures in a file."""
    data = pictures(classes=40)
    np.savez(folder / "pictures.npz", x=data.x.numpy(), y=np.repeat(data.classes, 8))
    return {"source": str(folder / "pictures.npz"), "split": "random"}


def test_a_run_trains_the_body_first_and_starts_there(
    tmp_path: Path,
) -> None:
    data = drawn(tmp_path)
    meta = {"way": [3], "queries": 2, "steps": 2, "validate_every": 2, "validation_way": 3}
    meta |= {"validation_queries": 2, "validation_episodes": 2}
    network = {"kind": "conv4", "filters": 8, "halving": "max", "normalisation": "none"}
    learner = {"name": "maml", "inner_steps": 1, "head": "shared", "network": network}
    settings = {"learner": learner, "data": data, "pretrain": meta, "meta": meta | {"steps": 0}}
    config = from_dict(settings, where="test")
    progress = run.train(config, tmp_path / "run")
    assert progress.finished
    pretrained, _ = read_checkpoint(tmp_path / "run" / "pretrained" / BEST)
    params, _ = read_checkpoint(tmp_path / "run" / BEST)
    wanted = transfer(pretrained, "none", "matmul")
    for name, value in wanted.items():
        torch.testing.assert_close(params[f"theta.{name}"], value)


def test_a_learner_without_a_network_has_nothing_to_pre_train(
    tmp_path: Path,
) -> None:
    few = {"queries": 2, "validation_queries": 2}
    settings = {"learner": {"name": "nearest"}, "data": drawn(tmp_path)}
    settings |= {"pretrain": few, "meta": few}
    with pytest.raises(RunError) as error:
        run.train(from_dict(settings, where="test"), tmp_path / "run")
    assert str(error.value) == "nearest has no network to pre-train"
    assert error.value.hint == "drop the section [pretrain], or set learner.network.kind"
