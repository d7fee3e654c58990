"""The examples run as their first lines say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import handful

from .each import each

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
CPP_HEADERS = [
    Path(os.environ.get("ONNXRUNTIME_HEADERS", "none")),
    Path("/usr/include/onnxruntime"),
]


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


def frozen(folder: Path) -> tuple[Path, Path, Path, list[str]]:
    """A frozen task, the bytes of one of its examples, those of noise, and its labels."""
    from handful.trainer.export.freeze import freeze

    rng = np.random.default_rng(0)
    drawings = (rng.random((3, 28, 28, 1)) > 0.8).astype(np.uint8) * 255
    task = handful.load("omniglot-leo").adapt(list(drawings), ["ring", "cross", "step"])
    model, example, noise = (folder / name for name in ("model.onnx", "example", "noise"))
    freeze(task, model, unknown=0.05)
    example.write_bytes(drawings[1].tobytes())
    noise.write_bytes(rng.integers(0, 256, (28, 28, 1)).astype(np.uint8).tobytes())
    return model, example, noise, list(task.classes)


def test_a_frozen_task_answers_in_cpp(tmp_path: Path) -> None:
    headers = next(
        (place for place in CPP_HEADERS if (place / "onnxruntime_cxx_api.h").is_file()), None
    )
    if headers is None or not shutil.which("g++"):
        pytest.skip("needs g++ and onnxruntime's headers, as Debian's libonnxruntime-dev has them")
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (tmp_path / name).symlink_to(library)
    program = tmp_path / "frozen"
    subprocess.run(
        ["g++", "-std=c++17", EXAMPLES / "frozen.cpp", f"-I{headers}", f"-L{tmp_path}",
         "-lonnxruntime", f"-Wl,-rpath,{tmp_path}", "-Wall", "-Werror", "-o", program],
        check=True,
    )  # fmt: skip
    model, example, noise, _ = frozen(tmp_path)

    def answer(file: Path) -> str:
        done = subprocess.run([program, model], input=file.read_bytes(), capture_output=True)
        return done.stdout.decode().split(" ")[0].strip() if not done.returncode else "error"

    assert [answer(file) for file in (example, noise, model)] == ["cross", "none", "error"]


def test_a_frozen_task_answers_in_javascript(tmp_path: Path) -> None:
    modules = ROOT / "web" / "node_modules"
    if not (modules / "onnxruntime-node").is_dir() or not shutil.which("node"):
        pytest.skip("needs node, and onnxruntime-node in web/node_modules")
    (tmp_path / "node_modules").symlink_to(modules)
    script = Path(shutil.copy(EXAMPLES / "frozen.mjs", tmp_path))
    model, example, noise, labels = frozen(tmp_path)
    for file, wanted in ((example, "cross"), (noise, "none of these")):
        done = subprocess.run(
            ["node", script, model, file, *labels], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith(wanted)
