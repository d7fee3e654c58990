"""Figures stand in one place: what a page repeats is what a script or an export wrote."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "RESULTS.md"
WRITTEN = [*(BENCHMARKS / "results").glob("*.md"), *ROOT.glob("exported/*/README.md")]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
GENERATED = re.compile(r"<!-- packages -->.*<!-- /packages -->", re.DOTALL)
RUN_ALL = """
import contextlib, io, runpy, sys
folder, *scripts = sys.argv[1:]
sys.path.insert(0, folder)
for script in scripts:
    sys.argv = [script, "--help"]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        if ended.code == 0:
            continue
    print(script)
"""


def figures(text: str) -> set[str]:
    """The measured numbers of a page, each with its interval, without signs: `90.52 ± 0.42`."""
    return set(re.findall(r"\d+\.\d+ ± \d+\.\d+", text))


def test_no_figure_stands_in_two_places_by_hand() -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in [RESULTS, *PAGES]}
    written = [path.read_text(encoding="utf-8") for path in WRITTEN]
    written += [block for text in pages.values() for block in GENERATED.findall(text)]
    known = set.union(*map(figures, written))
    by_hand: dict[str, list[str]] = {}
    for path, text in pages.items():
        for figure in figures(GENERATED.sub("", text)) - known:
            by_hand.setdefault(figure, []).append(str(path.relative_to(ROOT)))
    assert {figure: places for figure, places in by_hand.items() if len(places) > 1} == {}


def test_the_table_of_packages_is_that_of_their_manifests() -> None:
    packages = runpy.run_path(str(BENCHMARKS / "packages.py"))
    found = packages["SECTION"].search(RESULTS.read_text(encoding="utf-8"))
    assert found[0] == f"<!-- packages -->\n\n{packages['section']()}\n\n<!-- /packages -->", (
        "run `python benchmarks/packages.py`"
    )


def test_what_adapting_gains_is_that_of_the_manifests() -> None:
    packages = runpy.run_path(str(BENCHMARKS / "packages.py"))
    found = packages["GAINS"].search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found[0] == f"<!-- adapting -->\n\n{packages['gains']()}\n\n<!-- /adapting -->", (
        "run `python benchmarks/packages.py`"
    )


def test_every_written_table_is_linked() -> None:
    text = RESULTS.read_text(encoding="utf-8")
    names = {path.name for path in (BENCHMARKS / "results").glob("*.md")}
    assert names == set(re.findall(r"\]\(results/([^)]+)\)", text))


def test_confidence_repeats_what_was_measured() -> None:
    """Size, calibration error, false accepts and what is kept at 5 %, of each row."""
    measured: dict[tuple[str, str], list[str]] = {}
    for part in (BENCHMARKS / "results" / "unknown.md").read_text("utf-8").split("\n## ")[1:]:
        for row in re.findall(r"^\| (\d+-way \d+-shot)[ *]* \| (.*) \|$", part, re.MULTILINE):
            _, error, _, accepts, _, _, kept, *_ = row[1].split(" | ")
            measured[part.split("\n")[0], row[0]] = [error, accepts, kept]
    page = (ROOT / "docs" / "confidence.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]*) ?\| (\d+-way \d+-shot) \| (.*) \|$", page, re.MULTILINE)
    package = ""
    shown: dict[tuple[str, str], list[str]] = {}
    for name, size, cells in rows:
        package = name or package
        shown[package, size] = cells.split(" | ")
    assert shown
    assert shown == {key: measured[key] for key in shown}


def test_every_benchmark_says_how_to_call_it() -> None:
    scripts = [
        str(path)
        for path in sorted(BENCHMARKS.glob("*.py"))
        if "__main__" in path.read_text(encoding="utf-8")
    ]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, str(BENCHMARKS), *scripts],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
