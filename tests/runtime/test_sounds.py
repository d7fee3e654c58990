"""From a sound to an example: the rate, the length, the channels; from paths to answers."""

import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import InputError, SupportSetError
from handful.runtime.inputs.examples import read_folder
from handful.runtime.inputs.sounds import batch, cut, middle, resample
from handful.runtime.package.rules import sound_spec
from handful.runtime.tools.on_files import adapt_folder, predict_files

from ..each import each
from .refusal import refusal, refusal_in
from .small_sounds import RATE, tone, write_tone

FORMS = "samples are [n] or [n, channels]: floats from -1 to 1, int16, int32 or uint8"
SHORT = sound_spec(RATE, 4)


def test_one_sample_at_twice_the_rate() -> None:
    """By hand: y_m = f(0.97 (m/2 − 1)) over the sum of f at all old samples, where x is 1 at 1."""

    def f(u: float) -> float:
        return float(np.sinc(u) * np.cos(np.pi * u / 64) ** 2) if abs(u) < 32 else 0.0

    def wanted(m: int) -> float:
        return f(0.97 * (m / 2 - 1)) / sum(f(0.97 * (m / 2 - k)) for k in range(-40, 45))

    y = resample(np.array([0.0, 1.0, 0.0]), 4000, 8000)
    np.testing.assert_allclose(y, [wanted(m) for m in range(6)], atol=1e-12)
    assert y[2] == pytest.approx(0.97, abs=2e-3)  # the cut-off takes three hundredths of the band


@each("old", [8000, 11025, 22050, 44100, 48000, 15999])
def test_a_tone_is_the_same_tone_at_another_rate(old: int) -> None:
    heard = resample(tone(440, 1.0, old), old, 16000)
    assert len(heard) == 16000
    np.testing.assert_allclose(heard[500:-500], tone(440, 1.0, 16000)[500:-500], atol=1e-5)


@each(("old", "new"), [(44100, 16000), (191999, 1001), (16000, 15999), (4001, 191999)])
def test_kept_weights_and_those_made_as_they_go_are_those_of_the_page(old: int, new: int) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 3 * old // new + 40)
    y = resample(x, old, new)
    c = 0.97 * min(1, new / old)
    for m in range(0, len(y), max(1, len(y) // 50)):
        k = np.arange(int(m * old / new - 32 / c) - 1, int(m * old / new + 32 / c) + 2)
        u = c * (m * old / new - k)
        f = np.where(np.abs(u) < 32, np.sinc(u) * np.cos(np.pi * u / 64) ** 2, 0)
        inside = (k >= 0) & (k < len(x))
        assert y[m] == pytest.approx(float(f[inside] @ x[k[inside]] / f.sum()), abs=1e-12)


def test_an_awkward_ratio_takes_the_time_and_memory_of_any_other() -> None:
    """A sixteenth of the longest recording that is taken; SECURITY.md names ten seconds for it."""
    x = np.zeros(2**19)
    tracemalloc.start()
    began = time.process_time()
    resample(x, 191999, 1001)
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 3
    assert peak < 2 * x.nbytes + 2**23


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    assert abs(resample(tone(9000, 1.0, 48000), 48000, 16000)[500:-500]).max() < 3e-4


def test_a_constant_stays_as_it_is() -> None:
    y = resample(np.ones(4000), 44100, 16000)
    np.testing.assert_allclose(y[50:-50], 1, atol=1e-12)


def test_a_short_sound_gets_silence_on_both_sides() -> None:
    assert cut(np.array([1.0, 2.0]), 5).tolist() == [0, 1, 2, 0, 0]


def test_of_a_long_sound_the_middle_of_its_energy_is_kept() -> None:
    """By hand: energy 1 at 5 and 4 at 6, so its middle is 29/5 = 5.8; 5.8 − 1.5 + ½ = 4.8 → 4."""
    x = np.array([0, 0, 0, 0, 0, 1, 2, 0, 0, 0.0])
    assert middle(x) == 5.8
    assert cut(x, 4).tolist() == [0, 1, 2, 0]
    assert cut(x[::-1], 4).tolist() == [0, 2, 1, 0]
    assert cut(np.array([1.0, 0, 0, 0, 0]), 4).tolist() == [1, 0, 0, 0]  # not before it begins
    assert cut(np.zeros(6), 4).tolist() == [0, 0, 0, 0]
    assert cut(np.arange(4.0), 4).tolist() == [0, 1, 2, 3]


def test_channels_are_averaged() -> None:
    both = np.array([[2**14, 0], [-(2**14), 0]] * 2, np.int16)
    x, single = batch(handful.Sound(both, RATE), SHORT, "query")
    assert single
    assert x.tolist() == [[0.25, -0.25, 0.25, -0.25]]


def test_a_constant_offset_is_taken_out_whatever_the_form_and_the_rate() -> None:
    word = np.zeros(3000)
    word[2000:2200] = tone(200, 200 / RATE)
    wanted = batch(handful.Sound(word, RATE), sound_spec(RATE, 800), "it")[0]
    assert 0.1 < np.abs(wanted).max()
    for form in (word + 0.02, np.stack([word + 0.05, word - 0.01], axis=1)):
        x = batch(handful.Sound(form, RATE), sound_spec(RATE, 800), "it")[0]
        np.testing.assert_allclose(x, wanted, atol=1e-7)
    for old in (4000, 44100):  # the ends of a constant would ring
        still = batch(handful.Sound(np.full(old, 0.02), old), sound_spec(RATE, 800), "it")[0]
        assert np.abs(still).max() < 1e-12
    rows = np.stack([tone(200), tone(400)])
    np.testing.assert_allclose(
        batch(rows + np.float32(0.1), sound_spec(RATE, 800), "it")[0], rows, atol=1e-6
    )


def test_what_is_left_of_a_constant_has_no_middle() -> None:
    assert middle(np.full(7, 1e-7)) == 3
    assert middle(np.array([0, 0, 0, 1e-4, 0, 0, 0, 0])) == pytest.approx(3)


@each(
    ("samples", "wanted"),
    [
        (np.array([-32768, 0, 16384, 32767], np.int16), [-1, 0, 0.5, 32767 / 32768]),
        (np.array([-(2**31), 0, 2**30, 2**29], np.int32), [-1, 0, 0.5, 0.25]),
        (np.array([0, 128, 192, 255], np.uint8), [-1, 0, 0.5, 127 / 128]),
        (np.array([-1, 0, 0.5, 1], np.float64), [-1, 0, 0.5, 1]),
        (np.array([-32768, 0, 16384, 0], ">i2"), [-1, 0, 0.5, 0]),
        ([-1, 0, 0.5, 1], [-1, 0, 0.5, 1]),
    ],
)
def test_samples_are_scaled_by_their_type(samples: Any, wanted: list[float]) -> None:
    x, single = batch(samples, SHORT, "query")
    assert single
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, [(np.array(wanted) - np.mean(wanted)).clip(-1, 1)], atol=1e-7)


def test_batches_and_lists() -> None:
    rows = np.array([[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]], np.float32)
    assert batch(rows, SHORT, "query")[0].tolist() == rows.tolist()
    assert batch(list(rows), SHORT, "query")[0].tolist() == rows.tolist()
    assert batch(rows[:, :2], SHORT, "query")[0].tolist() == [
        [0, 1, -1, 0], [0, -0.5, 0.5, 0], [0, 0, 0, 0],
    ]  # fmt: skip
    mixed, single = batch([rows[0], handful.Sound(rows[0], RATE)], SHORT, "query")
    assert (mixed.tolist(), single) == ([rows[0].tolist()] * 2, False)
    assert batch([], SHORT, "query")[0].shape == (0, 4)


@each(("largest", "said"), [(1.9, 0), (32767.0, 1)])
def test_floats_of_another_scale_are_not_cut_off_unsaid(largest: float, said: int) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batch(handful.Sound(np.array([-largest, 0, 1, 0]), RATE), SHORT, "query")
    assert [str(warning.message) for warning in caught] == [
        "query has values up to 32767: beyond ±1 they are cut off; divide 16-bit samples by 32768"
        " before they are written as floats"
    ] * said


REFUSED = {
    "too loud": (np.array([0, 2.0]), "query has values from 0 to 2, wanted -1 to 1",
                 "divide 16-bit samples by 32768, or give them as int16"),
    "not finite": (np.array([0, np.nan]), "query has values that are not finite",
                   "look for NaN in it"),
    "beyond float32": (
        handful.Sound(np.full(4, 1e200), RATE),
        "query has values from 1e+200 to 1e+200, wanted -1 to 1",
        "divide 16-bit samples by 32768, or give them as int16"),
    "channels whose sum overflows": (
        handful.Sound(np.array([[1.7e308] * 4 + [-1.7e308] * 4] * 9), RATE),
        "query has values from -1.7e+308 to 1.7e+308, wanted -1 to 1",
        "divide 16-bit samples by 32768, or give them as int16"),
    "infinite": (handful.Sound(np.array([[0, np.inf]]), RATE),
                 "query has values that are not finite", "look for NaN in it"),
    "ragged": (
        handful.Sound([[1], [1, 2]], RATE),  # type: ignore[arg-type]
        "query of type list is not an array: setting an array element with a sequence. The"
        " requested array has an inhomogeneous shape after 1 dimensions. The detected shape was"
        " (2,) + inhomogeneous part.", FORMS),
    "words": (handful.Sound(np.array(["a"]), RATE), "query has dtype <U1", FORMS),
    "no channels": (
        handful.Sound(np.zeros((4, 0)), RATE), "query has samples of shape [4, 0]", FORMS),
    "an odd rate": (
        handful.Sound(np.zeros(4), "16000"),  # type: ignore[arg-type]
        "query has the rate '16000', wanted 4000 to 192000 samples a second", None),
    "int64": (np.array([1, 2]), "query has dtype int64", FORMS),
    "no samples": (np.zeros(0), "query has samples of shape [0]", FORMS),
    "three axes": (np.zeros((1, 2, 3)), "query has shape [1, 2, 3], wanted [n] or [B, n]", FORMS),
    "channels without a rate": (
        [np.zeros((4, 2))], "query 0 has samples of shape [4, 2], wanted [n] at 8000 hertz",
        "several channels, or another rate: handful.Sound(samples, rate)"),
    "many channels": (
        handful.Sound(np.zeros((4, 17)), RATE), "query has samples of shape [4, 17]", FORMS),
    "no rate": (handful.Sound(np.zeros(4), 0),
                "query has the rate 0, wanted 4000 to 192000 samples a second", None),
    "too long": (
        handful.Sound(np.zeros(2**22 + 1, np.uint8), 4000),
        "query has 4194305 samples, 8388610 at 8000 hertz; at most 8388608",
        "cut the example out of it; handful.runtime.listener hears streams"),
    "masked": (np.ma.masked_equal([0.0, 1.0], 1),
               "query is a masked array, whose mask no graph would see",
               "fill it in with .filled(value), or leave the examples with masked values out"),
}  # fmt: skip


@each("name", REFUSED)
def test_what_is_no_sound_is_refused(name: str, packages: Any) -> None:
    samples: Any
    samples, words, hint = REFUSED[name]
    task = handful.load(packages("tones")).adapt({"low": tone(200), "high": tone(400)})
    assert refusal(lambda: task.predict(samples), InputError) == (words, hint)


def test_paths_sounds_and_samples_answer_alike(packages: Any, tmp_path: Path) -> None:
    learner = handful.load(packages("tones"))
    low, high = (write_tone(tmp_path / f"{p}.wav", p, rate=44100) for p in (200, 400))
    given: list[handful.Example] = [high, tone(400)]
    task = learner.adapt({"low": str(low), "high": given})
    new = write_tone(tmp_path / "new.wav", 400, seconds=0.3, rate=16000)
    assert task.predict(str(new)) == "high"
    mixed: list[handful.Example] = [new, low, tone(200)]
    assert task.predict([*mixed, handful.Sound(tone(200, rate=4000), 4000)]) == [
        "high", "low", "low", "low",
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*both of .* nearly the same")  # tones 1 hertz apart are
def test_from_a_folder_to_answers(packages: Any, tmp_path: Path) -> None:
    for label, pitch in (("low", 200), ("high", 400)):
        for i in range(2):
            write_tone(tmp_path / "sounds" / label / f"{i}.wav", pitch + i)
    out = tmp_path / "task.npz"
    task = adapt_folder(packages("tones"), tmp_path / "sounds", out)
    assert task.counts == {"high": 2, "low": 2}
    (answer,) = predict_files(
        out, [write_tone(tmp_path / "new.wav", 399)], package=packages("tones")
    )
    assert (answer.label, answer.file) == ("high", str(tmp_path / "new.wav"))


def test_all_bad_files_of_a_folder_are_named(packages: Any, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    write_tone(folder / "low" / "0.wav", 200)
    (folder / "high").mkdir()
    for name, data in (("1.wav", b"RIFF"), ("2.png", b"\x89PNG")):
        (folder / "high" / name).write_bytes(data)
    adapt = lambda: adapt_folder(packages("tones"), folder, tmp_path / "t.npz")  # noqa: E731
    assert refusal_in(tmp_path, adapt, InputError) == (
        "2 of 3 sounds cannot be read:\n"
        "  …/sounds/high/1.wav is not a WAV file\n"
        "  …/sounds/high/2.png is not a WAV file",
        "mend them, or leave them out",
    )


def test_more_sounds_than_are_taken(packages: Any, tmp_path: Path) -> None:
    for label in ("high", "low"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.wav").write_bytes(b"never opened")
    spec = handful.load(packages("tones")).input
    assert refusal_in(tmp_path, lambda: read_folder(tmp_path, spec, most=1), SupportSetError) == (
        "2 sounds in …, at most 1 are taken",
        "leave some of them out",
    )
