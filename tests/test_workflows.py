"""The workflows and the hooks parse, call what there is, and release without a token."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import handful

ROOT = Path(__file__).parents[1]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of all jobs; each uses an action or runs a command."""
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_workflows_check_every_system_and_release_on_a_tag() -> None:
    check, release = WORKFLOWS["check"], WORKFLOWS["release"]
    assert {"lint-and-types", "tests", "wheel", "docs"} <= set(check["jobs"])
    for job in ("tests", "wheel"):
        systems = check["jobs"][job]["strategy"]["matrix"]["system"]
        assert systems == ["ubuntu-24.04", "ubuntu-24.04-arm", "macos-14", "windows-2022"]
    assert release[True] == {"push": {"tags": ["v*"]}}  # `on` is a truth in YAML 1.1
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in str(release)
    for workflow in WORKFLOWS.values():
        assert workflow["permissions"] == {"contents": "read"}
        for step in steps(workflow):
            assert ("uses" in step) != ("run" in step), step


def test_what_workflows_and_hooks_call_is_there() -> None:
    lines = [
        step["run"] for workflow in WORKFLOWS.values() for step in steps(workflow) if "run" in step
    ]
    lines += [hook["entry"] for repo in HOOKS["repos"] for hook in repo["hooks"]]
    text = "\n".join(lines)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([\w-]+)", text)) <= targets
    files = set(re.findall(r"(?:docs|tests)/[\w./]+", text))
    assert "docs/tree.py" in files
    assert [file for file in files if not (ROOT / file).is_file()] == []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for named in re.findall(r"\.\[([\w,]+)\]", text):
        assert set(named.split(",")) <= set(extras["optional-dependencies"])


def test_a_release_names_its_place_and_its_version(tmp_path: Path) -> None:
    """The two steps of the release that are ours, in a copy."""
    for name in ("pyproject.toml", "__init__.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    ours = [step["run"] for step in steps(WORKFLOWS["release"]) if "name" in step]
    assert len(ours) == 2
    for tag, succeeds in ((f"v{handful.__version__}", True), ("v99.0.0", False)):
        here = {
            "GITHUB_REF_NAME": tag,
            "GITHUB_SERVER_URL": "https://host.example",
            "GITHUB_REPOSITORY": "somebody/handful",
            "PATH": "/usr/bin:/bin",
        }
        script = "\n".join(["set -e", *ours])
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=here, check=False)
        assert (done.returncode == 0) is succeeds, tag
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"]["Source"] == "https://host.example/somebody/handful"
    assert project["urls"]["Changes"].endswith(f"/blob/v{handful.__version__}/CHANGELOG.md")
    assert project["authors"]
    assert "Typing :: Typed" in project["classifiers"]
