"""A learner is one file and one line: a copy of handful gets one, and everything works with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from handful.trainer.data import DataConfig, load_data
from handful.trainer.learners import LEARNERS

ROOT = Path(__file__).parents[1]
SHARED = ("conftest.py", "trainer/conftest.py", "trainer/cases.py", "trainer/small.py",
          "trainer/test_learners.py")  # fmt: skip
BRIEF = ("meta.steps=4", "meta.validate_every=4", "meta.validation_episodes=4", "meta.queries=3")


def copy_of_handful(folder: Path) -> Path:
    """The package and the shared tests, in a folder from which both can be imported."""
    package = folder / "handful"
    package.mkdir(parents=True)
    for file in (*ROOT.glob("*.py"), ROOT / "pyproject.toml"):
        shutil.copy(file, package)
    for part in ("runtime", "trainer"):
        shutil.copytree(ROOT / part, package / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SHARED:
        if (ROOT / "tests" / name).exists():
            (package / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "tests" / name, package / "tests" / name)
    return package


def add_a_learner(package: Path) -> None:
    """The example of a learner of one's own as one of handful's: its file, and its line."""
    learners = package / "trainer" / "learners"
    shutil.copy(ROOT / "examples" / "own_learner.py", learners / "tuned_means.py")
    listed = learners / "__init__.py"
    text = listed.read_text(encoding="utf-8")
    last = f'    "{list(LEARNERS)[-1]}": {list(LEARNERS.values())[-1].__name__},\n'
    assert text.count(last) == 1
    text = text.replace(last, f'{last}    "tuned-means": TunedMeans,\n')
    imports, found, rest = text.partition("\n__all__")
    assert found
    text = f"{imports}from .tuned_means import TunedMeans\n{found}{rest}"
    listed.write_text(text, encoding="utf-8")


def run(folder: Path, *arguments: object) -> str:
    """What a module prints, run in `folder` on the copy there."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.contract
def test_a_learner_is_added_in_one_file_and_one_line(tmp_path: Path) -> None:
    package = copy_of_handful(tmp_path)
    add_a_learner(package)
    shared = package / "tests" / "trainer" / "test_learners.py"
    passed = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", shared, "-k", "tuned-means")
    assert re.search(r"\b3 passed", passed)  # symmetries, one by one, meta-training

    settings = [word for change in BRIEF for word in ("--set", change)]
    run(tmp_path, "handful", "train", "tuned-means", "--data", "glyphs", "--out", "run", *settings)
    table = run(tmp_path, "handful", "evaluate", "run", "--episodes", 5, "--workers", 1)
    assert re.search(r"5 +1 +5 +\d+\.\d+ ±", table)
    run(tmp_path, "handful", "export", "run", "mine", "--episodes", 5)
    assert "tuned-means" in run(tmp_path, "handful", "inspect", "mine")
    run(tmp_path, "handful", "verify", "mine")

    test = load_data(DataConfig(source="glyphs"), "meta_test")
    for c, name in enumerate(("left", "right")):
        (tmp_path / "drawn" / name).mkdir(parents=True)
        for k in range(4):
            drawing = Image.fromarray(255 - test.x[int(test.start[c]) + k, :, :, 0].numpy())
            drawing.save(tmp_path / (f"{name}.png" if k == 3 else f"drawn/{name}/{k}.png"))
    run(tmp_path, "handful", "adapt", "mine", "drawn", "--out", "task.npz")
    answers = run(
        tmp_path, "handful", "predict", "task.npz", "left.png", "right.png", "--package", "mine"
    )
    labels = [line.split()[0] for line in answers.splitlines()]
    assert len(labels) == 2
    assert set(labels) <= {"left", "right"}
