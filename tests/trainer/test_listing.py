"""The lists of learners, recipes and sources: complete, and made without torch."""

from __future__ import annotations

import os
import subprocess
import sys

from handful.trainer.learners import LEARNERS
from handful.trainer.listing import describe_learners


def test_every_learner_is_listed_with_the_first_line_of_its_file() -> None:
    listed = dict(describe_learners())
    assert list(listed) == list(LEARNERS)
    for name, kind in LEARNERS.items():
        assert listed[name] == (sys.modules[kind.__module__].__doc__ or "").splitlines()[0]
        assert len(listed[name]) > len(name)


def test_no_list_needs_what_trains() -> None:
    """A stand-in for an install without the extra; tests/test_packaging.py has a real one."""
    code = """
import sys
device = () if sys.argv[1] == "packages" else ("numpy", "onnxruntime")  # what these take
for name in ("torch", *device, "pydantic", "rich"):
    sys.modules[name] = None
from handful.cli import main
main([sys.argv[1]])
"""
    for command, first in (
        ("learners", "baseline"),
        ("data", "omniglot"),
        ("packages", "activity-personal"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, command],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split()[0] == first
