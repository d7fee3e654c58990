"""Distortions of sounds: each by hand or by what it must leave alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from handful.trainer.data.distortions.sounds import HearingConfig, distort_sounds
from handful.trainer.data.labelled import EVERYWHERE
from handful.trainer.data.log_mel import LogMelConfig
from handful.trainer.settings.errors import DataError, SettingError

from ...each import each
from ..small import generator, pictures, vectors

LOG_MEL = LogMelConfig()
FRAMES, BANDS, COUNT = 49, 40, 64


def quiet(level: float = -5.0) -> Tensor:
    """Energies of `level` nats everywhere, as a learner reads them."""
    return torch.full((COUNT, FRAMES, BANDS, 1), (level - LOG_MEL.mean) / LOG_MEL.deviation)


def nats(x: Tensor, seed: int = 0, **amounts: float) -> Tensor:
    """The distorted energies [B, F, bands] in nats."""
    made = distort_sounds(x, HearingConfig(**amounts), LOG_MEL, generator(seed))
    assert made.shape == x.shape
    return made[..., 0] * LOG_MEL.deviation + LOG_MEL.mean


def test_nothing_asked_for_changes_nothing() -> None:
    x = torch.randn(3, FRAMES, BANDS, 1, generator=generator())
    made = distort_sounds(x, HearingConfig(), LOG_MEL, generator())
    torch.testing.assert_close(made, x, atol=1e-4, rtol=0)  # moved by nothing, but for rounding


def test_gain_and_tilt_add_to_the_logarithm() -> None:
    louder = nats(quiet(), gain=1.0) + 5
    assert float((louder - louder[:, :1, :1]).abs().max()) < 1e-5  # the same for a whole example
    assert 0.9 < float(louder.abs().max()) <= 1.0001
    tilted = nats(quiet(), tilt=0.7) + 5
    torch.testing.assert_close(tilted[:, :, 0], -tilted[:, :, -1], atol=1e-5, rtol=0)
    assert 0.6 < float(tilted[:, :, -1].abs().max()) <= 0.7001
    assert float(tilted[:, :, BANDS // 2].abs().max()) < 0.02


def test_a_shift_moves_frames_and_repeats_the_border() -> None:
    x = torch.arange(FRAMES).float().reshape(1, FRAMES, 1, 1).expand(COUNT, -1, BANDS, 1)
    moved = distort_sounds(x, HearingConfig(shift=6.0), LOG_MEL, generator())[..., 0]
    by = moved[:, 24, 0] - 24
    assert 4 < float(by.abs().max()) <= 6
    wanted = (torch.arange(FRAMES) + by[:, None]).clamp(0, FRAMES - 1)
    torch.testing.assert_close(moved[:, :, 7], wanted, atol=1e-3, rtol=0)


def test_speed_and_voice_stretch_one_axis_each() -> None:
    x = torch.arange(FRAMES).float().reshape(1, FRAMES, 1, 1).expand(COUNT, -1, BANDS, 1)
    faster = distort_sounds(x, HearingConfig(speed=0.2), LOG_MEL, generator())[..., 0]
    pace = faster[:, 25, 0] - faster[:, 24, 0]
    assert 0.81 < float(pace.min()) < 0.9 < 1.1 < float(pace.max()) < 1.23
    torch.testing.assert_close(faster[:, 24, 0], torch.full((COUNT,), 24.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        distort_sounds(x, HearingConfig(voice=0.2), LOG_MEL, generator())[..., 0], x[..., 0],
        atol=1e-3, rtol=0,
    )  # fmt: skip
    y = torch.arange(BANDS).float().reshape(1, 1, BANDS, 1).expand(COUNT, FRAMES, -1, 1)
    longer = distort_sounds(y, HearingConfig(voice=0.1), LOG_MEL, generator())[..., 0]
    assert float(longer[:, 0, 0].abs().max()) < 1e-3  # the lowest band stays
    assert 0.9 < float((longer[:, 0, 10] / 10).min()) < float((longer[:, 0, 10] / 10).max()) < 1.11


def test_noise_adds_energy_to_a_share_of_the_examples() -> None:
    x = quiet(-13.0)
    x[:, 10, 10] = (2.0 - LOG_MEL.mean) / LOG_MEL.deviation  # the loudest: noise is −0.5 … −9.5
    heard = nats(x, noise=0.5)
    changed = (heard[:, 0, 20] > -12.9).float().mean()
    assert 0.3 < float(changed) < 0.7
    assert bool((heard >= nats(x) - 1e-4).all())
    assert bool((nats(x, noise=1.0)[:, 0, 20] > -12).all())
    torch.testing.assert_close(heard[:, 10, 10], torch.full((COUNT,), 2.0), atol=0.5, rtol=0)


@each(("name", "axis"), [("frames", 1), ("bands", 2)])
def test_neighbours_are_blanked_out_with_the_mean(name: str, axis: int) -> None:
    x = torch.randn(COUNT, FRAMES, BANDS, 1, generator=generator())
    made = distort_sounds(x, HearingConfig(**{name: 8.0}), LOG_MEL, generator(1))[..., 0]
    other = 3 - axis
    blank = ((made - x[..., 0]).abs() > 1e-3).float().mean(dim=other) > 0.9
    width = blank.sum(dim=1)
    assert 5 <= int(width.max()) <= 9
    for row in blank[width > 0]:
        places = torch.nonzero(row).flatten()
        assert int(places[-1] - places[0]) == len(places) - 1
    mean = x.mean(dim=(1, 2, 3))
    first = int(torch.nonzero(width > 0)[0])
    at = int(torch.nonzero(blank[first])[0])
    torch.testing.assert_close(made[first].select(axis - 1, at)[0], mean[first], atol=1e-5, rtol=0)


def test_silence_takes_an_end_of_a_share_of_the_examples() -> None:
    heard = nats(quiet(), silence=1.0)
    silent = heard[:, :, 0] < -13.8
    torch.testing.assert_close(heard[silent].min(), torch.tensor(1e-6).log())
    assert 10 < int(silent.sum(dim=1).max()) <= FRAMES // 3 + 1
    assert bool((silent[:, 0] | silent[:, -1] | ~silent.any(dim=1)).all())
    assert bool(silent[:, 0].any()) and bool(silent[:, -1].any())  # noqa: PT018
    share = (nats(quiet(), seed=2, silence=0.3)[:, :, 0] < -13.8).any(dim=1).float().mean()
    assert 0.1 < float(share) < 0.5


def test_the_same_generator_gives_the_same_examples() -> None:
    amounts: dict[str, float] = {"speed": 0.1, "noise": 0.5, "bands": 5.0}
    x = torch.randn(COUNT, FRAMES, BANDS, 1, generator=generator())
    torch.testing.assert_close(nats(x, seed=3, **amounts), nats(x, seed=3, **amounts))
    assert not torch.equal(nats(x, seed=3, **amounts), nats(x, seed=4, **amounts))


@each(
    ("amounts", "words"),
    [
        ({"noise": 1.5}, "noise is 1.5, wanted 0 to 1"),
        ({"silence": 2.0}, "silence is 2.0, wanted 0 to 1"),
        ({"gain": -1.0}, "gain is -1.0, wanted 0 or more"),
    ],
)
def test_amounts_that_make_no_sense_are_refused(amounts: Any, words: str) -> None:
    with pytest.raises(SettingError) as error:
        HearingConfig(**amounts)
    assert str(error.value) == words


def test_tasks_of_energies_are_misheard_and_others_refused() -> None:
    hearing = HearingConfig(gain=1.0)
    plain = vectors(5, 4, size=FRAMES * BANDS)
    data = replace(plain, x=plain.x.reshape(-1, FRAMES, BANDS, 1), log_mel=LOG_MEL)
    size = data.size(2, 1, 1)
    clean = data.episodes(size, tasks=1, generator=generator(1)).support_x
    heard = data.with_drawing(EVERYWHERE, hearing).episodes(size, tasks=1, generator=generator(1))
    added = (heard.support_x - clean) * LOG_MEL.deviation
    assert heard.support_x.shape == clean.shape
    assert 0.001 < float(added.abs().max()) <= 1.001
    for other in (pictures(5, 4), vectors(5, 4)):
        with pytest.raises(DataError) as error:
            other.with_drawing(EVERYWHERE, hearing).check(size, where="the split", prefix="meta.")
        assert str(error.value) == (
            "only sounds can be misheard, the examples of the split are none"
        )
        assert error.value.hint == "leave meta.hearing out, or set data.rate"
