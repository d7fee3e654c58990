"""Examples far from what a package was trained on: one warning, and none where they are alike."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import handful
from handful.runtime.inputs.pictures import prepare_pixels
from handful.runtime.package.manifest import Seen
from handful.runtime.unlike import far
from handful.trainer.data import DataConfig, load_data

SEEN = {"mean": [0.1, 0.2], "deviation": [0.3, 0.4]}
INK = np.zeros((6, 6, 1), np.float32)
INK[1:5, 2, 0] = 1  # mean 0.11, deviation 0.31
LIGHT = np.full((6, 6, 1), 0.75, np.float32)


@pytest.fixture
def seeing(folder: Path, edit: Callable[..., None]) -> Path:
    """The package `head`, which saw ink on paper."""
    edit(folder, lambda content: content["input"].update(seen=SEEN))
    return folder


def said(call: Callable[[], object]) -> list[Any]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return caught


def test_one_warning_for_all_calls_of_a_learner(seeing: Path) -> None:
    learner = handful.load(seeing)
    assert said(lambda: learner.adapt([INK, INK], ["a", "b"])) == []
    (warning,) = said(lambda: learner.adapt([LIGHT, LIGHT], ["a", "b"]))
    assert warning.category is handful.InputWarning
    assert issubclass(handful.InputWarning, UserWarning)
    assert warning.filename == __file__
    assert str(warning.message) == (
        "the examples are unlike what package head was trained on: values with mean 0.75 and"
        " deviation 0, where it saw 0.1 to 0.2 and 0.3 to 0.4; its answers may mean nothing"
    )
    task = learner.adapt({"a": [LIGHT], "b": [INK]})  # raises where it warns: pytest's filter
    task.predict(LIGHT)


def test_queries_are_looked_at_as_well(seeing: Path) -> None:
    task = handful.load(seeing).adapt([INK, INK], ["a", "b"])
    assert said(lambda: task.predict([INK, INK, LIGHT])) == []  # fewer than half of them
    (warning,) = said(lambda: task.predict([INK, LIGHT]))
    assert str(warning.message).startswith("the queries are unlike what package head was")
    other = handful.load(seeing).adapt([INK, INK], ["a", "b"])
    (warning,) = said(lambda: other.predict_proba(LIGHT))
    assert str(warning.message).startswith("the query is unlike what package head was")
    assert warning.filename == __file__


def test_a_package_that_says_nothing_warns_of_nothing(head: handful.Learner) -> None:
    assert head.manifest.input.seen is None
    head.adapt([LIGHT, LIGHT], ["a", "b"]).predict([LIGHT] * 3)


def test_how_far_is_far() -> None:
    seen = Seen(mean=(0.0, 1.0), deviation=(1.0, 1.0))
    mean = np.array([-0.49, -0.51, 1.49, 1.51, 0.5, 0.5, 0.5, 0.5])
    deviation = np.array([1.0, 1.0, 1.0, 1.0, 0.96, 0.94, 1.04, 1.06])  # of 0.1 × 1, half
    assert far(mean, deviation, seen).tolist() == [False, True] * 4


def test_values_as_large_as_float32_are_no_overflow(folder: Path, edit: Any) -> None:
    def without_range(content: Any) -> None:
        content["input"].update(seen=SEEN, range=None)

    edit(folder, without_range)
    x = np.linspace(-1e30, 1e30, 36, dtype=np.float32).reshape(6, 6, 1)
    watch = handful.load(folder)._engine.watch
    caught = said(lambda: watch.look(x[None], "the query is"))
    assert [warning.category for warning in caught] == [handful.InputWarning]


def test_photographs_are_unlike_omniglot_and_its_unseen_characters_are_not(
    shared_data: Path,
) -> None:
    config = DataConfig(source="omniglot", path=shared_data / "omniglot", rotations=False)
    seen = load_data(config, "meta_train").seen()
    glyphs = DataConfig(source="glyphs", rotations=False)
    shares = {}
    for name, data in (
        ("characters", load_data(config, "meta_test")),
        ("glyphs", load_data(glyphs, "meta_test")),
    ):
        x = data.as_float(data.x).flatten(1).numpy()
        shares[name] = far(x.mean(axis=1), x.std(axis=1), seen).mean()
    files = json.loads((shared_data / "caltech101" / "caltech101_index.json").read_text())["files"]
    with zipfile.ZipFile(shared_data / "caltech101" / "caltech101_84.zip") as archive:
        frames = [
            np.asarray(Image.open(io.BytesIO(archive.read(file))).convert("RGB"))
            for file in files[::30]
        ]
    x = np.stack([prepare_pixels(frame, data.input) for frame in frames])
    x = x.reshape(len(x), -1)
    shares["photographs"] = far(x.mean(axis=1), x.std(axis=1), seen).mean()
    assert shares["characters"] < 1e-3
    assert shares["glyphs"] < 0.02
    assert shares["photographs"] > 0.8
