"""The examples run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import handful

EXAMPLES = Path(__file__).parents[1] / "examples"


def output(example: str, *arguments: Path) -> list[str]:
    """What the example prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / example), *map(str, arguments)],
        env={"PYTHONPATH": str(Path(handful.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_arrays_are_adapted_to_and_a_class_is_added() -> None:
    lines = output("adapt_arrays.py")
    assert [line.rsplit(" ", 1)[0] for line in lines[:2]] == ["ring → ring", "cross → cross"]
    assert lines[2:] == ["step → step", "ring cross step"]


def drawn(name: str, shift: int) -> Image.Image:
    """A ring or a bar, dark on light, somewhere."""
    row, column = np.mgrid[:28, :28] - 13.5 - shift
    ring = abs(np.hypot(row, column) - 7) < 1.5
    bar = (abs(column) < 1.5) & (abs(row) < 9)
    return Image.fromarray(np.where(ring if name == "ring" else bar, 0, 255).astype(np.uint8))


def test_a_folder_is_watched_for_photos(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in ("bar", "ring"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for shift in (0, 1):
            drawn(name, shift).save(tmp_path / "classes" / name / f"{shift}.png")
    example = [sys.executable, "-W", "error", str(EXAMPLES / "watch_folder.py"), "omniglot-leo"]
    places = [str(tmp_path / "classes"), str(inbox), "--count", "3", "--pause", "0.05"]
    with subprocess.Popen(
        [*example, *places],
        env={"PYTHONPATH": str(Path(handful.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "learned bar (2) ring (2)\n"
        answers = []
        for name in ("ring", "bar"):  # each once the last one was answered
            drawn(name, -2).save(inbox / f"new {name}.png")
            answers.append(watching.stdout.readline())
        (inbox / "notes.txt").write_text("not a picture")
        answers.append(watching.stdout.readline())
        assert watching.wait(timeout=60) == 0
    assert answers[0].startswith("new ring.png → ring ")
    assert answers[1].startswith("new bar.png → bar ")
    assert answers[2].startswith(f"notes.txt → {inbox / 'notes.txt'} is not a picture")
