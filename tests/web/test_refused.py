"""What Python refuses of packages from anybody, the runtime in JavaScript refuses as well."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest

from ..each import each
from ..hostile.test_corpus import CASES
from ..runtime.conftest import packages
from .node import needs_node, run

__all__ = ["packages"]


@pytest.fixture(scope="module")
def outcomes(packages: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of every case, from one process."""
    base = tmp_path_factory.mktemp("hostile")
    folders = {}
    for i, (name, (spoil, _)) in enumerate(CASES.items()):
        folders[name] = base / f"{i}-{re.sub('[^a-z0-9]+', '-', name.lower())}"
        shutil.copytree(packages("head"), folders[name])
        spoil(folders[name])
    found = run("refuse.js", "--verify", text="\n".join(map(str, folders.values())))
    return dict(zip(folders, found, strict=True))


@needs_node
@each("name", CASES)
def test_the_hostile_corpus_is_refused_there_too(outcomes: dict[str, Any], name: str) -> None:
    wanted = CASES[name][1]
    read, verified = outcomes[name]["read"], outcomes[name]["verify"]
    assert not f"{read}{verified}".startswith("raw"), (read, verified)
    if name.startswith("golden"):  # a vector that is off is refused by one and differs in the other
        assert verified != "ok" or wanted == "ok", (wanted, read, verified)
    else:
        assert (read == "ok") == (wanted == "ok"), (wanted, read, verified)
