"""Log-mel energies: against the definition by a Fourier transform in float64, and by hand."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.trainer.data.log_mel import LogMel, LogMelConfig
from handful.trainer.settings.errors import DataError, SettingError

from ...each import each

DATA = Path(os.environ.get("HANDFUL_DATA", "nowhere"), "arabic_speech_commands")
RATE = 16000


def definition(x: Any, config: LogMelConfig, rate: int = RATE) -> Any:
    """As the README of the words has it: frames, window, rfft, triangles, logarithm; float64."""
    count = 1 + (x.shape[1] - config.frame) // config.hop
    frames = np.stack([x[:, i * config.hop :][:, : config.frame] for i in range(count)], axis=1)
    n = np.arange(config.frame)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / config.frame)
    power = np.abs(np.fft.rfft(frames.astype(np.float64) * window, config.transform)) ** 2

    def mel(hertz: Any) -> Any:
        return 2595 * np.log10(1 + hertz / 700)

    corners = np.linspace(mel(config.low), mel(config.high), config.bands + 2)
    place = mel(np.arange(config.transform // 2 + 1) * rate / config.transform)
    triangles = np.stack(
        [np.interp(place, corners[b : b + 3], [0, 1, 0], 0, 0) for b in range(config.bands)], axis=1
    )
    return np.log(power @ triangles + config.floor)


def energies(x: Any, config: LogMelConfig, rate: int = RATE) -> Any:
    """Ours, undone by the mean and the deviation."""
    front = LogMel(config, rate, x.shape[1])
    made = front(torch.from_numpy(x.astype(np.float32)))
    assert made.shape[1:] == front.shape
    return made[..., 0].numpy() * config.deviation + config.mean


def noise(count: int, samples: int, loudness: float) -> Any:
    return loudness * np.random.default_rng(0).uniform(-1, 1, (count, samples))


@each("loudness", [1.0, 0.03, 1e-4])
@each(
    "config",
    [
        LogMelConfig(),
        LogMelConfig(frame=320, hop=160),
        LogMelConfig(frame=200, hop=80, transform=256, bands=16, low=100, high=4000),
        LogMelConfig(frame=320, hop=400, transform=512, bands=20),
    ],
)
def test_ours_is_the_definition(config: LogMelConfig, loudness: float) -> None:
    for samples in (RATE, 5000, 777):
        x = noise(3, samples, loudness)
        np.testing.assert_allclose(energies(x, config), definition(x, config), atol=1e-3)


@each("pitch", [50, 440, 3000, 7500])
def test_of_a_loud_tone_beside_silence_too(pitch: int) -> None:
    """Far from the tone nothing but the floor and rounding is left."""
    x = 0.9 * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE)[None]
    x[:, 9000:] = 0
    np.testing.assert_allclose(
        energies(x, LogMelConfig()), definition(x, LogMelConfig()), atol=1e-3
    )


@pytest.mark.skipif(not DATA.is_dir(), reason="needs HANDFUL_DATA/arabic_speech_commands")
def test_of_speech_too() -> None:
    mulaw = np.load(DATA / "asc_audio_1take_mulaw16k.npz")["mulaw"][::20]
    d = 2 * mulaw.astype(np.float64) / 255 - 1
    x = np.sign(d) * (256 ** np.abs(d) - 1) / 255
    np.testing.assert_allclose(
        energies(x, LogMelConfig()), definition(x, LogMelConfig()), atol=1e-3
    )


def test_silence_is_the_floor_by_hand() -> None:
    front = LogMel(LogMelConfig(floor=math.exp(-9)), RATE, RATE)
    assert front.shape == (49, 40, 1)  # 1 + (16000 − 400) / 320 = 49.75
    torch.testing.assert_close(front(torch.zeros(2, RATE)), torch.full((2, 49, 40, 1), -1.0))


def test_the_matrices_are_half_as_large_as_frames() -> None:
    cosines, sines, triangles = LogMel(LogMelConfig(), RATE, RATE).matrices
    assert cosines.shape == sines.shape == (200, 243)
    assert triangles.shape == (243, 40)


REFUSED: dict[str, tuple[dict[str, Any], int, type[Exception], str]] = {
    "an odd frame": ({"frame": 401}, RATE, SettingError,
                     "frame is 401, wanted an even number up to transform, 512"),
    "a frame beyond the transform": ({"frame": 600}, RATE, SettingError,
                                     "frame is 600, wanted an even number up to transform, 512"),
    "no bands": ({"bands": 0}, RATE, SettingError, "bands is 0, wanted 1 or more"),
    "no floor": ({"floor": 0.0}, RATE, SettingError, "floor is 0.0, wanted more than 0"),
    "low above high": ({"low": 8000.0}, RATE, SettingError,
                       "low is 8000, wanted less than high, 7600"),
    "above what there is": ({}, 8000, DataError,
                            "data.log_mel.high is 7600 hertz, at 8000 samples a second there is"
                            " nothing above 4000"),
    "narrow bands": ({"bands": 200}, RATE, DataError,
                     "11 of 200 mel bands are narrower than a step of the transform"),
}  # fmt: skip


@each("name", REFUSED)
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    settings, rate, kind, words = REFUSED[name]
    with pytest.raises(kind) as error:
        LogMel(LogMelConfig(**settings), rate, rate)
    assert str(error.value) == words


def test_a_sound_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(DataError) as error:
        LogMel(LogMelConfig(), RATE, 399)
    assert str(error.value) == "sounds of 399 samples are shorter than a frame of 400"
