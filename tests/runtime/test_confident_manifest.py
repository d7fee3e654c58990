"""What a manifest says of confidence: kept, shown, and refused where it is not a grid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handful.runtime.errors import ManifestError
from handful.runtime.package.decode import to_json
from handful.runtime.tools.inspect import describe
from handful.runtime.tools.text import format_description

from ..each import each
from . import edit
from .confident import entry, grid, sure

Change = Callable[[list[dict[str, Any]]], object]


def test_it_is_read_written_and_shown(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("prototypes", tmp_path)
    manifest = sure(folder, grid(temperature=1.5)).manifest
    assert json.loads(to_json(manifest))["confidence"] == grid(temperature=1.5)
    assert format_description(describe(folder)).splitlines()[-6:] == [
        "confidence, on 30 meta-validation classes and queries of others:",
        "way  shot  temperature  calibration error %  kept at 1 %",
        "  2     1  1.50         1.00                 90.0",
        "  2     4  1.50         1.00                 90.0",
        "  8     1  1.50         1.00                 90.0",
        "  8     4  1.50         1.00                 90.0",
    ]


def of(place: str, **values: Any) -> Change:
    """Alter the second entry, or the first threshold or set in it."""

    def change(entries: list[dict[str, Any]]) -> None:
        found = entries[1] if not place else entries[1][place][0]
        found.update(values)

    return change


ORDER = "`confidence` wants each way with each shot once, in the order of way, then shot"
REFUSED: list[tuple[Change, str]] = [
    (lambda c: c.pop(), ORDER),
    (lambda c: c.append(c[0]), ORDER),
    (lambda c: c.reverse(), ORDER),
    (lambda c: c.extend(c * 64), "`confidence` has 260 entries, at most 256 are read"),
    (of("", way=1), "`confidence[1].way` is 1, wanted 2 or more"),
    (of("", shot=0), "`confidence[1].shot` is 0, wanted 1 or more"),
    (of("", classes=2), "`confidence[1].classes` is 2, wanted more than the 2 of a task"),
    (of("", queries=0), "`confidence[1].queries` is 0, wanted 1 or more"),
    (of("", others=1.5), "`confidence[1].others` is 1.5, wanted 0 to 1"),
    (of("", others=0.5), "`confidence[1].others` is 0.5, wanted 0.0 as in the first entry"),
    (of("", temperature=0), "`confidence[1].temperature` is 0.0, wanted 1e-09 to 1e+09"),
    (of("", calibration_error=2), "`confidence[1].calibration_error` is 2.0, wanted 0 to 1"),
    (of("", thresholds=[]), "`confidence[1].thresholds` has 0 entries, wanted 1 to 32"),
    (
        of("", sets=[{"coverage": 0.9, "probability": 0.5, "size": 1}] * 33),
        "`confidence[1].sets` has 33 entries, wanted 1 to 32",
    ),
    (
        of("thresholds", score=1e31),
        "`confidence[1].thresholds[0].score` is 1e+31, wanted -1e+30 to 1e+30",
    ),
    (of("thresholds", known_kept=-0.1), "`confidence[1].thresholds[0].known_kept` is -0.1, wanted"),
    (
        of("thresholds", score=-5.0),
        "`confidence[1].thresholds` wants rising `false_accepts` and no rising `score`",
    ),
    (
        of("thresholds", false_accepts=0.2),
        "`confidence[1].thresholds` wants rising `false_accepts` and no rising `score`",
    ),
    (
        of("thresholds", false_accepts=0.0),
        "`confidence[1].thresholds` has a `false_accepts` of 0.0, wanted between 0 and 1",
    ),
    (
        of("thresholds", false_accepts=0.02),
        "`confidence[1].thresholds` wants the `false_accepts` of the first entry",
    ),
    (of("sets", probability=1.5), "`confidence[1].sets[0].probability` is 1.5, wanted 0 to 1"),
    (of("sets", size=3), "`confidence[1].sets[0].size` is 3.0, wanted 0 to 2"),
    (
        of("sets", probability=0.1),
        "`confidence[1].sets` wants rising `coverage` and no rising `probability`",
    ),
    (of("sets", coverage=0.8), "`confidence[1].sets` wants the `coverage` of the first entry"),
    (of("sets", coverage=1), "`confidence[1].sets` has a `coverage` of 1.0, wanted between 0"),
]


@each(("change", "words"), REFUSED)
def test_what_cannot_be_read_between_is_refused(
    packages: Any, tmp_path: Path, change: Change, words: str
) -> None:
    entries = grid()
    change(entries)
    with pytest.raises(ManifestError) as error:
        sure(packages.copy("prototypes", tmp_path), entries)
    assert str(error.value).startswith(words)


def test_sizes_beyond_the_limits_and_regressions_have_none(packages: Any, tmp_path: Path) -> None:
    folder = packages.copy("prototypes", tmp_path)
    edit.manifest(folder, lambda content: content["limits"]["shot"].update(max=3))
    with pytest.raises(ManifestError) as error:
        sure(folder, grid())
    assert str(error.value) == "`confidence[1].shot` is 4, wanted 1 to 3"
    with pytest.raises(ManifestError) as error:
        sure(packages.copy("line", tmp_path), [entry(2, 1)])
    assert str(error.value) == "`confidence` has entries, wanted none: the task is regression"
