"""Packages to load, to copy and to spoil."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import handful
from handful.runtime.package.decode import to_json
from handful.runtime.package.manifest import Manifest
from handful.runtime.package.npz import pack_npz

from . import edit as editing
from .small_packages import head, head_golden, line, line_golden, prototypes, prototypes_golden
from .small_policy import bandit, bandit_golden
from .small_series import means_of_series, series_golden
from .small_sounds import tones, tones_golden

BUILDERS: dict[str, tuple[Callable[[Path], Manifest], Callable[[], dict[str, Any]]]] = {
    "prototypes": (prototypes, prototypes_golden),
    "head": (head, head_golden),
    "line": (line, line_golden),
    "bandit": (bandit, bandit_golden),
    "series": (means_of_series, series_golden),
    "tones": (tones, tones_golden),
}


class Packages:
    """Builds each package once; `copy` gives a fresh folder to spoil."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> Path:
        folder = self.folder / name
        if not folder.exists():
            folder.mkdir()
            build, golden = BUILDERS[name]
            (folder / "manifest.json").write_text(to_json(build(folder)))
            (folder / "conformance.npz").write_bytes(pack_npz(golden()))
        return folder

    def copy(self, name: str, to: Path) -> Path:
        return shutil.copytree(self(name), to / name)


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture(name="head")
def head_learner(packages: Packages) -> handful.Learner:
    """The package `head`, loaded."""
    return handful.load(packages("head"))


@pytest.fixture
def folder(packages: Packages, tmp_path: Path) -> Path:
    """A fresh copy of the package `head`."""
    return packages.copy("head", tmp_path)


@pytest.fixture
def edit() -> Callable[..., None]:
    """Change the manifest of a package: `edit(folder, lambda content: ...)`."""
    return editing.manifest


@pytest.fixture
def rehash() -> Callable[..., None]:
    """Put altered bytes into a package with a manifest that agrees with them."""
    return editing.put
