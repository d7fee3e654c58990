"""A learner is one file and one line: a copy of handful gets one, and everything works with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from PIL import Image

from handful.trainer.learners import LEARNERS
from handful.trainer.training.config import PretrainConfig
from handful.trainer.training.pretrain import pretraining_learners

ROOT = Path(__file__).parents[1]
SHARED = ("conftest.py", "trainer/conftest.py", "trainer/cases.py", "trainer/small.py",
          "trainer/test_learners.py")  # fmt: skip
BRIEF = ("data.image_size=12", "data.rotations=false", "data.split=random", "meta.steps=4",
         "meta.way=3", "meta.validate_every=4", "meta.validation_episodes=4", "meta.queries=3",
         "meta.validation_way=3", "meta.validation_queries=3")  # fmt: skip


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
    imports, found, rest = text.partition("\nLEARNERS:")
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
    assert re.search(r"\b2 passed", passed)  # what the form promises, and meta-training

    draw(tmp_path / "data")
    settings = [word for change in BRIEF for word in ("--set", change)]
    one = ("--workers", 1)
    train = ("train", "tuned-means", "--data", "data", "--out", "run", *settings, *one)
    run(tmp_path, "handful", *train)
    few = ("--episodes", 5, "--queries", 3, "--way", 3)
    table = run(tmp_path, "handful", "evaluate", "run", *few, *one)
    assert re.search(r"3 +1 +5 +\d+\.\d+ ±", table)
    run(tmp_path, "handful", "export", "run", "mine", "--episodes", 0)
    assert "tuned-means" in run(tmp_path, "handful", "inspect", "mine")
    run(tmp_path, "handful", "verify", "mine")
    run(tmp_path, "handful", "adapt", "mine", "support", "--out", "task.npz")
    asked = ("support/c0/0.png", "support/c1/0.png")
    answers = run(tmp_path, "handful", "predict", "task.npz", *asked, "--package", "mine")
    assert [line.split()[0] for line in answers.splitlines()] == ["c0", "c1"]


def draw(folder: Path) -> None:
    """Twenty classes of eight noisy pictures, and two of them as a task beside the folder."""
    rng = np.random.default_rng(0)
    for c in range(20):
        ink = rng.random((12, 12)) < 0.4
        for place in (folder, *([folder.parent / "support"] if c < 2 else [])):
            (place / f"c{c}").mkdir(parents=True)
            for k in range(8):
                paper = 255 - 200 * ink - rng.integers(0, 40, (12, 12))
                Image.fromarray(paper.astype(np.uint8)).save(place / f"c{c}" / f"{k}.png")


def test_nothing_outside_chooses_by_a_learners_name() -> None:
    """`handful photos`, the demo and everybody's classifier are made of one learner each."""
    made_of_one = {"photos.py", "__main__.py", "everybody.py"}
    modules = "|".join(kind.__module__.rpartition(".")[2] for kind in LEARNERS.values())
    names = "|".join(LEARNERS)
    chosen = re.compile(rf"learners\.({modules}) import|== \"({names})\"|LEARNERS\[\"")
    trainer = ROOT / "trainer"
    for file in trainer.rglob("*.py"):
        if file.parent.name != "learners" and file.name not in made_of_one:
            found = chosen.search(file.read_text(encoding="utf-8"))
            assert not found, f"{file.relative_to(trainer)}: {found[0]}"


def test_every_learner_has_a_page_and_the_contents_list_it() -> None:
    pages = {
        file: file.read_text(encoding="utf-8") for file in (ROOT / "docs/learners").glob("*.md")
    }
    contents = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for name, kind in LEARNERS.items():
        file = f"trainer/learners/{kind.__module__.rpartition('.')[2]}"
        assert any(file in text for text in pages.values()), f"no page of {name} names {file}.py"
    for page in pages:
        assert f"](learners/{page.name})" in contents, f"docs/index.md does not list {page.name}"


def test_pre_training_offers_what_the_learners_train_networks_by() -> None:
    offered = get_args(get_type_hints(PretrainConfig)["objective"])
    assert set(offered) == set(pretraining_learners())
