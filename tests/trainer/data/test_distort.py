"""Distortions: what each does, worked by hand, and what cannot be distorted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.data import DataError, LabelledSet
from handful.trainer.data.distortions import change_of
from handful.trainer.data.distortions import pictures as distort
from handful.trainer.data.distortions.pictures import DistortConfig, distort_once, distort_pictures
from handful.trainer.settings.errors import SettingError

from ...each import each
from ..small import pictures, vectors


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def at(*places: tuple[int, int], height: int = 9, width: int = 9) -> Tensor:
    """One picture [1, H, W, 1] that is bright in these places."""
    x = torch.zeros(1, height, width, 1, dtype=torch.uint8)
    for row, column in places:
        x[0, row, column] = 255
    return x


def bright(x: Tensor) -> list[tuple[int, int]]:
    """The places that are brighter than half."""
    return [(row, column) for row, column in (x[0, ..., 0] > 127).nonzero().tolist()]


@pytest.fixture
def largest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every uniform draw is its largest: what is set is what is done."""
    monkeypatch.setattr(distort, "uniform", lambda n, most, _: torch.full((n,), float(most)))


def test_nothing_changes_where_nothing_is_set() -> None:
    x = pictures(3).x
    assert not DistortConfig().anything
    assert torch.equal(distort_pictures(x, DistortConfig(), generator()), x.float())


@pytest.mark.usefixtures("largest")
@each(
    ("setting", "moved"),
    [
        # a place (right, down) of the result, from the centre, shows the picture at
        # rotation · shear · scale of it: at (−down, right) for a quarter turn
        ({"rotation": 90}, [(3, 4), (4, 2)]),
        ({"rotation": 180}, [(4, 3), (6, 4)]),
        ({"shift": 1}, [(1, 3), (3, 4)]),
        ({"shear": 1}, [(2, 6), (4, 5)]),
    ],
)
def test_where_the_points_go(setting: dict[str, float], moved: list[tuple[int, int]]) -> None:
    # two above the centre (4, 4), and one to its right
    x = at((2, 4), (4, 5))
    assert bright(distort_pictures(x, DistortConfig(**setting), generator())) == moved


@pytest.mark.usefixtures("largest")
def test_a_turn_keeps_distances_where_sides_differ() -> None:
    turned = distort_pictures(
        at((2, 6), height=5, width=11), DistortConfig(rotation=90), generator()
    )
    assert bright(turned) == [(1, 5)]  # one from the centre (2, 5), to the right and then above


@pytest.mark.usefixtures("largest")
def test_a_larger_scale_shows_more_and_draws_smaller() -> None:
    x = at(*((row, column) for row in range(1, 8) for column in range(1, 8)))
    shown = bright(distort_pictures(x, DistortConfig(scale=0.9), generator()))
    assert len(shown) == 9  # 7 pixels / 1.9: three in either direction


def test_the_border_goes_on_beyond_the_picture() -> None:
    white = torch.full((2, 6, 6, 1), 255, dtype=torch.uint8)
    turned = distort_pictures(white, DistortConfig(rotation=45, shift=3, elastic=1), generator())
    torch.testing.assert_close(turned, white.float())


def test_elastic_moves_are_normal_and_smooth() -> None:
    """On a ramp of 8 a pixel the change of a pixel is 8 times its move."""
    ramp = (torch.arange(28) * 8).to(torch.uint8).expand(300, 28, 28)[..., None]
    moves = (distort_pictures(ramp, DistortConfig(elastic=0.5), generator()) - ramp)[..., 0] / 8
    centre = moves[:, 13:15, 13:15].mean(dim=(1, 2))  # beside a point of the grid
    assert abs(float(centre.mean())) < 0.1
    assert 0.4 < float(centre.std()) < 0.6
    neighbours = moves[:, 14, 14] - moves[:, 14, 15]
    assert float(neighbours.std()) < 0.3 * float(centre.std())


def test_a_pen_thickens_strokes_by_at_most_a_pixel() -> None:
    x = at((4, 4)).expand(200, 9, 9, 1)
    thick = distort_pictures(x, DistortConfig(pen=0.6), generator())[..., 0] / 255
    assert torch.equal(thick[:, 4, 4], torch.ones(200))
    ring = thick[:, 3:6, 3:6].flatten(1)[:, [0, 1, 2, 3, 5, 6, 7, 8]]
    assert torch.equal(ring, ring[:, :1].expand(200, 8))
    assert 0.0 <= float(ring.min()) < 0.05
    assert 0.55 < float(ring.max()) <= 0.6
    assert float(thick.sum()) == pytest.approx(float(200 + ring.sum()))  # nothing further away


def test_noise_is_normal_and_stays_between_black_and_white() -> None:
    grey = torch.full((4, 28, 28, 1), 128, dtype=torch.uint8)
    noise = distort_pictures(grey, DistortConfig(noise=0.1), generator()) - 128
    assert float(noise.std()) == pytest.approx(25.5, rel=0.05)
    loud = distort_pictures(grey, DistortConfig(noise=2.0), generator())
    assert (float(loud.min()), float(loud.max())) == (0.0, 255.0)


def test_each_example_has_its_own_draw_and_a_seed_gives_it_again() -> None:
    config = DistortConfig(rotation=20, scale=0.2, elastic=0.5, pen=0.5, noise=0.1)
    x = pictures(1).x[:1].expand(3, 20, 20, 1)
    first, again, other = (distort_pictures(x, config, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_all_pictures_are_distorted_once_by_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distort, "BATCH", 7)  # several times, from one generator
    x, config = pictures(3).x, DistortConfig(rotation=10, noise=0.05)
    change = change_of(x, config, where="the test split")
    first, again, other = (distort_once(x, seed, change) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[:7] - x[:7], first[7:14] - x[7:14])
    assert (first.dtype, first.shape) == (torch.uint8, x.shape)


def test_only_pictures_can_be_distorted() -> None:
    planes = pictures(1)
    upright = InputSpec(**{**vars(planes.input), "shape": (1, 20, 20), "layout": "CHW"})
    chw = LabelledSet(planes.x.permute(0, 3, 1, 2), planes.counts, planes.classes, upright)
    for data, found in ((vectors(1), "float32 [10]"), (chw, "uint8 [1, 20, 20]")):
        with pytest.raises(DataError) as caught:
            change_of(data.x, DistortConfig(rotation=1), where="the test split")
        assert str(caught.value) == (
            "only pictures [H, W, C] and series [T, C] can be distorted, those of the test split"
            f" are {found}"
        )
        assert caught.value.hint == (
            "leave the distortions out; embeddings of a backbone are not pictures any more"
        )


@each(
    ("setting", "words"),
    [
        ({"pen": 1.5}, "pen is 1.5, wanted 0 to 1.0"),
        ({"scale": 1.0}, "scale is 1.0, wanted 0 to 0.9"),
        ({"noise": -0.1}, "noise is -0.1, wanted 0 or more"),
        ({"rotation": float("nan")}, "rotation is nan, wanted 0 or more"),
    ],
)
def test_amounts_out_of_their_bounds(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        DistortConfig(**setting)
    assert str(caught.value) == words
