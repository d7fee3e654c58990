"""A small run and its package, made by the commands themselves; pictures of two shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from .called import SMALL, run, settings


@pytest.fixture(scope="package")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty classes of twelve points each, in a file."""
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 256, (30, 8))
    x = np.concatenate([b + rng.normal(0, 5, (12, 8)) for b in bases]).astype(np.float32)
    file = tmp_path_factory.mktemp("points") / "points.npz"
    np.savez(file, x=x, y=np.repeat(np.arange(30), 12))
    return file


@pytest.fixture(scope="package")
def trained(points: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    split = settings("data.split=random", "data.rotations=false", *SMALL)
    result = run("train", "leo", "--data", points, "--out", folder, *split)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.endswith(
        f"done: {folder}\nnext: handful evaluate {folder}\n      handful export {folder} FOLDER\n"
    )
    return folder


@pytest.fixture(scope="package")
def package(trained: Path) -> Path:
    """Its package."""
    folder = trained.parent / "package"
    result = run("export", trained, folder, "--episodes", 5)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == "way  shot  episodes  accuracy %"
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder for each of two shapes, dark on light, and a new one of each beside them."""
    for x in range(2):
        for name, corners in (("bar", (11, 2, 15, 25)), ("dash", (2, 11, 25, 15))):
            folder = tmp_path / "photos" / name
            folder.mkdir(parents=True, exist_ok=True)
            picture = Image.new("L", (28, 28), 255)
            ImageDraw.Draw(picture).rectangle([c + x for c in corners], fill=0)
            picture.save(folder / f"{x}.png" if x else tmp_path / f"new {name}.png")
    return tmp_path / "photos"
