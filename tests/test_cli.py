"""The command line: what a person reads, exit statuses, and no traceback for what a user can cause."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from handful.cli import main


def run(*arguments: object) -> Result:
    """The command as a person calls it; an exception that is not an exit fails the test."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_commands_are_listed_in_the_order_of_the_work() -> None:
    result = run("--help")
    names = [line.split()[0] for line in result.stdout.split("Commands:\n")[1].splitlines()]
    assert names == [
        "train",
        "evaluate",
        "export",
        "verify",
        "inspect",
        "adapt",
        "predict",
        "bench",
        "learners",
        "data",
        "packages",
    ]


def test_an_unknown_option_is_a_usage_error() -> None:
    assert run("train", "--nonsense").exit_code == 2


def test_a_folder_that_is_no_package_says_so(tmp_path: Path) -> None:
    for command in ("verify", "inspect"):
        result = run(command, tmp_path)
        assert result.exit_code == 1
        assert result.stderr == (
            f"error: no manifest.json in {tmp_path}\n"
            "\n"
            "hint: an exported package is a folder made by `handful export`\n"
        )


def test_evaluating_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    result = run("evaluate", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.endswith(
        f"error: no config.json in {tmp_path}\n\nhint: a run is a folder made by `handful train`\n"
    )


def test_an_unknown_recipe_is_named(tmp_path: Path) -> None:
    result = run("train", "nonsense", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "error: no recipe and no learner nonsense\n\nhint: there are: " in result.stderr


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    result = run("train", "leo", "--out", tmp_path / "run", "--set", "meta.speed=3")
    assert result.exit_code == 1
    assert "error: no such setting in omniglot-leo.toml [meta]: speed" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_list_of_ways_must_be_numbers(tmp_path: Path) -> None:
    result = run("evaluate", tmp_path, "--way", "five")
    assert result.exit_code == 2
    assert "five is not a list of whole numbers" in result.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on four invented classes a part, in a file, trained for two steps."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 256, (30, 8))
    x = np.concatenate([b + rng.normal(0, 5, (12, 8)) for b in bases]).astype(np.float32)
    np.savez(folder / "points.npz", x=x, y=np.repeat(np.arange(30), 12))
    result = run(
        "train",
        "leo",
        "--out",
        folder / "run",
        *(
            part
            for setting in (
                f'data.source="{folder / "points.npz"}"',
                "data.split=random",
                "data.rotations=false",
                "learner.latent_dim=8",
                "learner.network={kind='mlp', hidden=[8], normalisation='running'}",
                "pretrain.steps=4",
                "pretrain.way=[5]",
                "pretrain.queries=2",
                "pretrain.validation_way=5",
                "pretrain.validation_queries=2",
                "pretrain.validate_every=2",
                "pretrain.validation_episodes=5",
                "meta.steps=2",
                "meta.way=[5]",
                "meta.shot=[1]",
                "meta.queries=2",
                "meta.validation_way=5",
                "meta.validation_queries=2",
                "meta.validate_every=1",
                "meta.validation_episodes=5",
            )
            for part in ("--set", setting)
        ),
    )
    assert result.exit_code == 0, result.stderr
    return folder


def test_train_writes_a_run_with_its_curves(trained: Path) -> None:
    found = {path.name for path in (trained / "run").iterdir()}
    assert {"config.json", "metrics.jsonl", "curves.png", "best.safetensors"} <= found
    assert (trained / "run" / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_a_run_is_never_overwritten(trained: Path) -> None:
    result = run("train", "leo", "--out", trained / "run")
    assert result.exit_code == 1
    assert result.stderr.endswith(
        f"error: {trained / 'run'} holds a run already\n"
        "\n"
        "hint: go on with it by --resume, or name another folder with --out\n"
    )


def test_from_a_run_to_a_package_that_verifies(trained: Path) -> None:
    package = trained / "package"
    result = run("export", trained / "run", package, "--episodes", 5)
    assert result.exit_code == 0, result.stderr
    assert run("verify", package).exit_code == 0
    assert "latent_step" in run("inspect", package).stdout
    found = json.loads(run("evaluate", package, "--episodes", 5, "--queries", 2, "--json").stdout)
    same = json.loads(
        run("evaluate", trained / "run", "--episodes", 5, "--queries", 2, "--json").stdout
    )
    assert found[0]["accuracy"] == pytest.approx(same[0]["accuracy"])
    again = run("export", trained / "run", package)
    assert again.exit_code == 1
    assert f"error: {package} exists" in again.stderr


def test_adapt_refuses_a_package_that_does_not_read_images(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "cup").mkdir(parents=True)
    Image.new("L", (28, 28)).save(tmp_path / "photos" / "cup" / "a.png")
    if not (trained / "package").exists():
        run("export", trained / "run", trained / "package", "--episodes", 0)
    result = run("adapt", trained / "package", tmp_path / "photos", "--out", tmp_path / "t.npz")
    assert result.exit_code == 1
    assert not (tmp_path / "t.npz").exists()


def test_lists_name_what_there_is() -> None:
    assert run("learners").stdout.split()[0] == "leo"
    assert "glyphs" in run("data").stdout
    assert "omniglot-leo" in run("packages").stdout
