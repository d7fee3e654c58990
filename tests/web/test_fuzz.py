"""Packages spoilt at random are refused by both runtimes or by neither, and in words by both."""

from __future__ import annotations

from pathlib import Path

import pytest

from handful.runtime.errors import HandfulError
from handful.runtime.package.read import read_package

from ..hostile.fuzz import TASK, WAYS, bases, cases
from .node import needs_node, run

OF_PACKAGES = [way for way in WAYS if way not in (TASK, "golden vectors")]


def read_here(folder: Path) -> str:
    """What came of reading it: `ok`, or the error."""
    try:
        read_package(folder)
    except HandfulError as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


@needs_node
@pytest.mark.parametrize(
    ("seed", "most"), [(1, 120), pytest.param(2, 4000, marks=pytest.mark.slow)]
)
def test_both_runtimes_decide_alike(tmp_path: Path, seed: int, most: int) -> None:
    source = cases(bases(tmp_path), seed, OF_PACKAGES)
    names: dict[Path, str] = {}
    for i in range(most):
        name, make = next(source)
        folder = tmp_path / f"case-{i}"
        make(folder)
        names[folder] = name
    there = run("refuse.js", text="\n".join(map(str, names)), seconds=300 + most)
    apart = []
    for (folder, name), outcome in zip(names.items(), there, strict=True):
        here, read = read_here(folder), outcome["read"]
        if (here == "ok") != (read == "ok") or read.startswith("raw"):
            apart.append(f"{name}: {here[:120]} | {read[:120]}")
    assert apart == []
