"""Words in a stream: each is heard once, at its place, whatever the blocks are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import InputError
from handful.runtime.listener import Heard, Listener, words
from handful.runtime.task import Task

from ..each import each
from .refusal import refusal
from .small_sounds import RATE, tone

LOW, HIGH = 1.0, 2.5  # seconds at which the tones begin


@pytest.fixture
def task(packages: Any) -> Task:
    return handful.load(packages("tones")).adapt({"low": tone(200), "high": tone(400)})


def stream(rate: int = RATE) -> Any:
    """Four seconds with two tones of 60 ms."""
    x = np.zeros(4 * rate)
    for start, pitch in ((LOW, 200), (HIGH, 400)):
        short = tone(pitch, 0.06, rate)
        x[round(start * rate) : round(start * rate) + len(short)] = short
    return x


def heard(task: Task, x: Any, size: int, rate: int = RATE, **how: float) -> list[Heard]:
    blocks = (x[i : i + size] for i in range(0, len(x), size))
    return list(words(task, blocks, rate, every=0.01, **how))


def test_each_word_is_heard_once_and_where_it_is(task: Task) -> None:
    found = heard(task, stream(), 160)
    assert [word.label for word in found] == ["low", "high"]
    for word, start in zip(found, (LOW, HIGH), strict=True):
        # the tone lies in the middle of a window of 100 ms, which begins 20 ms before it
        assert word.start == pytest.approx(start - 0.02, abs=0.011)
        assert 0.5 < word.score <= 1


@each("size", [1, 37, 8000, 10**6])
def test_the_size_of_the_blocks_does_not_matter(task: Task, size: int) -> None:
    x = stream()[: 2 * RATE] if size == 1 else stream()
    assert heard(task, x, size) == [
        w for w in heard(task, stream(), 160) if w.start < len(x) / RATE
    ]


def test_other_rates_channels_and_types(task: Task) -> None:
    for x in (stream(44100), np.round(stream(44100) * 32767).astype(np.int16)):
        both = np.stack([x, x], axis=1)
        assert [word.label for word in heard(task, both, 4410, 44100)] == ["low", "high"]


def test_a_word_at_the_very_end_is_heard_when_the_stream_closes(task: Task) -> None:
    x = stream()[: round((LOW + 0.06) * RATE)]
    listener = Listener(task, RATE, every=0.01)
    assert listener.feed(x) == []
    assert [word.label for word in listener.close()] == ["low"]


def test_a_word_at_the_very_beginning_is_heard(task: Task) -> None:
    x = stream()[round(LOW * RATE) : round(HIGH * RATE)]
    (found,) = heard(task, x, 160)
    assert (found.label, found.start) == ("low", 0.0)


def test_what_is_quiet_or_unlikely_is_no_word(task: Task) -> None:
    assert heard(task, 0.001 * stream(), 160) == []
    scores = [word.score for word in heard(task, stream(), 160)]
    assert heard(task, stream(), 160, sure=min(1.0, max(scores) + 1e-4)) == []


def test_the_constant_of_a_microphone_is_no_word_and_hides_none(task: Task) -> None:
    noise = np.random.default_rng(0).normal(0, 0.001, 4 * RATE)
    for constant in (0.02, -0.3):
        assert heard(task, np.full(6 * RATE, constant), 160) == []
        assert heard(task, noise + constant, 160) == []
        found, clean = heard(task, stream() + constant, 160), heard(task, stream(), 160)
        assert [(w.label, w.start) for w in found] == [(w.label, w.start) for w in clean]
    ends = stream()[: round((LOW + 0.06) * RATE)] + 0.2
    assert [word.label for word in heard(task, ends, 160)] == ["low"]


def test_numbers_that_make_no_sense_are_refused(task: Task, packages: Any) -> None:
    def words_of(call: Any) -> str:
        return refusal(call, InputError)[0]

    assert words_of(lambda: Listener(task, 10)) == (
        "rate is 10, wanted 4000 to 192000 samples a second"
    )
    assert words_of(lambda: Listener(task, RATE, every=0)) == (
        "every is 0, wanted more than 0, up to 1"
    )
    assert words_of(lambda: Listener(task, RATE).feed(np.zeros((2, 2, 2)))) == (
        "block has shape [2, 2, 2], wanted [n] or [n, channels]"
    )
    silent = handful.load(packages("prototypes")).adapt({"a": np.zeros(4), "b": np.ones(4)})
    assert words_of(lambda: Listener(silent, RATE)) == "package prototypes takes no sound"


def test_the_example_hears_a_file_and_standard_input(packages: Any, tmp_path: Path) -> None:
    """The program of examples/, as a person runs it."""
    import os
    import subprocess
    import sys

    from .small_sounds import header, wav, write_tone

    program = Path(handful.__file__).parent / "examples" / "hear_words.py"
    for label, pitch in (("low", 200), ("high", 400)):
        write_tone(tmp_path / "words" / label / "0.wav", pitch)
    sixteen = np.round(stream(16000) * 32767).astype("<i2").tobytes()
    (tmp_path / "speech.wav").write_bytes(wav(sixteen, header(rate=16000)))
    environment = {**os.environ, "HANDFUL_PACKAGE": str(packages("tones"))}

    def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, program, *arguments],
            input=given, capture_output=True, env=environment, cwd=tmp_path, check=False,
        )  # fmt: skip

    for done in (run("words", "speech.wav"), run("words", "-", given=sixteen)):
        assert done.stderr == b""
        said = [line.split()[2] for line in done.stdout.decode().splitlines()]
        assert said == ["low", "high"]
    bad = run("none", "speech.wav")
    assert (bad.returncode, bad.stdout) == (1, b"")
    assert bad.stderr.startswith(b"error: no folder none\n\nhint: ")
