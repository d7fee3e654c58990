"""From readings to answers: integers, files, folders, recordings longer than an example."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import InputError, SupportSetError
from handful.runtime.inputs.examples import read_folder
from handful.runtime.inputs.series import read_examples
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.on_files import adapt_folder, predict_files

from ..each import each
from .refusal import refusal, refusal_in
from .small_series import SHAPE, rising, still, write_csv, write_npy

SPEC = InputSpec(kind="array", shape=SHAPE)
LINE = "a line of a .csv file is a reading, and has a number for each channel"


@pytest.fixture
def learner(packages: Any) -> handful.Learner:
    return handful.load(packages("series"))


@pytest.fixture
def moves(tmp_path: Path) -> Path:
    """Two gestures, as a sensor's program might write them, shorter and longer than an example."""
    folder = tmp_path / "moves"
    write_npy(folder / "still" / "1.npy", still(5))
    write_csv(folder / "still" / "2.csv", still(-5, count=9))
    write_csv(folder / "rising" / "1.csv", rising(3))
    return folder


@each("dtype", ["int8", "int16", "int64", "uint16", "float64"])
def test_integers_are_the_numbers_they_are(learner: handful.Learner, dtype: str) -> None:
    low, high = (np.full(SHAPE, level).astype(dtype) for level in (3, 90))
    task = learner.adapt({"low": [low], "high": [high]})
    assert task.predict(np.full(SHAPE, 80, dtype)) == "high"
    exact = learner.adapt({"low": [low.astype(np.float32)], "high": [high.astype(np.float32)]})
    query = np.full((2, *SHAPE), 40)
    np.testing.assert_array_equal(task.logits(query.astype(dtype)), exact.logits(query * 1.0))


def test_integers_are_scaled_as_uint8_is(packages: Any, tmp_path: Path, edit: Any) -> None:
    folder = packages.copy("series", tmp_path)
    edit(folder, lambda content: content["input"].update(scale=0.5, offset=3.0, range=[0, 10]))
    (folder / "conformance.npz").unlink()
    learner = handful.load(folder)
    two, ten = (np.full(SHAPE, value) for value in (2, 10))
    task = learner.adapt({"a": [two], "b": [ten]})
    as_floats = learner.adapt({"a": [two * 0.5 + 3], "b": [ten * 0.5 + 3]})
    np.testing.assert_array_equal(task.logits(two), as_floats.logits(two * 0.5 + 3))
    words, _ = refusal(lambda: task.predict(np.full(SHAPE, 15)), InputError)
    assert words == "query has values from 10.5 to 10.5, wanted 0 to 10"


@each("dtype", [bool, complex, object, "U1", "datetime64[s]"])
def test_what_are_no_numbers_is_refused(learner: handful.Learner, dtype: Any) -> None:
    task = learner.adapt({"a": [still()], "b": [rising()]})
    query = np.ones(SHAPE, int).astype(dtype)
    words, hint = refusal(lambda: task.predict(query), InputError)
    assert words == f"query has dtype {query.dtype}, wanted integers or floats"
    assert hint == "convert with .astype(np.float32)"


def test_a_recording_that_is_no_example_names_what_cuts_it(learner: handful.Learner) -> None:
    task = learner.adapt({"a": [still()], "b": [rising()]})
    words, hint = refusal(lambda: task.predict(rising(9)), InputError)
    assert words == "query has shape [9, 2], wanted [4, 2] or a batch of them"
    assert hint == "a recording is cut by handful.windows(x, 4)"
    assert task.predict(list(handful.windows(rising(9), 4))) == ["b", "b", "b"]


def test_files_stand_for_what_is_in_them(
    learner: handful.Learner, moves: Path, tmp_path: Path
) -> None:
    still_ones: list[handful.Example] = [moves / "still" / "1.npy", str(moves / "still" / "2.csv")]
    task = learner.adapt({"still": still_ones, "rising": moves / "rising" / "1.csv"})
    assert task.counts == {"still": 4, "rising": 1}  # nine readings are three windows of four
    by_hand = learner.adapt(
        {
            "still": np.concatenate([still(5)[None], handful.windows(still(-5, count=9), 4)]),
            "rising": np.array([[[0, 0], [100, 100], [200, 200], [200, 200]]]),
        }
    )
    query = rising() + 3
    np.testing.assert_array_equal(task.logits(query), by_hand.logits(query))
    one = write_csv(tmp_path / "new.csv", query)
    assert task.predict(one) == task.predict(str(one)) == task.predict(query) == "rising"
    long = write_npy(tmp_path / "long.npy", np.concatenate([still(), still(), rising(), rising()]))
    assert task.predict(long) == task.predict(handful.windows(np.load(long), 4))
    assert task.predict([one, query, still()]) == ["rising", "rising", "still"]
    more = task.add({"falling": [write_csv(tmp_path / "falling.csv", -rising())]})
    assert more.classes == ("still", "rising", "falling")


def test_a_label_for_each_example_and_not_for_each_window(
    learner: handful.Learner, moves: Path
) -> None:
    files = [moves / "still" / "1.npy", moves / "still" / "2.csv"]
    words, hint = refusal(lambda: learner.adapt(files, ["still", "rising"]), SupportSetError)
    assert (words, hint) == ("4 examples and 2 labels", "as many labels as examples")


def test_what_shapes_a_file_may_have(tmp_path: Path) -> None:
    def shape(array: Any, spec: InputSpec = SPEC) -> tuple[int, ...]:
        return read_examples(write_npy(tmp_path / "x.npy", array), spec).shape

    assert shape(np.zeros((4, 2))) == (1, 4, 2)
    assert shape(np.zeros((3, 4, 2))) == (3, 4, 2)
    assert shape(np.zeros((10, 2))) == (4, 4, 2)
    assert shape(np.zeros((1, 2))) == (1, 4, 2)
    vector, one = InputSpec(kind="array", shape=(3,)), InputSpec(kind="array", shape=(5, 1))
    assert shape(np.zeros(3), vector) == (1, 3)
    assert shape(np.zeros((7, 3)), vector) == (7, 3)
    assert shape(np.zeros(10), one) == (3, 5, 1)  # one channel may have no axis of its own
    assert shape(np.zeros(4), InputSpec(kind="array", shape=(1,))) == (4, 1)
    every = read_examples(write_npy(tmp_path / "x.npy", np.zeros((6, 2))), SPEC, hop=1)
    assert every.shape == (3, 4, 2)


@pytest.mark.parametrize(
    ("found", "spec", "wanted"),
    [
        ((4, 3), SPEC, "[4, 2], readings [n, 2] or a batch of them"),
        ((3, 5, 2), SPEC, "[4, 2], readings [n, 2] or a batch of them"),
        ((4, 2), InputSpec(kind="array", shape=(3,)), "[3] or a batch of them"),
    ],
)
def test_other_shapes_are_refused(
    found: tuple[int, ...], spec: InputSpec, wanted: str, tmp_path: Path
) -> None:
    file = write_npy(tmp_path / "x.npy", np.zeros(found))
    words, hint = refusal_in(tmp_path, lambda: read_examples(file, spec), InputError)
    assert words == f"…/x.npy holds the shape {list(found)}, wanted {wanted}"
    assert hint == LINE


def test_from_a_folder_to_answers(packages: Any, moves: Path, tmp_path: Path) -> None:
    out = tmp_path / "task.npz"
    task = adapt_folder(packages("series"), moves, out)
    assert task.counts == {"rising": 1, "still": 4}
    new = write_csv(tmp_path / "new.csv", rising())
    long = write_csv(tmp_path / "long.csv", np.concatenate([still(), rising(), still()]))
    answers = predict_files(out, [new, long], package=packages("series"))
    assert [(answer.file, answer.label) for answer in answers] == [
        (str(new), "rising"),
        *((f"{long}[{i}]", label) for i, label in enumerate(task.predict([long]))),
    ]
    assert [answer.label for answer in answers[1:]][::2] == ["still", "rising", "still"]


def test_more_examples_than_are_taken(moves: Path, tmp_path: Path) -> None:
    assert sum(map(len, read_folder(moves, SPEC, most=5).values())) == 5
    words, hint = refusal_in(tmp_path, lambda: read_folder(moves, SPEC, most=4), SupportSetError)
    assert words == (
        "the files in …/moves hold more than 4 examples, which is the most that is taken"
    )
    assert hint == "leave some of them out: a recording gives one for each half a window"
    words, hint = refusal_in(tmp_path, lambda: read_folder(moves, SPEC, most=2), SupportSetError)
    assert (words, hint) == (
        "3 files of readings in …/moves, at most 2 are taken",
        "leave some of them out",
    )


def test_all_files_that_cannot_be_read_are_named(
    packages: Any, moves: Path, tmp_path: Path
) -> None:
    (moves / "still" / "3.csv").write_text("1,2\n3")
    (moves / "rising" / "2.png").write_bytes(b"")
    call = lambda: adapt_folder(packages("series"), moves, tmp_path / "task.npz")  # noqa: E731
    words, hint = refusal_in(tmp_path, call, InputError)
    assert words == (
        "2 of 5 files of readings cannot be read:\n"
        "  …/moves/rising/2.png is not named as a file of readings\n"
        "  …/moves/still/3.csv has 1 numbers in line 2, 2 in line 1"
    )
    assert hint == "mend them, or leave them out"
    assert not (tmp_path / "task.npz").exists()
