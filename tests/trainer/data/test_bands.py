"""Made-up wrist bands: the same at every call, persons apart, and what differs between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from handful.trainer.data import DataConfig, load_data
from handful.trainer.data.domains import DomainSet
from handful.trainer.data.sources import bands
from handful.trainer.data.sources.bands import EACH, ELECTRODES, GESTURES, STEPS, TAKES, bumps, wear
from handful.trainer.data.splits import PARTS


def test_a_person_is_the_same_at_every_call_and_unlike_others() -> None:
    first = wear(5)
    assert first.shape == (TAKES, len(GESTURES), EACH, STEPS, ELECTRODES)
    np.testing.assert_array_equal(first, wear(5))
    assert np.abs(first.mean(axis=(0, 2, 3)) - wear(6).mean(axis=(0, 2, 3))).max() > 0.1


def test_parts_have_all_gestures_and_persons_of_their_own() -> None:
    parts = [load_data(DataConfig(source="bands"), part) for part in PARTS]
    seen: set[str] = set()
    for part in parts:
        assert isinstance(part, DomainSet)
        assert part.named == GESTURES
        assert len(part.usable) == len(part.domains)
        assert not seen & set(part.domains)
        seen |= set(part.domains)
    one = parts[1]
    assert isinstance(one, DomainSet)
    row = int(one.tables[3][2][0][0])  # the first pinch of the fourth person
    number = int(one.domains[3].split()[1])
    assert torch.equal(one.x[row], torch.from_numpy(wear(number)[0, 2, 0].astype(np.float32)))
    assert int(one.labels[row]) == 2


def test_a_bump_wraps_round_the_wrist() -> None:
    heard = bumps(np.array([0.0, 7.5]))
    assert heard[0].argmax() == 0
    assert heard[0][1] == heard[0][-1]
    assert heard[1][7] == heard[1][0]


def test_turning_the_band_sets_persons_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every band at one place the same gestures of persons are more alike."""

    def apart() -> float:
        heard = np.stack([wear(person).mean(axis=(0, 2, 3)) for person in range(12)])
        return float(heard.std(axis=0).mean())

    turned = apart()
    monkeypatch.setattr(bands, "TURN", 0.0)
    assert apart() < turned
