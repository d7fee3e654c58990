"""Sounds as data: folders of WAV files, arrays of samples, arrays of energies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.runtime.inputs.sounds import read_sound
from handful.runtime.package.rules import sound_spec
from handful.trainer.data import DataConfig, DataError, load_data, load_pictures
from handful.trainer.data.log_mel import LogMel, LogMelConfig

from ...each import each
from ...runtime.small_sounds import tone, write_tone

SMALL = LogMelConfig(frame=160, hop=80, transform=256, bands=12, low=50, high=3800)
SPEC = sound_spec(8000, 800)
FRONT = LogMel(SMALL, 8000, 800)


def config(source: Path, split: Path | str, **more: Any) -> DataConfig:
    settings = {"source": str(source), "split": str(split), "rotations": False, **more}
    return DataConfig(**{"rate": 8000, "seconds": 0.1, "log_mel": SMALL, **settings})


@pytest.fixture
def split(tmp_path: Path) -> Path:
    file = tmp_path / "split.json"
    file.write_text('{"meta_train": ["high"], "meta_val": ["low"], "meta_test": ["mid"]}')
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label, pitch in (("low", 200), ("mid", 300), ("high", 400)):
        for i in range(2):
            write_tone(tmp_path / "sounds" / label / f"{i}.wav", pitch + i, rate=16000)
    return tmp_path / "sounds"


def test_files_are_heard_as_on_a_device(folder: Path, split: Path) -> None:
    heard = load_pictures(config(folder, split), "meta_train")
    assert (heard.input, heard.classes) == (SPEC, ("high",))
    wanted = np.stack([read_sound(folder / "high" / f"{i}.wav", SPEC) for i in range(2)])
    np.testing.assert_array_equal(heard.x.numpy(), wanted)


def test_learners_get_energies(folder: Path, split: Path) -> None:
    data = load_data(config(folder, split), "meta_val")
    assert data.input.kind == "array"
    assert (data.pictures, data.log_mel) == (SPEC, SMALL)
    sounds = load_pictures(config(folder, split), "meta_val")
    torch.testing.assert_close(data.x, FRONT(sounds.x))


@each("kind", [np.int16, np.float64])
def test_an_array_of_samples(tmp_path: Path, split: Path, kind: Any) -> None:
    sounds = np.stack([tone(pitch, 0.05) for pitch in (200, 300, 400)])
    scaled = np.round(sounds * 32768).astype(kind) if kind is np.int16 else sounds.astype(kind)
    np.savez(tmp_path / "a.npz", x=scaled, y=np.array(["low", "mid", "high"]))
    heard = load_pictures(config(tmp_path / "a.npz", split), "meta_test")
    assert heard.x.shape == (1, 800)  # with 25 ms of silence before and after
    np.testing.assert_allclose(heard.x[0, 200:600], sounds[1], atol=2e-5)
    assert not heard.x[0, :200].any()


def test_an_array_of_energies_is_taken_as_it_is(tmp_path: Path, split: Path) -> None:
    x = FRONT(torch.rand(3, 800)).numpy()
    np.savez(tmp_path / "a.npz", x=x, y=np.array(["low", "mid", "high"]))
    data = load_data(config(tmp_path / "a.npz", split), "meta_train")
    np.testing.assert_array_equal(data.x.numpy(), x[2:])
    assert (data.pictures, data.log_mel) == (None, SMALL)


def refused(settings: Any) -> str:
    with pytest.raises(DataError) as error:
        load_data(settings(), "meta_train")
    return str(error.value)


def test_other_arrays_are_refused(tmp_path: Path, split: Path) -> None:
    file = tmp_path / "a.npz"

    def words(x: Any) -> str:
        np.savez(file, x=x, y=np.array(["low", "mid", "high"]))
        return refused(lambda: config(file, split)).replace(str(tmp_path), "…")

    assert words(np.zeros((3, 9, 7, 1))) == (
        "…/a.npz `x` is float64 [3, 9, 7, 1], wanted sounds, or energies [9, 12, 1]"
    )
    assert words(np.full((3, 9, 12, 1), np.nan)) == "…/a.npz `x` has values that are not finite"
    assert words(np.full((3, 800), 2.0)) == "…/a.npz `x` has values from 2 to 2, wanted -1 to 1"


def test_settings_that_make_no_sense_are_refused(folder: Path, split: Path) -> None:
    assert refused(lambda: config(folder, split, rate=10)) == (
        "data.rate is 10 and data.seconds 0.1, wanted 1000 to 192000 samples a second and 16777216"
        " in all at most"
    )
    assert refused(lambda: config(folder, split, seconds=0.0)) == (
        "data.seconds is 0.0, wanted more than 0"
    )
    assert refused(lambda: config(folder, split, backbone=Path("a.onnx"))) == (
        "data.rate and data.backbone are both set"
    )


def test_bad_files_are_named_or_left_out(folder: Path, split: Path) -> None:
    (folder / "high" / "bad.wav").write_bytes(b"RIFF")
    assert refused(lambda: config(folder, split)) == f"{folder}/high/bad.wav is not a WAV file"
    (folder / "high" / "worse.wav").write_bytes(b"")
    assert refused(lambda: config(folder, split)) == (
        f"2 of 4 sounds cannot be read:\n  {folder}/high/bad.wav is not a WAV file\n"
        f"  {folder}/high/worse.wav is not a WAV file"
    )
    (folder / "high" / "worse.wav").unlink()
    kept = load_pictures(config(folder, split), "meta_train", skip_bad=True)
    assert (len(kept.x), kept.left_out) == (2, ("high/bad.wav",))
