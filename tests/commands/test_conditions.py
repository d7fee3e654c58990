"""`evaluate` under other conditions: within groups, upright, distorted, on another source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..trainer.data.drawings import folders
from .called import error, run, settings

SIZES = ("--way", 2, "--episodes", 5, "--queries", 1, "--no-yardsticks", "--json")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty classes of pictures in four groups, which differ by noise: the groups by a lot, the
    classes of one group by little.
    """
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 256, (4, 1, 1, 16, 16, 1))
    classes = groups + rng.normal(0, 10, (4, 10, 1, 16, 16, 1))
    x = (classes + rng.normal(0, 40, (4, 10, 6, 16, 16, 1))).clip(0, 255).astype(np.uint8)
    y = [f"g{g}.{c}" for g in range(4) for c in range(10) for _ in range(6)]
    file = tmp_path_factory.mktemp("blocks") / "blocks.npz"
    np.savez(file, x=x.reshape(-1, 16, 16, 1), y=np.array(y))
    parts = {"train": range(2), "val": range(2, 4), "test": range(4, 10)}
    listed = {name: [f"g{g}.{c}" for g in range(4) for c in cs] for name, cs in parts.items()}
    (file.parent / "split.json").write_text(json.dumps(listed))
    return file


@pytest.fixture(scope="module")
def made(blocks: Path) -> tuple[Path, Path]:
    """A run of the nearest neighbour on them, and its package."""
    folder = blocks.parent / "run"
    sizes = [
        f"meta.{name}" for name in ("steps=0", "way=2", "queries=1", "validation_way=2",
        "validation_queries=1", "validation_episodes=2")
    ]  # fmt: skip
    changes = [f"data.split={blocks.parent / 'split.json'}", "data.group_separator='.'", *sizes]
    for command in (
        ("train", "nearest", "--data", blocks, "--out", folder, *settings(*changes)),
        ("export", folder, folder.parent / "package", "--episodes", 0),
    ):
        result = run(*command)
        assert result.exit_code == 0, result.stderr
    return folder, folder.parent / "package"


def measured(place: Path, *options: object, sizes: tuple[object, ...] = SIZES) -> Any:
    result = run("evaluate", place, *sizes, *options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)[0]


def test_a_run_and_its_package_meet_the_same_tasks(made: tuple[Path, Path]) -> None:
    many = ("--way", 4, "--episodes", 30, "--queries", 3, "--no-yardsticks", "--json")
    accuracies = {}
    for options in ((), ("--within",), ("--distort", "noise=0.5", "--distort", "rotation=20")):
        by_run, by_package = (measured(place, *options, sizes=many) for place in made)
        assert by_run == by_package
        accuracies[options[:1]] = by_run["accuracy"]
    assert accuracies["--within",] < accuracies[()] - 0.1
    assert accuracies["--distort",] < accuracies[()] - 0.1


def test_distortions_are_drawn_from_the_seed(made: tuple[Path, Path]) -> None:
    noisy = ("--distort", "noise=0.6", "--seed")
    sizes = ("--way", 4, "--episodes", 40, "--queries", 5, "--no-yardsticks", "--json")
    one, again, other = (measured(made[0], *noisy, seed, sizes=sizes) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_what_cannot_be_measured_is_said(made: tuple[Path, Path]) -> None:
    for place in made:
        assert error(run("evaluate", place, "--within", "--way", 7, "--queries", 1)) == (
            "error: 0 of 4 groups of the meta-test split have 7 classes or more, a task needs 1;"
            " the largest has 6\n"
            "\n"
            "hint: lower --way, or draw from all classes\n"
        )
        assert error(run("evaluate", place, *SIZES, "--data", "glyphs")) == (
            "error: examples of glyphs are [28, 28, 1], the learner reads [16, 16, 1]\n"
            "\n"
            "hint: another source must give examples of the form that it was trained on\n"
        )
    assert error(run("evaluate", made[0], *SIZES, "--distort", "rotate=3")) == (
        "error: --distort: there is no setting distort.rotate\n"
        "\n"
        "hint: did you mean distort.rotation? there are: elastic, noise, pen, rotation, scale,"
        " shear, shift, strokes, wander, warp\n"
    )


def test_points_have_no_groups_and_are_no_pictures(trained: Path, package: Path) -> None:
    for place in (trained, package):
        assert error(run("evaluate", place, "--within")) == (
            "error: the classes of the meta-test split belong to no groups, as class 1\n"
            "\n"
            "hint: a group is what a class's name begins with, up to data.group_separator\n"
        )
        assert error(run("evaluate", place, "--distort", "noise=1")) == (
            "error: only pictures [H, W, C] and series [T, C] can be distorted, those of the"
            " meta-test split are float32 [8]\n"
            "\n"
            "hint: leave the distortions out; embeddings of a backbone are not pictures any more\n"
        )
        assert error(run("evaluate", place, "--data", "glyphs")) == (
            "error: examples of glyphs are [28, 28, 1], the learner reads [8]\n"
            "\n"
            "hint: another source must give examples of the form that it was trained on\n"
        )


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a small Omniglot: of four test characters, two of each alphabet."""
    place = tmp_path_factory.mktemp("characters")
    sizes = [
        f"meta.{name}" for name in ("steps=0", "way=2", "queries=1", "validation_way=2",
        "validation_queries=1", "validation_episodes=2")
    ]  # fmt: skip
    changes = [f"data.path={folders(place / 'omniglot')}", "data.split=lake", *sizes]
    result = run("train", "nearest", "--out", place / "run", *settings(*changes))
    assert result.exit_code == 0, result.stderr
    return place / "run"


def test_upright_leaves_quarter_turns_out(characters: Path) -> None:
    assert error(run("evaluate", characters, "--way", 17, "--queries", 1)) == (
        "error: the meta-test split has 16 classes, a task needs 17\n"
        "\n"
        "hint: lower --way, or give the split more classes\n"
    )
    upright = ("--upright", "--way", 3, "--queries", 1)
    assert "has 4 classes" in error(run("evaluate", characters, "--upright", "--way", 5))
    assert error(run("evaluate", characters, *upright, "--within")) == (
        "error: 0 of 2 groups of the meta-test split have 3 classes or more, a task needs 1;"
        " the largest has 2\n"
        "\n"
        "hint: lower --way, or draw from all classes\n"
    )


def test_another_source_is_tested_on(characters: Path) -> None:
    """Glyphs have more classes and examples than this Omniglot."""
    sizes = ("--way", 20, "--shot", 5, "--episodes", 20, "--queries", 5, "--json")
    glyphs = measured(characters, "--data", "glyphs", sizes=sizes)
    assert (glyphs["way"], glyphs["shot"]) == (20, 5)
    assert 0.3 < glyphs["accuracy"] < 0.9
    names = [other["name"] for other in glyphs["compared"]]
    assert names[0] == "class means of the features, squared distance"


def test_a_package_trained_on_glyphs_is_tested_on_omniglot(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDFUL_DATA", str(shared_data))
    sizes = ("meta.steps=0", "meta.validation_episodes=2", "data.rotations=false")
    for command in (
        ("train", "nearest", "--data", "glyphs", "--out", tmp_path / "run", *settings(*sizes)),
        ("export", tmp_path / "run", tmp_path / "package", "--episodes", 0),
    ):
        result = run(*command)
        assert result.exit_code == 0, result.stderr
    hundred = ("--way", 5, "--episodes", 100, "--no-yardsticks", "--json")
    by_package, by_run = (
        measured(tmp_path / name, "--data", "omniglot", "--upright", sizes=hundred)
        for name in ("package", "run")
    )
    assert by_package == by_run
    assert 0.35 < by_run["accuracy"] < 0.55  # Vinyals et al.: 41.7 % of pixels' neighbours


def test_compare_measures_under_the_same_conditions(made: tuple[Path, Path]) -> None:
    within = ("--within", "--distort", "noise=0.3", "--seed", 3)
    sizes = (*SIZES[:6], "--shot", 1, "--json")
    result = run("compare", *made, *sizes, *within, "--workers", 1)
    assert result.exit_code == 0, result.stderr
    for entry, place in zip(json.loads(result.stdout)["entries"][:2], made, strict=True):
        assert entry["name"] == str(place)
        alone = measured(place, *within)
        assert [entry["results"][0][name] for name in ("accuracy", "interval")] == [
            alone[name] for name in ("accuracy", "interval")
        ]
