"""Golden pictures: preprocessing is replayed, and told where it differs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful.runtime.errors import PackageError
from handful.runtime.inputs import pictures
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.golden import draw_pictures
from handful.runtime.tools.text import format_verification
from handful.runtime.tools.verify import verify

from ..each import each
from . import edit
from .second_preprocessing import prepared


def spec(shape: tuple[int, ...], resize: int, **changes: Any) -> InputSpec:
    settings = {"layout": "HWC", "colour": "rgb", "scale": 1 / 255, "interpolation": "lanczos"}
    return InputSpec(kind="image", shape=shape, resize=resize, **{**settings, **changes})


def test_the_runtime_makes_of_them_what_numpy_made(packages: Any) -> None:
    report = verify(packages("head"))
    assert report.pictures == {"picture/0/x": 0.0, "picture/1/x": 0.0}
    assert format_verification(report).endswith("; 2 golden pictures, worst difference 0.0e+00")
    assert verify(packages("line")).pictures == {}
    assert "golden pictures" not in format_verification(verify(packages("line")))


def test_one_grey_level_in_one_pixel_is_found(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("head", tmp_path)
    with np.load(folder / "conformance.npz") as arrays:
        picture = arrays["picture/1/x"]
    one_level = np.float32(1 / 255) * (picture == picture.max())
    edit.golden(folder, **{"picture/1/x": picture + one_level})
    report = verify(folder)
    assert report.failed == ("picture/1/x",)
    assert not report.ok


def test_without_pillow_they_are_replayed_by_numpy(
    packages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_pillow = verify(packages("head")).pictures
    monkeypatch.setattr(pictures, "has_pillow", lambda: False)
    report = verify(packages("head"))
    assert report.ok
    assert report.pictures == by_pillow
    assert "; 2 golden pictures, worst difference " in format_verification(report)
    assert verify(packages("line")).pictures == {}


def test_a_package_of_pictures_without_them_is_refused(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("head", tmp_path)
    for i in (0, 1):
        edit.golden(folder, **{f"picture/{i}": None, f"picture/{i}/x": None})
    with pytest.raises(PackageError) as error:
        verify(folder)
    assert str(error.value) == "conformance.npz has no `picture/0`"
    assert error.value.hint == "export the package again"


@each(
    ("name", "value", "words"),
    [
        ("picture/0/x", None, "conformance.npz has no `picture/0/x`"),
        (
            "picture/0", np.zeros((9, 9), np.uint8),
            "`picture/0` in conformance.npz is uint8 [9, 9],"
            " wanted uint8 [H, W, 3] with at most 8388608 pixels",
        ),
        (
            "picture/1", np.zeros((9, 9, 3), np.float32),
            "`picture/1` in conformance.npz is float32 [9, 9, 3],"
            " wanted uint8 [H, W, 3] with at most 8388608 pixels",
        ),
        (
            "picture/1", np.zeros((0, 9, 3), np.uint8),
            "`picture/1` in conformance.npz is uint8 [0, 9, 3],"
            " wanted uint8 [H, W, 3] with at most 8388608 pixels",
        ),
        (
            "picture/1", np.zeros((8_000_000, 1, 3), np.uint8),
            "`picture/1` in conformance.npz is 1 × 8000000, too long and narrow to resize",
        ),
        ("picture/2", np.zeros((9, 9, 3), np.uint8), "conformance.npz has an unknown `picture/2`"),
    ],
)  # fmt: skip
def test_pictures_that_are_none(
    packages: Any, tmp_path: Path, name: str, value: Any, words: str
) -> None:
    folder = packages.copy("head", tmp_path)
    edit.golden(folder, **{name: value})
    with pytest.raises(PackageError) as error:
        verify(folder)
    assert (str(error.value), error.value.hint) == (words, "export the package again")


@each("resize", [1, 6, 28, 84, 128, 129, 256, 1024, 4096])
def test_they_are_small_not_square_and_always_the_same(resize: int) -> None:
    cut = spec((1, 1, 3), resize)
    golden = draw_pictures(cut)
    assert list(golden) == [f"picture/{i}{x}" for i in (0, 1) for x in ("", "/x")]
    for i in (0, 1):
        height, width, _ = golden[f"picture/{i}"].shape
        assert height != width
        assert resize > 1024 or min(height, width) > resize
    assert sum(value.nbytes for value in golden.values()) < max(4_200_000, 20 * resize**2)
    again = draw_pictures(cut)
    assert all((again[name] == value).all() for name, value in golden.items())


def test_they_are_drawn_for_whole_pictures_too() -> None:
    cut = spec((28, 20, 3), 28, fit="whole")
    golden = draw_pictures(cut)
    for i in (0, 1):
        drawn = golden[f"picture/{i}/x"]
        np.testing.assert_array_equal(drawn, prepared(golden[f"picture/{i}"], cut))
        np.testing.assert_allclose(drawn[0], 127 / 255, rtol=1e-6)  # the ground above


@each("interpolation", ["lanczos", "bicubic", "bilinear"])
@each("resize", [28, 84, 256])
def test_they_tell_the_order_of_the_passes(resize: int, interpolation: str) -> None:
    """A resize that begins with the vertical axis is found out."""
    cut = spec((resize, resize, 3), resize, interpolation=interpolation)
    golden = draw_pictures(cut)
    for i in (0, 1):
        picture = golden[f"picture/{i}"]
        drawn = golden[f"picture/{i}/x"]
        np.testing.assert_array_equal(drawn, prepared(picture, cut))
        vertical_first = prepared(picture.swapaxes(0, 1), cut).swapaxes(0, 1)
        assert np.abs(vertical_first - drawn).max() > 1 / 256
