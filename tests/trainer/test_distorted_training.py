"""Distortions and tasks within groups in training: what they change, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.trainer.data import DataError
from handful.trainer.data.distortions.pictures import DistortConfig
from handful.trainer.data.labelled import EVERYWHERE, Within
from handful.trainer.episodes import TaskSize
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.checkpoint import BEST, LAST, read_checkpoint
from handful.trainer.training.config import MetaConfig, from_dict, from_toml, to_dict
from handful.trainer.training.folder import RunError
from handful.trainer.training.loop import meta_train
from handful.trainer.training.run import train
from handful.trainer.training.state import Run

from ..each import each
from .cases import case
from .small import generator, pictures, vectors

NOISE = DistortConfig(noise=0.2, rotation=10.0)
META = MetaConfig(
    steps=4,
    way=(4,),
    queries=2,
    validation_way=4,
    validation_queries=2,
    validate_every=2,
    validation_episodes=4,
    batching="vmap",  # measuring which is faster may end differently from run to run
)


def test_tasks_are_the_same_and_their_examples_are_distorted() -> None:
    data = pictures()
    plain, distorted = (
        data.with_drawing(EVERYWHERE, distort).episodes(
            TaskSize(3, 2, 2), tasks=1, generator=generator()
        )
        for distort in (None, NOISE)
    )
    assert torch.equal(plain.classes, distorted.classes)
    assert torch.equal(plain.support_y, distorted.support_y)
    for one, other in ((plain.support_x, distorted.support_x), (plain.query_x, distorted.query_x)):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        assert not torch.equal(one, other)
        assert (float(other.min()), float(other.max())) == (0.0, 1.0)  # scaled as the learner's


def test_no_distortion_is_the_plain_example() -> None:
    data = pictures()
    plain, distorted = (
        data.with_drawing(EVERYWHERE, distort).episodes(
            TaskSize(3, 2, 2), tasks=2, generator=generator()
        )
        for distort in (None, DistortConfig())
    )
    for one, other in zip(plain, distorted, strict=True):
        torch.testing.assert_close(one, other)


def small_run(
    folder: Path, config: MetaConfig = META, distort: DistortConfig | None = None
) -> tuple[Run, list[Any]]:
    """A prototypical network on sixty classes, ten to a group."""
    subject, lines = case("prototypical"), []
    data = replace(subject.data, groups=tuple(f"group {c // 10}" for c in range(60)))
    run = Run(
        learner=subject.learner,
        params=subject.params,
        train=data.take(range(40)).with_drawing(config.training_groups, distort),
        validation=data.take(range(40, 60)).with_drawing(config.validation_groups),
        config=config,
        folder=folder,
        report=lambda line: lines.append({n: v for n, v in line.items() if n != "seconds"}),
    )
    return run, lines


def test_training_is_distorted_and_validation_is_not(tmp_path: Path) -> None:
    lines = []
    for name, distort in (("plain", None), ("distorted", NOISE)):
        run, of_run = small_run(tmp_path / name, distort=distort)
        meta_train(run)
        lines.append(of_run)
    plain, distorted = lines
    assert plain[0] == distorted[0]  # step 0 validates, and has trained on nothing
    assert plain[1]["loss"] != distorted[1]["loss"]


def test_a_distorted_run_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    config = replace(META, within=0.5, within_groups=2)
    whole, _ = small_run(tmp_path / "whole", config, distort=NOISE)
    meta_train(whole)
    calls = iter((False, True))
    parts, _ = small_run(tmp_path / "parts", config, distort=NOISE)
    assert meta_train(parts, stop=lambda: next(calls)).step == 2
    again, _ = small_run(tmp_path / "parts", config, distort=NOISE)
    meta_train(again, resume=True)
    one, two = (read_checkpoint(tmp_path / name / LAST)[0] for name in ("whole", "parts"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_validation_within_groups_draws_other_tasks(tmp_path: Path) -> None:
    starts = []
    for within in (False, True):
        run, lines = small_run(
            tmp_path / str(within), replace(META, steps=0, validation_within=within)
        )
        meta_train(run)
        starts.append(lines[0])
    assert starts[0]["step"] == starts[1]["step"] == 0
    assert starts[0] != starts[1]


@each(
    ("changes", "words"),
    [
        (
            {"within": 0.5, "way": (11,)},
            "0 of 4 groups of the meta-training set have 11 classes or more, a task needs 1;"
            " the largest has 10\n\nhint: lower meta.way, or draw from all classes",
        ),
        (
            {"validation_within": True, "validation_way": 12},
            "0 of 2 groups of the validation set have 12 classes or more, a task needs 1;"
            " the largest has 10\n\nhint: lower meta.validation_way, or draw from all classes",
        ),
    ],
)
def test_groups_that_are_too_small_are_named_before_training(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    run, lines = small_run(tmp_path, replace(META, **changes))
    with pytest.raises(DataError) as caught:
        meta_train(run)
    assert f"{caught.value}\n\nhint: {caught.value.hint}" == words
    assert lines == []


TEXT = """
[learner]
name = "leo"
[meta]
within = 0.25
within_groups = 2
[meta.distort]
rotation = 10
noise = 0.1
"""


def test_settings_are_read_and_written() -> None:
    config = from_toml(TEXT, where="mine.toml", changes=["meta.distort.pen=0.5"])
    assert config.meta.distort == DistortConfig(rotation=10.0, noise=0.1, pen=0.5)
    assert config.meta.training_groups == Within(0.25, 2)
    assert config.meta.validation_groups == EVERYWHERE
    assert from_dict(to_dict(config), where="config.json") == config
    assert "distort" not in to_dict(from_toml('[learner]\nname="leo"', where="mine.toml"))["meta"]
    with pytest.raises(ConfigError, match=r"^mine.toml: meta.within is 1.5, wanted 0 to 1$"):
        from_toml(TEXT, where="mine.toml", changes=["meta.within=1.5"])


def settings(file: Path, **sections: Any) -> dict[str, Any]:
    """A run of two steps on an .npz file."""
    meta = {
        "steps": 2, "way": 3, "queries": 2, "validation_way": 3, "validation_queries": 2,
        "validation_episodes": 2,
    }  # fmt: skip
    data = {"source": str(file), "split": "random"}
    return {"data": data, "meta": meta, **sections}


def saved(file: Path, x: torch.Tensor) -> Path:
    np.savez(file, x=x.numpy(), y=np.repeat([f"g{c // 6}/{c}" for c in range(30)], 8))
    return file


def test_a_frozen_network_is_pretrained_on_distorted_pictures(tmp_path: Path) -> None:
    """Its features, from which the learner itself trains, are those of the pictures as they are."""
    file = saved(tmp_path / "pictures.npz", pictures(30).x)
    network = {"kind": "mlp", "hidden": [8], "normalisation": "running"}
    learner = {"name": "leo", "latent_dim": 4, "network": network}
    folders = []
    for name, noise in (("plain", 0.0), ("noisy", 0.5)):
        run = settings(file, learner=learner)
        run["pretrain"] = {**run["meta"], "within": 1.0, "distort": {"noise": noise}}
        train(from_dict(run, where=name), tmp_path / name)
        folders.append(tmp_path / name)
    plain, noisy = (read_checkpoint(f / "pretrained" / LAST)[0] for f in folders)
    weights = [name for name in plain if name.startswith("params/") and "weight" in name]
    assert weights
    assert not any(torch.equal(plain[name], noisy[name]) for name in weights)
    run["meta"]["distort"] = {"noise": 0.5}
    with pytest.raises(RunError) as caught:
        train(from_dict(run, where="both"), tmp_path / "both")
    assert f"{caught.value}\n\nhint: {caught.value.hint}" == (
        "leo trains on what a frozen network gave once, which is not distorted\n"
        "\n"
        "hint: distort the pictures that the network is trained on: pretrain.distort"
    )


def test_a_prototypical_network_goes_on_from_another_training(tmp_path: Path) -> None:
    file = saved(tmp_path / "vectors.npz", vectors(30).x)
    network = {"kind": "mlp", "hidden": [8], "normalisation": "running"}
    run = settings(file, learner={"name": "prototypical", "network": network})
    run["pretrain"], run["meta"]["steps"] = {**run["meta"], "validate_every": 1}, 0
    train(from_dict(run, where="mine.toml"), tmp_path / "run")
    first, then = (read_checkpoint(tmp_path / "run" / f / BEST)[0] for f in ("pretrained", "."))
    assert first.keys() == then.keys()
    assert all(torch.equal(first[name], then[name]) for name in first)


def test_embeddings_are_not_distorted(tmp_path: Path) -> None:
    file = saved(tmp_path / "vectors.npz", vectors(30).x)
    values = settings(file, learner={"name": "maml", "network": {"kind": "mlp"}})
    values["meta"]["distort"] = {"noise": 0.5}
    run = from_dict(values, where="mine.toml")
    with pytest.raises(DataError) as caught:
        train(run, tmp_path / "run")
    assert str(caught.value) == (
        "only pictures [H, W, C] and series [T, C] can be distorted,"
        " those of the meta-training split are float32 [10]"
    )
    assert not (tmp_path / "run").exists()


def test_functions_have_no_groups_and_nothing_to_distort(tmp_path: Path) -> None:
    for changes in ({"distort": {"noise": 0.1}}, {"within": 0.5}, {"validation_within": True}):
        values = {"learner": {"name": "maml"}, "data": {"source": "sinusoid"}, "meta": changes}
        with pytest.raises(DataError) as caught:
            train(from_dict(values, where="mine.toml"), tmp_path / "run")
        assert f"{caught.value}\n\nhint: {caught.value.hint}" == (
            "tasks of sinusoid are functions: they have no groups, and nothing to distort\n"
            "\n"
            "hint: leave out meta.within, meta.validation_within and meta.distort"
        )
