"""`handful compare --data`: the closed forms on one's own data, with nothing trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful.runtime.errors import HandfulError
from handful.trainer.commands.compare import (
    LEFT_OUT,
    OF_THESE,
    Own,
    Request,
    compare_command,
    compare_on_data,
    sizes_for,
)
from handful.trainer.commands.compared import Compared
from handful.trainer.commands.subjects import Plan
from handful.trainer.data import DataConfig, load_data
from handful.trainer.episodes import TaskSize
from handful.trainer.evaluation import Features

from ..each import each
from .data.test_embeddings import clipped, pictures

NAMES = [
    'means, metric = "euclidean"', 'means, metric = "cosine"', "logistic",
    'means, metric = "power", support_centre = 0.5', "nearest", "ridge",
    'ridge, metric = "power", centre_support = true, class_means = 0.5',
]  # fmt: skip
PLAN = Plan(shots=(1, 3), queries=4, episodes=12, seed=2)


def save(file: Path, counts: list[int]) -> Path:
    """Noisy points about a centre for each class, away from the origin."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(counts)), counts)
    x = 3 + rng.normal(0, 1, (len(counts), 6))[y] + rng.normal(0, 0.8, (len(y), 6))
    np.savez(file, x=x.astype(np.float32), y=y)
    return file


def compared(source: Path, plan: Plan = PLAN, *changes: str) -> Compared:
    own = Own(source=str(source), changes=changes)
    return compare_on_data(own, plan, workers=1, count=lambda name, total: lambda: None)


def test_the_first_three_are_the_yardsticks_centred_on_all_examples(tmp_path: Path) -> None:
    file = save(tmp_path / "points.npz", [9] * 8)
    found = compared(file)
    assert [(entry.name, entry.kind) for entry in found.entries] == [(n, "learner") for n in NAMES]
    assert found.references == tuple(NAMES[:3])
    data = load_data(DataConfig(source=str(file), split="random"), "all")
    assert (len(data.classes), len(data.x)) == (8, 72)  # no class is held back
    features = Features(data, data.x, data.x.mean(dim=0), "x")
    for at, size in enumerate((TaskSize(5, 1, 4), TaskSize(5, 3, 4))):
        rules = features.measure(size, episodes=12, seed=2)
        for entry, wanted in zip(found.entries[:3], rules.values(), strict=True):
            np.testing.assert_allclose(entry.results[at].values, wanted, atol=1e-9)
    euclidean, cosine = (entry.results[0].values for entry in found.entries[:2])
    assert not np.array_equal(euclidean, cosine)
    assert found.notes == (
        "72 examples of 8 classes; the features are the 6 numbers of each example; what is centred"
        " is centred on the mean over all examples, without their labels, since no other classes"
        " are there",
        "the first three are the yardsticks of `handful evaluate`; nothing was trained",
        LEFT_OUT,
        OF_THESE,
    )


def test_a_few_pictures_of_few_classes_are_enough(tmp_path: Path) -> None:
    for name, value in (("dark", 30), ("light", 220), ("medium", 120)):
        (tmp_path / name).mkdir()
        for i in range(4 if name == "dark" else 6):
            picture = np.full((12, 12), value + i, np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{i}.png")
    found = compared(tmp_path, Plan(shots=(1, 5), episodes=4), "data.image_size=8")
    assert found.sizes == (TaskSize(3, 1, 3), TaskSize(3, 3, 1))
    assert found.notes[:5] == (
        "--way 5 is lowered to 3, the classes of the data",
        "--queries 15 is lowered to 3 at 1-shot: dark has 4 examples",
        "--shot 5 is lowered to 3: dark has 4 examples",
        "--queries 15 is lowered to 1 at 3-shot: dark has 4 examples",
        "16 examples of 3 classes; the features are the 64 pixels themselves, for want of a"
        " --backbone; what is centred is centred on the mean over all examples, without their"
        " labels, since no other classes are there",
    )
    assert found.entries[0].results[0].accuracy == 1.0  # plain grey: the distance tells them apart


def test_classes_that_are_too_small_are_left_out_and_named(tmp_path: Path) -> None:
    """Two of five: the others keep the sizes that were asked for."""
    file = save(tmp_path / "points.npz", [9, 2, 9, 3, 9])
    plan = Plan(ways=(3,), shots=(1, 5), queries=4, episodes=4)
    own = Own(source=str(file), skip_small=True)
    found = compare_on_data(own, plan, workers=1, count=lambda name, total: lambda: None)
    assert found.sizes == (TaskSize(3, 1, 4), TaskSize(3, 5, 4))
    assert found.notes[0] == "left out, with fewer than 9 examples: 1, 3"
    assert found.notes[1].startswith("27 examples of 3 classes")
    with pytest.raises(HandfulError) as refused:
        compare_on_data(
            own, replace(plan, queries=5), workers=1, count=lambda name, total: lambda: None
        )
    assert str(refused.value) == f"0 of 5 classes of {file} have 10 examples or more"
    assert refused.value.hint == "lower the shots or the queries, or do without --skip-small"


def test_sizes_that_come_to_the_same_are_measured_once(tmp_path: Path) -> None:
    data = load_data(
        DataConfig(source=str(save(tmp_path / "p.npz", [4, 9, 9])), split="random"), "all"
    )
    sizes, notes = sizes_for(Plan(ways=(5, 20), shots=(3, 5), queries=1), data)
    assert sizes == [TaskSize(3, 3, 1)]
    assert notes == [
        "--way 5 is lowered to 3, the classes of the data",
        "--shot 5 is lowered to 3: 0 has 4 examples",
        "--way 20 is lowered to 3, the classes of the data",
    ]


@each(
    ("counts", "words", "hint"),
    [
        ([9], "the data have one class, 0", "a task needs two or more"),
        (
            [9, 1, 9],
            "class 1 has one example, wanted one to adapt to and another to test on",
            "add some, or leave the class out",
        ),
    ],
)
def test_data_without_a_task_are_refused(
    counts: list[int], words: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(HandfulError) as refused:
        compared(save(tmp_path / "points.npz", counts))
    assert (str(refused.value), refused.value.hint) == (words, hint)


@each(
    ("source", "changes", "words", "hint"),
    [
        (
            "omniglot",
            (),
            "omniglot is not data of one's own",
            "give a folder of images or an .npz file; or name a run or a package",
        ),
        (
            "x.npz",
            ("meta.lr=1",),
            "--set: meta is set, without a run there are settings of data alone",
            "such as data.image_size=32 or data.backbone_scale=0.00392",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    source: str, changes: tuple[str, ...], words: str, hint: str
) -> None:
    with pytest.raises(HandfulError) as refused:
        compared(Path(source), PLAN, *changes)
    assert (str(refused.value), refused.value.hint) == (words, hint)


def test_conditions_are_for_runs_and_packages() -> None:
    asked = {"ways": (5,), "shots": (1,), "queries": 5, "episodes": 5, "seed": 0, "within": True}
    with pytest.raises(HandfulError) as refused:
        compare_command((), Request(data="x.npz", **asked), lambda name, total: lambda: None)  # type: ignore[arg-type]
    assert str(refused.value) == "one's own data are compared as they are"
    assert refused.value.hint == (
        "leave out --within, --upright and --distort, or name a run or a package"
    )


def test_pictures_through_a_backbone_and_a_doubt_about_its_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    backbone, file = clipped(tmp_path / "clipped.onnx"), tmp_path / "colours.npz"
    data = pictures(6)
    np.savez(file, x=data.x.numpy(), y=data.labels.numpy())

    def notes(*changes: str) -> tuple[Compared, str]:
        own = Own(source=str(file), backbone=str(backbone), changes=changes)
        plan = Plan(shots=(1,), queries=2, episodes=10)
        found = compare_on_data(own, plan, workers=1, count=lambda name, total: lambda: None)
        return found, "\n".join(found.notes)

    right, words = notes()
    assert right.entries[0].results[0].accuracy == pytest.approx(1.0, abs=0.05)
    assert "the features are the 3 outputs of clipped.onnx" in words
    assert "scale" not in words
    _, words = notes("data.backbone_scale=0.05", "data.backbone_offset=0.0")
    assert "the backbone reads values from 0 to 12.75" in words
