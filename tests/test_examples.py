"""The examples run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import handful

EXAMPLES = Path(__file__).parents[1] / "examples"


def output(example: str, *arguments: Path) -> list[str]:
    """What the example prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / example), *map(str, arguments)],
        env={"PYTHONPATH": str(Path(handful.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_arrays_are_adapted_to_and_a_class_is_added() -> None:
    lines = output("adapt_arrays.py")
    assert [line.rsplit(" ", 1)[0] for line in lines[:2]] == ["ring → ring", "cross → cross"]
    assert lines[2:] == ["step → step", "ring cross step"]
