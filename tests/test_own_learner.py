"""The page on a learner of one's own is followed to the letter, command by command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import handful
from handful.trainer.data import DataConfig, load_data

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-learner.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("kind", "suffix"), [("python", ".py"), ("toml", ".toml")])
def test_the_page_shows_the_example(kind: str, suffix: str) -> None:
    file = (ROOT / "examples" / "own_learner").with_suffix(suffix)
    assert blocks(kind) == [file.read_text(encoding="utf-8")]


def run(line: str, folder: Path) -> str:
    """What a command of the page prints, given in `folder`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *shlex.split(line)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(handful.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stdout


def draw_characters(folder: Path) -> list[str]:
    """Three drawings of each of five unseen characters and one more of each; gives the classes.

    They are dark on light, as ink on paper; the data have them bright on dark.
    """
    test = load_data(DataConfig(source="glyphs", rotations=False), "meta_test")
    each = int(test.counts[0])
    for c, name in enumerate(test.classes[:5]):
        (folder / "characters" / name).mkdir(parents=True)
        for k in range(3):
            drawing = Image.fromarray(255 - test.x[c * each + k, :, :, 0].numpy())
            drawing.save(folder / "characters" / name / f"{k}.png")
        Image.fromarray(255 - test.x[c * each + 3, :, :, 0].numpy()).save(folder / f"new-{c}.png")
    shutil.copy(folder / "new-0.png", folder / "new.png")
    return list(test.classes[:5])


@pytest.mark.slow
@pytest.mark.contract
def test_the_page_leads_from_an_empty_folder_to_a_device(tmp_path: Path) -> None:
    for suffix in (".py", ".toml"):
        shutil.copy(ROOT / "examples" / f"own_learner{suffix}", tmp_path)
    drawn = draw_characters(tmp_path)
    training, device = blocks("sh")
    printed = [run(line, tmp_path) for line in training.splitlines()]
    five_way = re.search(r"5 +1 +200 +(\d+\.\d+) ±", printed[1])
    assert five_way
    assert float(five_way[1]) > 75  # the nearest neighbour on pixels: 64
    assert (tmp_path / "packages" / "tuned-means" / "manifest.json").is_file()

    shutil.rmtree(tmp_path / "runs")  # the device has neither the run
    (tmp_path / "own_learner.py").unlink()  # nor the learner
    answers = [run(line, tmp_path) for line in device.splitlines()]
    label, score, file = answers[1].split()
    assert (label in drawn, file) == (True, "new.png")
    assert 0.2 < float(score) <= 1
    others = " ".join(f"new-{c}.png" for c in range(5))
    command = f"handful predict characters.npz {others} --package packages/tuned-means"
    labels = [line.split()[0] for line in run(command, tmp_path).splitlines()]
    assert sum(a == b for a, b in zip(labels, drawn, strict=True)) >= 3
    again = run("handful evaluate packages/tuned-means --episodes 20 --no-yardsticks", tmp_path)
    assert re.search(r"5 +1 +20 +\d+\.\d+ ±", again)
