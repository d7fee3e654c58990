"""A report of sounds and of readings: names in place of pictures, and which example is nearest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.tools.on_files import Answer, save_task
from handful.runtime.tools.report import MOST_ANSWERS, Listing, write_report
from handful.runtime.tools.tested import Checked, measure_folder

from .small_sounds import write_tone


def test_wrong_answers_come_first_and_no_more_are_kept_than_are_listed() -> None:
    rng = np.random.default_rng(0)
    listing, all_of_them = Listing(), []
    for i, score in enumerate(rng.permutation(5 * MOST_ANSWERS) / (5 * MOST_ANSWERS)):
        file = Path(f"{i}.npy")
        answer = Answer(str(file), "cup", float(score), {})
        all_of_them.append(Checked("cup", answer, i % 10 > 0, file))
        listing.add(all_of_them[-1], np.array([i]))
        assert len(listing._kept) <= 2 * MOST_ANSWERS
    wrong = sorted((c for c in all_of_them if not c.right), key=lambda c: -(c.answer.score or 0))
    right = sorted((c for c in all_of_them if c.right), key=lambda c: c.answer.score or 0)
    assert len(wrong) < MOST_ANSWERS
    assert [c for c, _ in listing.answers()] == [*wrong, *right][:MOST_ANSWERS]
    assert all(example == [int(c.file.stem)] for c, example in listing.answers())


@pytest.mark.filterwarnings("ignore:.* nearly the same")  # tones 1 hertz apart are
def test_sounds_are_named(packages: Any, tmp_path: Path) -> None:
    for place, apart in (("given", 0), ("other", 1)):
        for label, pitch in (("low", 200), ("high", 400)):
            write_tone(tmp_path / place / label / "0.wav", pitch + apart)
    learner = handful.load(packages("tones"))
    given = {name: [tmp_path / "given" / name / "0.wav"] for name in ("low", "high")}
    save_task(learner.adapt(given), tmp_path / "task.npz")
    out = tmp_path / "report.html"
    write_report(tmp_path / "task.npz", out, examples=tmp_path / "given", test=tmp_path / "other")
    for label in ("low", "high"):
        cells = (
            f"</svg>{tmp_path}/other/{label}/0.wav</td><td>{label}</td><td>{label}</td>",
            f"</svg>{tmp_path}/given/{label}/0.wav</td><td>{label}</td>",
        )
        (row,) = [line for line in out.read_text().splitlines() if cells[0] in line]
        assert cells[1] in row
    assert "<img" not in out.read_text()


@pytest.mark.filterwarnings("ignore:.*cut into 3 windows:handful.runtime.errors.InputWarning")
def test_windows_of_a_recording_are_numbered(packages: Any, tmp_path: Path) -> None:
    """Two files, of which one is a recording of three windows."""
    learner = handful.load(packages("series"))
    length = learner.input.shape[0]
    line = np.linspace(0, 1, 2 * length, dtype=np.float32)
    level = np.ones((length, 2), np.float32)
    level[::7] += 0.01  # readings that never change would be warned of
    recordings = {"rising": np.stack([line, line], 1), "level": level}
    for label, recording in recordings.items():
        (tmp_path / "moves" / label).mkdir(parents=True)
        np.save(tmp_path / "moves" / label / "1.npy", recording)
    files = {label: [str(tmp_path / "moves" / label / "1.npy")] for label in recordings}
    moves = tmp_path / "moves"
    task = learner.adapt(files)
    save_task(task, tmp_path / "task.npz")
    write_report(tmp_path / "task.npz", tmp_path / "report.html", examples=moves, test=moves)
    found = measure_folder(tmp_path / "task.npz", tmp_path / "moves")
    page = (tmp_path / "report.html").read_text()
    assert task.counts == {"rising": 3, "level": 1}
    assert len(found.checked) == 4
    for i in range(3):
        assert f"</svg>{tmp_path}/moves/rising/1.npy[{i}]</td>" in page
        assert f"<td>example {i + 1} of rising</td>" in page
    assert f"</svg>{tmp_path}/moves/level/1.npy</td><td>level</td>" in page
