"""Node and what it needs, for the tests of the second runtime; and what a program there says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
NODE = shutil.which("node")
HERE = NODE is not None and (WEB / "node_modules" / "onnxruntime-node").is_dir()

needs_node = pytest.mark.skipif(
    not HERE, reason="no Node, or no packages: cd web && npm ci --ignore-scripts"
)


def run(program: str, *arguments: str, text: str = "", seconds: float = 300) -> list[Any]:
    """What a program of web/test prints within so many seconds, a value for each line of JSON."""
    assert NODE is not None
    found = subprocess.run(
        [NODE, str(WEB / "test" / program), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    return [json.loads(line) for line in found.stdout.splitlines()]
