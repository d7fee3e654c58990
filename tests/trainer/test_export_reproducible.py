"""The same learner gives the same bytes: in another process, from parameters in another order."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPORT = """
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from handful.trainer.export.package import export
from tests.trainer.cases import case, source

subject = source(case(sys.argv[2]))
other_order = dict(reversed(subject.params.items()))
assert list(other_order) != list(subject.params)
export(replace(subject, params=other_order), Path(sys.argv[3]))
"""


# MAML's state is in the order of its parameters; the prototypical network reads pictures
@pytest.mark.parametrize(
    "name", ["mlp-group-fixed-coordinate", pytest.param("prototypical", marks=pytest.mark.slow)]
)
def test_an_export_is_the_same_byte_for_byte(
    name: str, package: Callable[[str], Path], tmp_path: Path
) -> None:
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    command = [sys.executable, "-c", EXPORT, str(ROOT), name, str(tmp_path / name)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    folder = package(name)
    files = sorted(file.name for file in folder.iterdir())
    assert sorted(file.name for file in (tmp_path / name).iterdir()) == files
    for file in files:
        assert (tmp_path / name / file).read_bytes() == (folder / file).read_bytes(), file
