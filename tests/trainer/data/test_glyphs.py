"""Glyphs: what a class is, how its examples differ, and how hard they are."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from handful.trainer.data import DataConfig, DataError
from handful.trainer.data.sources.glyphs import PARTS, draw_class, load_glyphs, program

PLAIN = DataConfig(source="glyphs", rotations=False)


def test_a_class_is_drawn_alike_every_time_and_a_longer_series_begins_alike() -> None:
    ten = draw_class(7, 10)
    assert ten.shape == (10, 28, 28, 1)
    assert ten.dtype == np.uint8
    np.testing.assert_array_equal(ten[:4], draw_class(7, 4))


def test_every_example_and_every_class_is_a_drawing_of_its_own() -> None:
    drawings = np.concatenate([draw_class(number, 10) for number in range(50)])
    assert len({drawing.tobytes() for drawing in drawings}) == 500


def test_ink_is_bright_and_thin_and_stays_off_most_of_the_edge() -> None:
    x = np.concatenate([draw_class(number, 5) for number in range(100)])[..., 0].astype(float)
    assert (x.max(axis=(1, 2)) > 150).all()
    assert 0.05 < x.mean() / 255 < 0.2
    edge = np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], axis=1)
    assert edge.mean() / 255 < 0.02


def test_a_stroke_that_touches_another_moves_with_it() -> None:
    for number in range(20):
        basis, control, segments = program(np.random.default_rng(number))
        points = basis @ control
        np.testing.assert_allclose(points.max(axis=0) + points.min(axis=0), 0, atol=1e-5)
        assert np.ptp(points, axis=0).max() <= 1 + 1e-5
        offsets = ~control.any(axis=1)
        starts = [*segments[np.diff(segments, prepend=-2) > 1], len(points)]  # of the strokes
        assert 2 <= len(starts) - 1 <= 5
        for first, end in pairwise(starts[1:]):
            gaps = np.linalg.norm(points[first:end, None] - points[None, :first], axis=2)
            joint, anchor = np.unravel_index(gaps.argmin(), gaps.shape)
            assert gaps[joint, anchor] < 1e-5
            difference = basis[first + joint] - basis[anchor]  # 0: both move with the same controls
            np.testing.assert_allclose(difference[~offsets], 0, atol=1e-6)


def test_the_parts_have_classes_of_their_own() -> None:
    ranges = [set(range(first, first + count)) for first, count, _ in PARTS.values()]
    assert len(set.union(*ranges)) == sum(map(len, ranges)) == 2600
    val = load_glyphs(PLAIN, "meta_val")
    assert val.x.shape == (4000, 28, 28, 1)
    assert val.counts.tolist() == [20] * 200
    assert (val.classes[0], val.classes[-1]) == ("glyph-2000", "glyph-2199")
    np.testing.assert_array_equal(val.x[20:40], draw_class(2001, 20))


def test_rotations_are_classes_of_their_own() -> None:
    val = load_glyphs(DataConfig(source="glyphs", rotations=True), "meta_val")
    assert len(val.classes) == 800
    assert val.classes[:2] == ("glyph-2000@0", "glyph-2000@90")
    torch.testing.assert_close(val.x[20:40], val.x[:20].rot90(1, (1, 2)))


def test_the_nearest_neighbour_on_pixels_is_neither_lost_nor_done() -> None:
    x = load_glyphs(PLAIN, "meta_val").x.reshape(200, 20, -1).float() / 255
    generator = torch.Generator().manual_seed(0)
    right = []
    for _ in range(400):
        chosen = x[torch.randperm(200, generator=generator)[:5]]
        nearest = torch.cdist(chosen[:, 1:].flatten(0, 1), chosen[:, 0]).argmin(dim=1)
        right.append((nearest == torch.arange(5).repeat_interleave(19)).float().mean())
    assert 0.55 < float(torch.stack(right).mean()) < 0.72  # about 0.64; chance is 0.2


def test_another_size_is_refused() -> None:
    with pytest.raises(DataError) as error:
        load_glyphs(DataConfig(source="glyphs", image_size=64), "meta_val")
    assert str(error.value) == "data.image_size is 64, glyphs are drawn at 28 pixels a side"
    assert error.value.hint == "set data.image_size = 28"
