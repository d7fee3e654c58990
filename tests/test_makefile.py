"""`make demo`: it says which Python it wants, and a failed install leaves no environment behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VENV = """#!/bin/sh
case "$1" in -c) echo {version}; exit {refused};; esac
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$(basename $0) $*"\\nexit {pip}\\n' > "$3/bin/pip"
chmod +x "$3/bin/pip"
cp "$3/bin/pip" "$3/bin/python"
"""  # a Python that makes an environment of two programs, which say what they are called with


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What `make` reads of a clone."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def demo(clone: Path, *, version: str = "3.12.0", refused: int = 0, pip: int = 0) -> str:
    """What `make demo` says on stderr, or what it printed where all went well."""
    python = clone / "python"
    python.write_text(VENV.format(version=version, refused=refused, pip=pip))
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "demo", "PYTHON=./python"],
        cwd=clone,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (not refused and not pip)
    return done.stdout if done.returncode == 0 else done.stderr


def test_an_old_python_is_refused_before_anything_is_made(clone: Path) -> None:
    assert demo(clone, version="3.10.4", refused=1).startswith(
        "error: wanted Python 3.11 or later, ./python is: 3.10.4\n"
        "hint: make demo PYTHON=python3.11\n"
    )
    assert not (clone / ".venv").exists()


def test_a_failed_install_leaves_nothing_behind(clone: Path) -> None:
    assert "Error 1" in demo(clone, pip=1)
    assert not (clone / ".venv").exists()
    assert "pip install --quiet" in demo(clone)  # and the next one begins anew
    assert (clone / ".venv" / ".ready").exists()


def test_an_environment_that_was_there_is_kept(clone: Path) -> None:
    (clone / ".venv" / "mine").mkdir(parents=True)
    demo(clone, pip=1)
    assert (clone / ".venv" / "mine").is_dir()
    assert not (clone / ".venv" / ".ready").exists()


def test_a_whole_environment_is_made_once(clone: Path) -> None:
    assert "python -m handful.trainer.demo" in demo(clone)
    assert "pip install" not in demo(clone)
