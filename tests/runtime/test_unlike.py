"""Examples far from what a package was trained on, or with nothing in them: a warning for each."""

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
from handful.runtime.inputs.examples import find_empty
from handful.runtime.inputs.pictures import prepare_pixels
from handful.runtime.package.manifest import InputSpec, Seen
from handful.runtime.package.rules import sound_spec
from handful.runtime.unlike import find_far
from handful.trainer.data import DataConfig, load_data

from .small_sounds import tone

SEEN = {"mean": [0.1, 0.2], "deviation": [0.3, 0.4]}
INK = np.zeros((6, 6, 1), np.float32)
INK[1:5, 2, 0] = 1  # mean 0.11, deviation 0.31
LIGHT = np.full((6, 6, 1), 0.5, np.float32)
LIGHT[::2] = 1  # mean 0.75, deviation 0.25


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
        " deviation 0.25, where it saw 0.1 to 0.2 and 0.3 to 0.4; its answers may mean nothing"
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
    assert find_far(mean, deviation, seen).tolist() == [False, True] * 4


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
    seen = load_data(config, "meta_train").measure_seen()
    glyphs = DataConfig(source="glyphs", rotations=False)
    shares = {}
    for name, data in (
        ("characters", load_data(config, "meta_test")),
        ("glyphs", load_data(glyphs, "meta_test")),
    ):
        x = data.as_float(data.x).flatten(1).numpy()
        shares[name] = find_far(x.mean(axis=1), x.std(axis=1), seen).mean()
    files = json.loads((shared_data / "caltech101" / "caltech101_index.json").read_text())["files"]
    with zipfile.ZipFile(shared_data / "caltech101" / "caltech101_84.zip") as archive:
        frames = [
            np.asarray(Image.open(io.BytesIO(archive.read(file))).convert("RGB"))
            for file in files[::30]
        ]
    x = np.stack([prepare_pixels(frame, data.input) for frame in frames])
    x = x.reshape(len(x), -1)
    shares["photographs"] = find_far(x.mean(axis=1), x.std(axis=1), seen).mean()
    assert shares["characters"] < 1e-3
    assert shares["glyphs"] < 0.02
    assert shares["photographs"] > 0.8


NOTHING = {
    "image": "one colour all over (what is transparent is white paper)",
    "audio": "silence (channels that cancel out are silent together)",
    "array": "readings that never change",
}


def test_an_example_with_nothing_in_it_is_named_at_every_call(head: handful.Learner) -> None:
    blank = np.full((6, 6, 1), 0.3, np.float32)
    for _ in range(2):
        (warning,) = said(lambda: head.adapt({"cup": [INK, blank], "plate": [LIGHT]}))
        assert issubclass(warning.category, handful.InputWarning)
        assert warning.filename == __file__
        assert str(warning.message) == (
            f"example 2 of cup has nothing in it: {NOTHING['image']};"
            " what is learnt from that means nothing"
        )
    task = head.adapt([INK, LIGHT], ["a", "b"])
    for call in (task.predict, task.predict_proba, task.logits):
        (warning,) = said(lambda call=call: call(blank))  # type: ignore[misc]
        assert str(warning.message) == (
            f"the query has nothing in it: {NOTHING['image']}; an answer to that means nothing"
        )
    (warning,) = said(lambda: task.add([blank] * 7, ["b"] * 7))
    assert str(warning.message).startswith(
        "example 1 of b, example 2 of b, example 3 of b, example 4 of b, example 5 of b and 2 more"
        " have nothing in them: "
    )
    (warning,) = said(lambda: task.predict([INK, blank, blank]))
    assert str(warning.message).startswith("query 1 and query 2 have nothing in them: ")


def test_what_has_nothing_in_it_in_every_kind() -> None:
    rng = np.random.default_rng(0)
    sound = sound_spec(8000, 800)
    hiss = rng.normal(0, 2e-5, 800).astype(np.float32)  # of 16 bits the last
    sounds = np.stack([0 * hiss, hiss, 100 * hiss])
    assert find_empty(sounds, sound).tolist() == [True, True, False]
    picture = InputSpec(
        kind="image", shape=(3, 9, 9), layout="CHW", colour="rgb", resize=9,
        interpolation="lanczos", scale=1 / 255,
    )  # fmt: skip
    red = np.zeros((3, 9, 9), np.float32)
    red[0] = 0.8
    noise = (np.rint(rng.normal(100, 1, (3, 9, 9))) / 255).astype(np.float32)
    dot = red.copy()
    dot[1, 4, 4] = 0.5
    assert find_empty(np.stack([red, noise, dot]), picture).tolist() == [True, True, False]
    series = InputSpec(kind="array", shape=(5, 2))
    still = np.tile(np.array([0, 9.81], np.float32), (5, 1))
    moved = still.copy()
    moved[3, 0] = 0.01
    assert find_empty(np.stack([still, moved]), series).tolist() == [True, False]
    assert find_empty(np.ones((2, 3), np.float32), InputSpec(kind="array", shape=(3,))).sum() == 0
    for spec in (sound, picture, series):
        assert find_empty(np.zeros((0, *spec.shape), np.float32), spec).tolist() == []


def test_what_has_nothing_in_it_is_none_of_the_classes() -> None:
    """With thresholds; without them the likeliest class is as sure as ever."""
    task = handful.load("keywords-proto-maml").adapt(
        {"low": tone(200, 1.0, 16000), "high": tone(900, 1.0, 16000)}
    )
    tones = np.stack([tone(200, 1.0, 16000), 0 * tone(900, 1.0, 16000)])
    (warning,) = said(lambda: task.predict(tones))
    assert str(warning.message).startswith("query 1 has nothing in it: silence")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", handful.InputWarning)
        assert task.predict(list(tones), unknown=0.05) == ["low", None]
        assert task.predict(tones[1], unknown=0.05, unknown_label="none") == "none"
