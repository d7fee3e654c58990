"""What a manifest says of a regression: errors, one function, and the text of both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handful.runtime.errors import ManifestError
from handful.runtime.package.decode import read_manifest, to_json
from handful.runtime.package.manifest import Comparison, Evaluation
from handful.runtime.tools.inspect import describe
from handful.runtime.tools.text import accuracies, format_description

from ..each import each

LINE = Comparison(name="least squares", mean_squared_error=0.5, difference=0.25, interval=0.125)
MEASURED = Evaluation(
    data="sensor", split="meta_test", way=1, shot=5, episodes=9, mean_squared_error=0.25,
    interval=0.0625, compared=(LINE,),
)  # fmt: skip


def test_an_error_is_kept_and_read_again(packages: Any, tmp_path: Any) -> None:
    folder = packages.copy("line", tmp_path)
    manifest = replace(read_manifest(folder), evaluation=(MEASURED,))
    (folder / "manifest.json").write_text(to_json(manifest))
    assert read_manifest(folder) == manifest
    assert (MEASURED.value, LINE.value) == (0.25, 0.5)


@each(
    ("evaluation", "words"),
    [
        (replace(MEASURED, way=5), "`evaluation[0].way` is 5, wanted 1: the task is regression"),
        (
            replace(MEASURED, accuracy=0.5),
            "`evaluation[0]` wants `mean_squared_error` alone, the task is regression",
        ),
        (
            replace(MEASURED, accuracy=0.5, mean_squared_error=None),
            "`evaluation[0]` wants `mean_squared_error` alone, the task is regression",
        ),
        (
            replace(MEASURED, mean_squared_error=-1.0),
            "`evaluation[0].mean_squared_error` is -1.0, wanted 0 to 1e+30",
        ),
        (
            replace(MEASURED, compared=(replace(LINE, difference=-1e31),)),
            "`evaluation[0].compared[0].difference` is -1e+31, wanted -1e+30 to 1e+30",
        ),
    ],
)
def test_what_no_regression_reaches_is_refused(
    packages: Any, evaluation: Evaluation, words: str
) -> None:
    manifest = read_manifest(packages("line"))
    with pytest.raises(ManifestError) as error:
        to_json(replace(manifest, evaluation=(evaluation,)))
    assert str(error.value) == words


def test_its_text_has_no_ways() -> None:
    assert accuracies([MEASURED]) == (
        "shot  episodes  mean squared error\n"
        "   5         9  0.25000 ± 0.06250\n"
        "\n"
        "shot  on the same episodes  mean squared error  the learner is below it by\n"
        "   5  least squares         0.50000             +0.25000 ± 0.12500"
    )


def test_its_limits_are_of_examples(packages: Any) -> None:
    lines = format_description(describe(packages("line"))).splitlines()
    assert lines[2] == "limits  examples 1 or more"
