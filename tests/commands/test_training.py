"""The commands that need torch: train, evaluate, export."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

import handful
from handful.runtime.tools.inspect import describe

from .called import SMALL, error, run, settings


def test_train_writes_a_run_with_its_curves(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "config.json",
        "data.json",
        "metrics.jsonl",
        "metrics.csv",
        "curves.png",
        "best.safetensors",
        "last.safetensors",
        "pretrained",
    }
    with Image.open(trained / "curves.png") as picture:
        assert picture.width > picture.height > 300
    lines = (trained / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2]


def test_no_export_is_proposed_where_it_would_be_refused(points: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    mlp = "learner.network={kind='mlp', hidden=[8], normalisation='transductive'}"
    small = (s for s in SMALL if s.startswith("meta."))
    changes = settings("data.split=random", "data.rotations=false", mlp, *small)
    result = run("train", "maml", "--data", points, "--out", folder, *changes)
    assert result.stderr.endswith(f"done: {folder}\nnext: handful evaluate '{folder}'\n")
    assert error(run("export", folder, tmp_path / "package")).startswith(
        "error: maml with transductive normalisation cannot be exported"
    )


def test_a_run_is_never_overwritten(trained: Path) -> None:
    assert error(run("train", "leo", "--out", trained)) == (
        f"error: {trained} holds a run already\n"
        "\n"
        "hint: go on with it by --resume, or name another folder with --out\n"
    )


def test_a_run_is_resumed_with_its_own_settings_alone(trained: Path) -> None:
    assert run("train", "--resume", "--out", trained).exit_code == 0
    changed = run("train", "--resume", "--out", trained, "--set", "meta.steps=9")
    assert error(changed) == (
        f"error: {trained} holds a run with other settings\n"
        "\n"
        "hint: resume without changing settings, or name another folder with --out\n"
    )


def test_a_signal_saves_and_how_to_go_on_is_said(points: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    source = settings("data.split=random", "data.rotations=false", *SMALL, "meta.steps=100000")
    command = [sys.executable, "-m", "handful", "train", "leo", "--data", points, "--out", folder]
    process = subprocess.Popen(
        [*map(str, command), *source],
        env={"PYTHONPATH": str(Path(handful.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (folder / "last.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, words = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert words.endswith(
        "error: interrupted, and saved\n"
        "\n"
        f"hint: go on with: handful train --resume --out {folder}\n"
    )
    assert (folder / "curves.png").is_file()
    assert not (folder / "lock").exists()


def test_a_run_and_its_package_see_the_same_tasks(trained: Path, package: Path) -> None:
    sizes = ("--way", 2, 5, "--shot", 1, 3, "--episodes", 5, "--queries", 2, "--json")
    through_torch, through_onnx = (
        json.loads(run("evaluate", folder, *sizes).stdout) for folder in (trained, package)
    )
    assert [(r["way"], r["shot"]) for r in through_onnx] == [(2, 1), (2, 3), (5, 1), (5, 3)]
    for result in (*through_torch, *through_onnx):
        # yardsticks read a run's features, and what a package's embed gives; steps are the same
        result["compared"] = [c for c in result["compared"] if "inner step" in c["name"]]
        assert len(result["compared"]) == 10
        del result["sure"]  # of a package alone
    assert through_torch == through_onnx


def test_evaluate_prints_a_line_for_each_size(package: Path) -> None:
    sizes = ("--way", "2,5", "--episodes", 5, "--queries", 2)
    result = run("evaluate", package, *sizes, "--no-yardsticks")
    head, *lines = result.stdout.splitlines()
    assert head == "way  shot  episodes  accuracy %"
    assert [line.split()[:3] for line in lines] == [["2", "1", "5"], ["5", "1", "5"]]


def test_what_evaluate_cannot_do_is_said(trained: Path, package: Path) -> None:
    assert error(run("evaluate", package, "--transductive")) == (
        "error: a package is never transductive\n\nhint: evaluate the run that made it\n"
    )
    assert error(run("evaluate", trained, "--transductive")) == (
        "error: leo of this run has no transductive form\n"
        "\n"
        "hint: only a learner whose network is meta-trained has one, with"
        " learner.network.normalisation = support or running\n"
    )
    assert error(run("evaluate", package, "--way", 20)) == (
        "error: the meta-test split has 6 classes, a task needs 20\n"
        "\n"
        "hint: lower --way, or give the split more classes\n"
    )
    assert error(run("evaluate", trained, "--queries", 20)) == (
        "error: class 1 of the meta-test split has 12 examples, a task needs 1 + 20\n"
        "\n"
        "hint: lower --shot or --queries, or leave the class out\n"
    )


def test_export_replaces_a_package_only_by_force(
    trained: Path, package: Path, tmp_path: Path
) -> None:
    """The new one is measured alone, without yardsticks."""
    copy = shutil.copytree(package, tmp_path / "package")
    assert error(run("export", trained, copy)) == (
        f"error: {copy} exists\n\nhint: choose another folder, or replace it with --force\n"
    )
    assert "compared with" in (copy / "README.md").read_text()
    options = ("--force", "--name", "points", "--episodes", 2, "--no-yardsticks")
    assert run("export", trained, copy, *options).exit_code == 0
    manifest = describe(copy).manifest
    assert manifest.name == "points"
    assert [entry.compared for entry in manifest.evaluation] == [(), ()]
    assert "compared with" not in (copy / "README.md").read_text()
