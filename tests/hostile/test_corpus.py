"""The hostile corpus: each file is refused in these words, without a crash, in little memory."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ..each import each
from . import added, archives, manifests, models, recurrent, windows
from .children import Outcome, run
from .manifests import Case

ROOMS = {
    "manifest": manifests.CASES | added.CASES,
    "model": models.CASES,
    "recurrent": recurrent.CASES,
    "window": windows.CASES,
    "golden": archives.CASES,
}
CASES: dict[str, Case] = {
    f"{room}: {name}": case for room, cases in ROOMS.items() for name, case in cases.items()
}


@pytest.fixture(scope="module")
def outcomes(packages: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What came of every case, from as few child processes as they leave alive."""
    base = tmp_path_factory.mktemp("hostile")
    folders: dict[str, Path] = {}
    for i, (name, (spoil, _)) in enumerate(CASES.items()):
        folders[name] = base / f"{i}-{re.sub('[^a-z0-9]+', '-', name.lower())}"
        shutil.copytree(packages("head"), folders[name])
        spoil(folders[name])
    return dict(zip(CASES, run(list(folders.values())), strict=True))


@each("name", CASES)
def test_what_comes_of_it(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.wrong == ""
    assert outcome.read.startswith(CASES[name][1]), outcome.read
