"""Golden sounds: resampling and cutting are replayed, and told where they differ."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful.runtime.errors import PackageError
from handful.runtime.inputs import sounds
from handful.runtime.package.rules import sound_spec
from handful.runtime.tools.golden import draw_sounds
from handful.runtime.tools.text import format_verification
from handful.runtime.tools.verify import verify

from ..each import each
from . import edit
from .small_sounds import LENGTH, RATE

SPEC = sound_spec(RATE, LENGTH)


def with_sounds(packages: Any, tmp_path: Path) -> Path:
    """A copy of the package `tones` with golden sounds."""
    folder: Path = packages.copy("tones", tmp_path)
    edit.golden(folder, **draw_sounds(SPEC))
    return folder


@pytest.fixture
def folder(packages: Any, tmp_path: Path) -> Path:
    return with_sounds(packages, tmp_path)


def by_the_page(x: Any, old: int, new: int) -> Any:
    """Steps 2 and 3 of docs/package-format.md, sample by sample as it is written."""
    z, c = 32, 0.97 * min(1, new / old)
    x = (x / 2**15).mean(axis=1)
    x = x - x.mean()
    y = []
    for m in range(-(-len(x) * new // old)):
        k = np.arange(int(m * old / new - z / c) - 1, int(m * old / new + z / c) + 2)
        u = c * (m * old / new - k)
        f = np.where(np.abs(u) < z, np.sinc(u) * np.cos(np.pi * u / (2 * z)) ** 2, 0)
        inside = (k >= 0) & (k < len(x))
        y.append(float(f[inside] @ x[k[inside]] / f.sum()))
    return np.array(y)


def test_they_are_what_the_format_page_makes_of_them() -> None:
    golden = draw_sounds(SPEC)
    short, long = (
        by_the_page(golden[f"sound/{i}"], int(golden[f"sound/{i}/rate"]), RATE) for i in (0, 1)
    )
    assert len(short) < LENGTH < len(long)
    assert golden["sound/0"].mean() / 2**15 > 0.01  # a constant offset, which is taken out
    before = (LENGTH - len(short)) // 2
    padded = np.pad(short, (before, LENGTH - len(short) - before))
    np.testing.assert_allclose(golden["sound/0/x"], padded, atol=1e-7)
    middle = float(np.square(long) @ np.arange(len(long)) / np.square(long).sum())
    start = int(np.floor(middle - (LENGTH - 1) / 2 + 0.5))
    assert 0 < start < len(long) - LENGTH  # the rule decides, not the recording's end
    assert np.abs(long).max() > 1.1  # what goes beyond is limited
    kept = np.clip(long[start : start + LENGTH], -1, 1)
    np.testing.assert_allclose(golden["sound/1/x"], kept, atol=1e-7)


def test_they_are_replayed_and_a_package_may_have_none(folder: Path, packages: Any) -> None:
    report = verify(folder)
    assert report.sounds == {"sound/0/x": 0.0, "sound/1/x": 0.0}
    assert format_verification(report).endswith("; 2 golden sounds, worst difference 0.0e+00")
    without = verify(packages("tones"))
    assert (without.ok, without.sounds) == (True, {})
    assert "golden sounds" not in format_verification(without)


def test_another_filter_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "ZEROS", 31)
    report = verify(folder)
    assert report.failed == ("sound/0/x", "sound/1/x")
    assert not report.ok


def test_long_ones_are_thinned_over_all_places_between_old_samples() -> None:
    spec = sound_spec(16000, 16000)
    golden = draw_sounds(spec)
    assert [name for name in golden if "/x" in name] == ["sound/0/x[::11]", "sound/1/x[::11]"]
    assert sum(value.nbytes for value in golden.values()) < 70_000
    # 160 new samples for 441 old ones: each place is met
    assert len({m * 441 % 160 for m in range(0, 16000, 11)}) == 160


def test_the_examples_may_be_16_bit_samples(folder: Path) -> None:
    with np.load(folder / "conformance.npz") as arrays:
        x = {name: arrays[name] for name in ("support_x", "query_x")}
    steps = {name: np.round(value * 2**15).astype(np.int16) for name, value in x.items()}
    edit.golden(folder, **steps)
    report = verify(folder, tolerance=0.01)  # the golden vectors are of floats
    assert report.ok
    assert 0 < report.worst


@each(
    ("changes", "words"),
    [
        ({"sound/0": None}, "conformance.npz has no `sound/0`"),
        ({"sound/1/rate": None}, "conformance.npz has no `sound/1/rate`"),
        ({"sound/0/x": None}, "conformance.npz has no `sound/0/x`"),
        ({"sound/2": np.zeros((3, 1), np.int16)}, "conformance.npz has an unknown `sound/2`"),
        (
            {"sound/0": np.zeros(30, np.int16)},
            "`sound/0` in conformance.npz is int16 [30], wanted int16 [n, C] of at most 16"
            " channels and 1048576 samples",
        ),
        (
            {"sound/1/rate": np.array(1000)},
            "`sound/1/rate` in conformance.npz is int64 [], wanted one int64 from 4000 to 192000",
        ),
        (
            {"support_y": np.eye(4, dtype=np.int16)},
            "conformance.npz: `support_y` is int16 [4, 4], wanted float32 of its own shape",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    packages: Any, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    folder = with_sounds(packages, tmp_path)
    edit.golden(folder, **changes)
    with pytest.raises(PackageError) as error:
        verify(folder)
    assert str(error.value) == words
    assert error.value.hint == "export the package again"


def test_a_package_without_sound_has_no_place_for_them(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("line", tmp_path)
    edit.golden(folder, **draw_sounds(SPEC))
    with pytest.raises(PackageError, match=r"^conformance.npz has an unknown `sound/0`$"):
        verify(folder)
    samples = packages.copy("prototypes", tmp_path)
    with np.load(samples / "conformance.npz") as arrays:
        edit.golden(samples, query_x=arrays["query_x"].astype(np.int16))
    with pytest.raises(PackageError, match=r"`query_x` is int16 .*, wanted float32"):
        verify(samples)
