"""Distortions of series: what each does, worked by hand, and what series do not have."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from handful.trainer.data import DataError
from handful.trainer.data.distortions import change_of
from handful.trainer.data.distortions import series as module
from handful.trainer.data.distortions.pictures import DistortConfig, distort_once
from handful.trainer.data.distortions.series import distort_series
from handful.trainer.episodes import TaskSize

from ...each import each
from ..small import generator, pictures, series

# three places about (4, 7), as far from it as the unit of length says; the pen is up once
X = torch.tensor([[[4.0, 9.0, 1.0], [2.0, 7.0, 0.0], [6.0, 5.0, 1.0]]])
CENTRE = torch.tensor([4.0, 7.0])


@pytest.fixture
def largest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every uniform draw is its largest: what is set is what is done."""
    monkeypatch.setattr(module, "uniform", lambda n, most, _: torch.full((n,), float(most)))


def places(**settings: float) -> Tensor:
    """The distorted places of X less their mean, [3, 2]."""
    return distort_series(X, DistortConfig(**settings), generator())[0, :, :2] - CENTRE


@pytest.mark.usefixtures("largest")
@each(
    ("setting", "wanted"),
    [
        ({}, [[0, 2], [-2, 0], [2, -2]]),
        ({"rotation": 90}, [[-2, 0], [0, -2], [2, 2]]),
        ({"shear": 0.5}, [[1, 2], [-2, 0], [1, -2]]),
        ({"scale": 0.5}, [[0, 3], [-3, 0], [3, -3]]),
        ({"shear": 0.5, "rotation": 90}, [[-2, 1], [0, -2], [2, 1]]),
    ],
)
def test_where_the_places_go(setting: dict[str, float], wanted: list[list[float]]) -> None:
    torch.testing.assert_close(places(**setting), torch.tensor(wanted, dtype=torch.float32))


@each("name", ["elastic", "wander", "strokes", "noise"])
def test_moves_are_in_the_series_own_unit_and_leave_the_pen(name: str) -> None:
    x = series(1).x[:1].expand(2000, 16, 3)
    config = DistortConfig(**{name: 0.1})
    moved = distort_series(x, config, generator())
    assert torch.equal(moved[..., 2], x[..., 2])
    move = (moved - x)[..., :2]
    large = distort_series(x * torch.tensor([100.0, 100.0, 1.0]), config, generator())
    assert torch.allclose(large[..., :2] - 100 * x[..., :2], 100 * move, atol=0.01)
    unit = float((x[0, :, :2] - x[0, :, :2].mean(dim=0)).square().mean().sqrt())
    # a sum of four waves of which each has the mean square ½; straight lines between knots
    usual = {"elastic": math.sqrt(4 / 2), "wander": 0.85, "strokes": 1.0, "noise": 1.0}[name]
    assert float(move.std()) == pytest.approx(0.1 * usual * unit, rel=0.08)


def test_strokes_move_as_wholes_and_a_drift_is_smooth() -> None:
    x = torch.zeros(50, 12, 3)
    x[..., :2] = torch.randn(12, 2, generator=generator())
    x[:, :5, 2], x[:, 7:, 2] = 1, 1  # two strokes, two samples of the way between them
    move = distort_series(x, DistortConfig(strokes=0.2), generator())[..., :2] - x[..., :2]
    assert float(move[:, :7].std(dim=1).max()) < 1e-5 > float(move[:, 7:].std(dim=1).max())
    assert float((move[:, 0] - move[:, 8]).abs().mean()) > 0.1
    drift = distort_series(x, DistortConfig(wander=0.2), generator())[..., :2] - x[..., :2]
    steps = (drift[:, 1:] - drift[:, :-1]).abs().mean()
    assert float(steps) < 0.8 * float((drift[:, 6:] - drift[:, :-6]).abs().mean())


@pytest.mark.usefixtures("largest")
def test_time_warps_all_channels_alike_and_keeps_the_ends() -> None:
    ramp = torch.arange(5.0)[None, :, None].expand(1, 5, 3)
    warped = distort_series(ramp, DistortConfig(warp=0.25), generator())[0]
    time = torch.linspace(0, 1, 5)
    wanted = 4 * (time + 0.25 * torch.sin(math.pi * time))
    torch.testing.assert_close(warped, wanted[:, None].expand(5, 3), atol=1e-4, rtol=0)


def test_each_example_has_its_own_draw_and_a_seed_gives_it_again() -> None:
    names = ("rotation", "shear", "scale", "elastic", "wander", "strokes", "warp", "noise")
    config = DistortConfig(**dict.fromkeys(names, 0.2))
    x = series(1).x[:1].expand(3, 16, 3)
    first, again, other = (distort_series(x, config, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    still = torch.ones(2, 16, 3)
    assert bool(distort_series(still, config, generator()).isfinite().all())
    once = distort_once(x, 3, change_of(x, config, where="the test split"))
    assert (once.dtype, once.shape) == (torch.float32, x.shape)


def test_training_tasks_are_of_distorted_series() -> None:
    data = series(6)
    size = TaskSize(way=3, shot=1, queries=2)
    config = DistortConfig(rotation=20)
    plain = data.episodes(size, tasks=2, generator=generator())
    turned = data.with_drawing(data.within, config).episodes(size, tasks=2, generator=generator())
    assert torch.equal(plain.classes, turned.classes)
    assert not torch.equal(plain.support_x, turned.support_x)
    lengths = [x[..., :2].sub(x[..., :2].mean(dim=-2, keepdim=True)).norm(dim=-1) for x in
               (plain.support_x, turned.support_x)]  # fmt: skip
    torch.testing.assert_close(*lengths)


@each(
    ("name", "pixels", "words"),
    [
        ("pen", False, "series like those of the test split do not have: float32 [16, 3]"),
        ("shift", False, "series like those of the test split do not have: float32 [16, 3]"),
        ("warp", True, "pictures like those of the test split do not have: uint8 [20, 20, 1]"),
        ("strokes", True, "pictures like those of the test split do not have: uint8 [20, 20, 1]"),
    ],
)
def test_distortions_of_the_other_kind_are_refused(name: str, pixels: bool, words: str) -> None:
    x = (pictures if pixels else series)(1).x
    with pytest.raises(DataError) as caught:
        change_of(x, DistortConfig(**{name: 0.1}), where="the test split")
    assert str(caught.value) == f"the distortion {name} is set, which {words}"
    assert caught.value.hint == f"leave {name} out"


def test_strokes_need_a_pen() -> None:
    data = series(2)
    plane = replace(data, x=data.x[..., :2], distort=DistortConfig(strokes=0.1))
    with pytest.raises(DataError, match="strokes is set"):
        plane.check(TaskSize(way=2, shot=1, queries=1), where="the meta-training split")
