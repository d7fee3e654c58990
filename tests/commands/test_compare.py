"""`handful compare`: the numbers of `evaluate` on the same tasks, beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..each import each
from .called import error, run

SIZES = ("--way", 3, "--shot", 1, 2, "--episodes", 8, "--queries", 3, "--seed", 4)
RESULT = (
    *("way", "shot", "queries", "given", "episodes", "persons", "accuracy"),
    *("mean_squared_error", "mean_return", "interval", "transductive", "compared", "sure"),
)
COST = (
    *("bytes", "way", "shot", "threads", "runs", "cold_start_ms", "peak_rss_mib"),
    *("load_ms", "embed_ms", "adapt_ms", "predict_ms"),
)


def printed(*arguments: object) -> Any:
    result = run(*arguments, "--json", "--workers", 1)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_each_has_the_numbers_that_evaluate_gives_it(
    trained: Path, package: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "compared.png"
    found = printed("compare", trained, package, *SIZES, "--plot", plot)
    assert list(found) == ["task", "seed", "references", "notes", "entries"]
    assert (found["task"], found["seed"]) == ("classification", 4)
    by_run, by_package, *yardsticks = found["entries"]
    assert [(e["name"], e["kind"]) for e in (by_run, by_package)] == [
        (str(trained), "run"),
        (str(package), "package"),
    ]
    assert {entry["kind"] for entry in yardsticks} == {"yardstick"}
    assert found["references"] == [str(trained), *(entry["name"] for entry in yardsticks)]
    assert found["notes"] == [f"the yardsticks read the features of {trained}"]
    for entry, place in ((by_run, trained), (by_package, package)):
        for result, alone in zip(entry["results"], printed("evaluate", place, *SIZES), strict=True):
            assert tuple(result) == RESULT
            same = ("way", "shot", "queries", "episodes", "accuracy", "interval")
            assert [result[name] for name in same] == [alone[name] for name in same]
            for other in result["compared"]:
                assert other["difference"] == pytest.approx(
                    result["accuracy"] - other["accuracy"], abs=1e-9
                )
            if place is trained:  # the yardsticks of the first are those of its evaluation
                assert result["compared"] == alone["compared"][:3]
    for entry in yardsticks:
        assert list(entry) == ["name", "kind", "results", "cost"]
        assert [c["name"] for c in entry["results"][0]["compared"]] == [
            name for name in found["references"] if name != entry["name"]
        ]
    assert (by_run["cost"], yardsticks[0]["cost"]) == (None, None)
    cost = by_package["cost"]
    assert tuple(cost) == COST
    files = [package / "manifest.json", *package.rglob("*.onnx")]
    assert cost["bytes"] == sum(file.stat().st_size for file in files)
    assert (cost["way"], cost["shot"], cost["threads"]) == (3, 1, 1)
    assert cost["adapt_ms"] > 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_without_a_run_the_closed_forms_are_compared(points: Path) -> None:
    result = run("compare", "--data", points, "--episodes", 4, "--shot", 1, "--workers", 1)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "5-way 1-shot, 11 queries a class, 4 episodes, seed 0:"
    assert lines[3].startswith('1  means, metric = "euclidean"  ')
    assert "note: --queries 15 is lowered to 11 at 1-shot: 0 has 12 examples" in lines
    marked = run("compare", "--data", points, "--episodes", 4, "--markdown", "--workers", 1)
    assert marked.stdout.splitlines()[2].startswith("|  | measured |  | accuracy % | above 1 by |")


def test_the_same_twice_and_what_is_nowhere_are_refused(trained: Path, tmp_path: Path) -> None:
    assert error(run("compare", trained, trained)) == (
        f"error: {trained} is named twice\n\nhint: name each run and package once\n"
    )
    assert error(run("compare", trained, "nothing")).startswith(
        "error: no folder or file nothing, and no shipped package of that name\n"
    )
    assert error(run("compare", trained, "--way", 7)) == (
        f"error: {trained}: the meta-test split has 6 classes, a task needs 7\n"
        "\n"
        "hint: lower --way, or give the split more classes\n"
    )


@each(
    ("arguments", "words"),
    [
        ((), "Error: Missing argument 'RUN_OR_PACKAGE...', or --data of your own."),
        (
            ("--data", "x", "--json", "--markdown"),
            "Error: --json and --markdown are two ways to print the same.",
        ),
        (
            ("omniglot-leo", "--backbone", "x.onnx"),
            "Error: --backbone, --set and --skip-small are for --data without a run or a package.",
        ),
    ],
)
def test_options_that_do_not_fit_are_usage_errors(arguments: tuple[str, ...], words: str) -> None:
    result = run("compare", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == words
