"""What `evaluate` and `export` print and store: an accuracy beside what it has to beat."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from handful.runtime.package.decode import read_manifest
from handful.trainer.evaluation.confidence import RATES

from .called import run

NAMES = (
    "class means of {}, squared distance",
    "class means of {}, centred, unit length",
    "logistic regression on {}, centred",
    *(f"{step} of 10 inner steps" for step in range(10)),
)
FIELDS = (
    *("way", "shot", "queries", "given", "episodes", "persons", "accuracy"),
    *("mean_squared_error", "mean_return", "interval", "transductive", "compared", "sure"),
)


def printed(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_the_fields_of_the_json_keep_their_names_and_order(trained: Path, package: Path) -> None:
    for place, features in ((trained, "the features"), (package, "h")):
        sizes = ("--way", 3, "--shot", 2, "--episodes", 5, "--queries", 4, "--json")
        (result,) = json.loads(printed("evaluate", place, *sizes))
        assert tuple(result) == FIELDS
        assert [result[name] for name in FIELDS[:5]] == [3, 2, 4, None, 5]
        assert [c["name"] for c in result["compared"]] == [name.format(features) for name in NAMES]
        for other in result["compared"]:
            assert list(other) == [
                "name",
                "accuracy",
                "mean_squared_error",
                "mean_return",
                "difference",
                "interval",
            ]
            assert other["difference"] == pytest.approx(result["accuracy"] - other["accuracy"])


def test_a_line_for_each_size_and_below_what_each_has_to_beat(trained: Path) -> None:
    shown = printed("evaluate", trained, "--way", "2,3", "--episodes", 5, "--queries", 2)
    lines = shown.splitlines()
    assert lines[0] == "way  shot  episodes  accuracy %"
    assert [re.split(r"  +", line.strip())[:3] for line in lines[1:3]] == [
        ["2", "1", "5"],
        ["3", "1", "5"],
    ]
    assert lines[3] == ""
    cells = [re.split(r"  +", line.strip()) for line in lines[4:]]
    head = ["way", "shot", "on the same episodes", "accuracy %", "the learner is above it by"]
    assert cells[0] == head
    wanted = [[way, "1", name.format("the features")] for way in "23" for name in NAMES]
    assert [row[:3] for row in cells[1:]] == wanted
    for _, _, _, accuracy, difference in cells[1:]:
        assert re.fullmatch(r"\d+\.\d\d", accuracy)
        assert re.fullmatch(r"[+−]\d+\.\d\d ± \d+\.\d\d", difference)


def test_a_package_says_how_sure_it_is_beside_what_it_promises(package: Path) -> None:
    sizes = ("--way", 3, "--shot", 2, "--episodes", 5, "--queries", 4)
    (result,) = json.loads(printed("evaluate", package, *sizes, "--json"))
    sure = result["sure"]
    assert list(sure) == ["calibration_error", "rates"]
    assert [rate["promised"] for rate in sure["rates"]] == list(RATES)
    assert list(sure["rates"][0]) == ["promised", "false_accepts", "known_kept"]
    # 5 tasks of 3 classes with 4 queries, and as many of other classes
    for name in ("false_accepts", "known_kept"):
        shares = [rate[name] for rate in sure["rates"]]
        assert shares == sorted(shares)
        assert [round(60 * share, 6) % 1 for share in shares] == [0] * len(RATES)
    shown = printed("evaluate", package, *sizes).split("\n\n")
    head, line = shown[2].splitlines()
    assert re.split(r"  +", head)[2:] == [
        "calibration error %",
        *("false accepts at 1 %", "known kept at 1 %"),
        *("false accepts at 5 %", "known kept at 5 %"),
    ]
    at_five = sure["rates"][RATES.index(0.05)]
    assert re.split(r"  +", line.strip()) == [
        *("3", "2", f"{100 * sure['calibration_error']:.2f}"),
        *(f"{100 * sure['rates'][0][name]:.1f}" for name in ("false_accepts", "known_kept")),
        *(f"{100 * at_five[name]:.1f}" for name in ("false_accepts", "known_kept")),
    ]


def test_how_sure_is_left_out_where_nothing_can_be_said(trained: Path, package: Path) -> None:
    few = ("--episodes", 5, "--queries", 2, "--json")
    for place, *sizes in (
        (trained, "--way", 3),  # a run promises nothing
        (package, "--way", 6),  # all test classes: none is left
        (package, "--way", 3, "--no-yardsticks"),
    ):
        (result,) = json.loads(printed("evaluate", place, *sizes, *few))
        assert result["sure"] is None


def test_the_accuracy_alone_where_nothing_else_is_asked_for(trained: Path, package: Path) -> None:
    for place in (trained, package):
        shown = printed("evaluate", place, "--episodes", 5, "--queries", 2, "--no-yardsticks")
        assert len(shown.splitlines()) == 2


def test_a_package_carries_what_its_run_was_compared_with(trained: Path, package: Path) -> None:
    """Yardsticks of the run's features on the package's tasks, not of what it embeds itself."""
    measured = read_manifest(package).evaluation
    assert [(e.way, e.shot) for e in measured] == [(5, 1), (5, 5)]
    sizes = ("--way", 5, "--shot", "1,5", "--episodes", 5, "--queries", 7, "--json")
    through_torch = json.loads(printed("evaluate", trained, *sizes))
    for by_package, by_run in zip(measured, through_torch, strict=True):
        assert [c.name for c in by_package.compared] == [n.format("the features") for n in NAMES]
        assert [c.accuracy for c in by_package.compared] == pytest.approx(
            [c["accuracy"] for c in by_run["compared"]]
        )
    card = (package / "README.md").read_text()
    assert "| compared with | 5-way 1-shot | 5-way 5-shot |" in card
    assert "class means of the features, squared distance" in printed("inspect", package)
