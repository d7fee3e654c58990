"""The examples run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import handful

from .each import each

EXAMPLES = Path(__file__).parents[1] / "examples"


def output(example: str, *arguments: Path, lines: str = "", words: str = "") -> list[str]:
    """What the example prints, given these lines; `words` is all that it says beside."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / example), *map(str, arguments)],
        env={"PYTHONPATH": str(Path(handful.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == words
    return done.stdout.splitlines()


def test_arrays_are_adapted_to_and_a_class_is_added() -> None:
    lines = output("adapt_arrays.py")
    assert [line.rsplit(" ", 1)[0] for line in lines[:2]] == ["ring: ring", "cross: cross"]
    assert lines[2:] == ["step: step", "ring cross step"]


def test_a_sensor_is_calibrated_by_the_lines_whose_value_is_known() -> None:
    """A unit that reads a third too much, drifts and saturates: what it is off by is gone."""
    rng = np.random.default_rng(4)
    value, time = rng.uniform(-1, 1, 40), rng.uniform(0, 1, 40)
    raw = 1.8 * np.tanh((1.3 * (value + 0.4 * time) + 0.3) / 1.8)
    known = [f"{r:.4f}, {t:.4f}, {v:.4f}" for r, t, v in zip(raw, time, value, strict=True)][:15]
    asked = [f"{r:.4f}, {t:.4f}" for r, t in zip(raw, time, strict=True)]
    lines = ["raw, time, value", known[0], asked[0], *known[1:], *asked[15:]]
    words = (
        "line 1 is passed over, wanted numbers\nline 3 is passed over, wanted 4 more known values\n"
    )
    answers = output("calibrate_sensor.py", lines="\n".join(lines), words=words)
    error = np.square(np.array(answers, float) - value[15:]).mean()
    assert error < 0.01 < 0.05 < np.square(raw - value)[15:].mean()


@each("example", sorted(EXAMPLES.glob("*.py")))
def test_without_arguments_it_says_how_it_is_used(example: Path) -> None:
    done = subprocess.run(
        [sys.executable, example], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    if example.name != "adapt_arrays.py":  # which needs none
        assert example.name in done.stdout + done.stderr


def movement(name: str, count: int, phase: float = 0.0) -> list[str]:
    """Lines x, y, pen of a pen that goes round, in an eight, or to and fro, once in 64 readings."""
    turn = 2 * np.pi * np.arange(count) / 64 + phase
    x, y = {
        "round": (np.cos(turn), np.sin(turn)),
        "eight": (np.sin(2 * turn) / 2, np.cos(turn)),
        "shake": (np.cos(turn), 0.1 * np.cos(2 * turn)),
    }[name]
    return [f"{500 + 90 * a:.1f},{300 + 90 * b:.1f},1" for a, b in zip(x, y, strict=True)]


def test_movements_are_recognised_in_the_windows_of_a_stream(tmp_path: Path) -> None:
    for name in ("eight", "round", "shake"):
        (tmp_path / name).mkdir()
        for i in range(2):
            lines = movement(name, 64 + 7 * i, phase=i)
            (tmp_path / name / f"{i}.csv").write_text("\n".join(["x,y,pen", *lines]))
    stream = [line for name in ("shake", "round", "eight") for line in movement(name, 192, 0.5)]
    answers = [
        line.split() for line in output("gesture_stream.py", tmp_path, lines="\n".join(stream))
    ]
    assert [int(first) for first, *_ in answers] == list(range(0, 576 - 63, 32))
    for first, name, _ in answers:
        begun, ended = int(first) // 192, (int(first) + 63) // 192
        if begun == ended:  # a window that holds one movement alone
            assert name == ("shake", "round", "eight")[begun]


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
