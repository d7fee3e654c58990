"""Brings the pages of the site together: every Markdown file, and what they show or link to.

`python docs/site.py` copies them to build/pages with their places in the repository, where
`mkdocs build` reads them; `make docs` does both.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "pages"
FOLDERS = ("", "docs", "docs/learners", "benchmarks")  # of pages
LINK = re.compile(r"""(?:\]\(|src=")([^)#"]+)""")


def pages() -> list[Path]:
    """The Markdown files, by their paths below the root."""
    files = (file for folder in FOLDERS for file in (ROOT / folder).glob("*.md"))
    return sorted(file.relative_to(ROOT) for file in files)


def shown_by(page: Path) -> set[Path]:
    """The files of the repository that a page shows or links to."""
    targets = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    local = (ROOT / page.parent / target for target in targets if "://" not in target)
    return {file.resolve().relative_to(ROOT.resolve()) for file in local if file.is_file()}


def main() -> None:
    """Copy them, after what an earlier run copied is gone."""
    shutil.rmtree(PAGES, ignore_errors=True)
    wanted = set(pages())
    for page in pages():
        wanted |= shown_by(page)
    for file in sorted(wanted):
        (PAGES / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, PAGES / file)


if __name__ == "__main__":
    main()
