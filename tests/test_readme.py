"""The README's tree, links and Python are true."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree() -> list[str]:
    """The paths of the README's tree."""
    block = README.split("## The tree\n\n```\n")[1].split("```")[0]
    found, folder = [], ""
    for line in block.splitlines():
        name = line.split()[0]
        if line.startswith(" "):
            found.append(folder + name)
        else:
            folder = name if name.endswith("/") else ""
            found.append(name)
    return found


def test_every_file_of_the_tree_is_there() -> None:
    assert [name for name in tree() if not (ROOT / name).exists()] == []


def test_every_folder_of_code_is_in_the_tree() -> None:
    folders = {f"{p.parent.relative_to(ROOT)}/" for p in (ROOT / "trainer").glob("*/__init__.py")}
    assert folders <= set(tree())


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_adapts() -> None:
    code = README.split("```python\n")[1].split("```")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ka\n('ka', 'ga', 'na')\n"
