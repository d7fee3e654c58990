"""`adapt` and `predict` on WAV files, with the package that ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ..runtime.small_sounds import header, wav
from .called import error, run

RATE = 22050


def chirp(path: Path, low: float, high: float, seconds: float = 0.6) -> Path:
    """A tone with overtones that glides from one pitch to another, and a little noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = round(seconds * RATE)
    turns = np.cumsum(np.linspace(low, high, count)) / RATE
    x = sum(np.sin(2 * np.pi * k * turns) / k for k in (1, 2, 3, 4)) * np.hanning(count)
    x = 0.3 * x + 0.001 * np.random.default_rng(len(path.name)).standard_normal(count)
    samples = np.round(x * 32767).astype("<i2").tobytes()
    path.write_bytes(wav(samples, header(rate=RATE)))
    return path


@pytest.fixture
def words(tmp_path: Path) -> Path:
    for name, low, high in (("up", 150, 500), ("down", 500, 150), ("flat", 300, 300)):
        for i in range(2):
            chirp(tmp_path / "words" / name / f"{i}.wav", low * (1 + i / 20), high * (1 + i / 20))
    return tmp_path / "words"


def test_a_folder_of_wav_files_and_new_ones(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "task.npz"
    done = run("adapt", "keywords-proto-maml", words, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert f"wrote {out}: down (2), flat (2), up (2)" in done.stderr.splitlines()
    new = [
        chirp(tmp_path / "a.wav", 160, 530, 0.7),
        chirp(tmp_path / "b.wav", 520, 160, 0.7),
        chirp(tmp_path / "c.wav", 310, 310, 0.5),
    ]
    said = run("predict", out, *new).stdout
    assert [line.split("\t")[0] for line in said.splitlines()] == ["up", "down", "flat"]
    answers = json.loads(run("predict", out, *new, "--json").stdout)
    assert [answer["label"] for answer in answers] == ["up", "down", "flat"]
    assert set(answers[0]["probabilities"]) == {"up", "down", "flat"}


def test_what_is_no_sound_is_named(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "task.npz"
    (words / "up" / "photo.wav").write_bytes(b"\x89PNG")
    (words / "notes.txt").write_text("beside the classes: passed over")
    adapted = error(run("adapt", "keywords-proto-maml", words, "--out", out))
    assert adapted == (
        f"error: {words}/up/photo.wav is not a WAV file\n"
        "\n"
        "hint: a WAV file of 8, 16, 24 or 32 bits, or of floats:"
        " ffmpeg -i FILE -c:a pcm_s16le OUT.wav\n"
    )
    (words / "loose.wav").write_bytes(b"")
    (words / "up" / "photo.wav").unlink()
    assert error(run("adapt", "keywords-proto-maml", words, "--out", out)) == (
        f"error: loose.wav lies in {words} itself, wanted it in a sub-folder\n"
        "\n"
        "hint: one sub-folder a class, named as the class\n"
    )
    assert not out.exists()


def test_a_silent_file_is_named_when_it_is_learnt_from_and_when_it_is_asked_about(
    words: Path, tmp_path: Path
) -> None:
    out, still = tmp_path / "task.npz", words / "up" / "muted.wav"
    still.write_bytes(wav(bytes(2 * RATE), header(rate=RATE)))
    nothing = "has nothing in it: silence (channels that cancel out are silent together)"
    learnt = f"warning: {still} {nothing}; what is learnt from that means nothing"
    answered = f"warning: {still} {nothing}; an answer to that means nothing"
    assert run("adapt", "keywords-proto-maml", words, "--out", out).stderr.count(learnt) == 1
    both = run("predict", out, still, words / "up" / "0.wav", "--unknown", "5%")
    assert both.stderr.splitlines().count(answered) == 1
    assert "nothing in it" not in both.stderr.replace(answered, "")
    assert both.stdout.splitlines()[0].split("\t")[0] == "-"
    grown = run("add", out, words, "--out", tmp_path / "more.npz")
    assert grown.stderr.count(learnt) == 1
