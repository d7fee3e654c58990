"""Distortions of sensors' signals: a ring turns, axes turn, and a person's draw is one for all."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from handful.trainer.data.distortions import change_of
from handful.trainer.data.distortions.signals import SignalConfig, distort_signals
from handful.trainer.settings.errors import DataError, SettingError
from tests.each import each


def generator() -> torch.Generator:
    """The same draws each time."""
    return torch.Generator().manual_seed(3)


def test_a_ring_moves_round_and_every_group_of_channels_alike() -> None:
    """One hot channel becomes its neighbours' share; what leaves at one end enters at the other."""
    x = torch.zeros(64, 5, 16)
    x[:, :, 0] = x[:, :, 8] = 1
    y = distort_signals(x, SignalConfig(ring=8, rotation=1.0), generator())
    torch.testing.assert_close(y[..., :8], y[..., 8:])
    torch.testing.assert_close(y[..., :8].sum(dim=2), torch.ones(64, 5))
    assert y[:, :, 7].max() > 0.5
    assert y[:, :, 1].max() > 0.5
    assert y[:, :, 2:7].max() == 0


def test_axes_turn_together_and_keep_their_lengths() -> None:
    """Acceleration and angular rate turn alike: lengths and the angle between them stay."""
    x = torch.randn(10, 7, 6, generator=generator())
    y = distort_signals(x, SignalConfig(turn=60.0), generator())
    before, after = (torch.unflatten(t, 2, (2, 3)) for t in (x, y))
    torch.testing.assert_close(after @ after.mT, before @ before.mT, rtol=1e-4, atol=1e-5)
    assert (y - x).abs().amax(dim=(1, 2)).min() > 1e-3


def test_a_person_has_one_draw_and_each_example_its_own_time() -> None:
    """Equal examples of one person stay equal, but for shift and speed; persons differ."""
    x = torch.randn(1, 20, 6, generator=generator()).expand(6, -1, -1)
    of = torch.tensor([0, 0, 0, 1, 1, 1])
    config: dict[str, Any] = {"turn": 30.0, "gain": 0.3, "level": 0.2, "channels": 0.2}
    y = distort_signals(x, SignalConfig(**config), generator(), of)
    torch.testing.assert_close(y[0], y[2])
    torch.testing.assert_close(y[3], y[5])
    assert (y[0] - y[3]).abs().max() > 0.01
    moved = distort_signals(x, SignalConfig(**config, shift=3.0, speed=0.1), generator(), of)
    assert (moved[0] - moved[2]).abs().max() > 0.01


AMOUNTS = ("turn", "gain", "level", "channels", "speed", "shift", "noise")


@each("settings", [{name: 0.5} for name in AMOUNTS] + [{"ring": 3, "rotation": 0.5}])
def test_each_setting_changes_something(settings: dict[str, Any]) -> None:
    """And the shape stays; without any nothing changes."""
    x = torch.randn(4, 12, 6, generator=generator())
    torch.testing.assert_close(distort_signals(x, SignalConfig(), generator()), x)
    moved = distort_signals(x, SignalConfig(**settings), generator())
    assert moved.shape == x.shape
    assert (moved - x).abs().max() > 1e-3


def test_what_does_not_fit_is_refused() -> None:
    """Channels that are no rings or axes, examples that are no signals, a ring of nothing."""
    x = torch.zeros(3, 10, 8)
    with pytest.raises(DataError, match=r"signal\.ring = 5 does not go with the 8 channels"):
        change_of(x, SignalConfig(ring=5), where="the data")
    with pytest.raises(DataError, match=r"signal\.turn = 9 does not go with the 8 channels"):
        change_of(x, SignalConfig(turn=9), where="the data")
    with pytest.raises(DataError, match=r"only signals \[T, C\]"):
        change_of(x[0], SignalConfig(level=1), where="the data")
    with pytest.raises(SettingError, match="ring"):
        SignalConfig(rotation=1)
