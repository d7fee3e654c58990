"""What repeats between the languages is written once, and is up to date in both."""

from __future__ import annotations

import re
import subprocess
import sys

from handful.runtime.package.manifest import FORMAT

from .node import WEB


def test_the_tables_are_those_of_exported() -> None:
    found = subprocess.run(
        [sys.executable, str(WEB / "generate.py"), "--check"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr


def test_both_runtimes_read_the_same_format() -> None:
    for name in ("manifest.js", "task_file.js"):
        text = (WEB / "src" / name).read_text(encoding="utf-8")
        assert re.search(r"\bFORMAT = (\d+)", text)[1] == str(FORMAT)  # type: ignore[index]


def test_no_lock_file_names_where_packages_come_from() -> None:
    assert "resolved" not in (WEB / "package-lock.json").read_text(encoding="utf-8")
