"""From readings to answers: integers, files, folders, recordings longer than an example."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import (
    EmptyWarning,
    InputError,
    InputNote,
    InputWarning,
    ManifestError,
    PackageError,
    SupportSetError,
)
from handful.runtime.inputs import series
from handful.runtime.inputs.examples import read_folder
from handful.runtime.inputs.series import read_examples
from handful.runtime.package.manifest import Channel, InputSpec
from handful.runtime.tools.golden import draw_series
from handful.runtime.tools.on_files import adapt_folder, predict_files
from handful.runtime.tools.verify import verify

from ..each import each
from . import edit as editing
from .refusal import refusal, refusal_in, refused
from .small_series import SHAPE, rising, still, write_csv, write_npy

# examples of one level tell here what was done to them: a warning of each is no news
pytestmark = pytest.mark.filterwarnings("ignore::handful.runtime.errors.EmptyWarning")
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
    still_ones: list[Any] = [moves / "still" / "1.npy", str(moves / "still" / "2.csv")]
    with pytest.warns(InputWarning, match=r"2\.csv, 9 readings, cut into 3 windows of 4$"):
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
    with pytest.warns(InputWarning, match="cut into 7 windows"):
        assert task.predict(long) == task.predict(handful.windows(np.load(long), 4))
    assert task.predict([one, query, still()]) == ["rising", "rising", "still"]
    more = task.add({"falling": [write_csv(tmp_path / "falling.csv", -rising())]})
    assert more.classes == ("still", "rising", "falling")


@pytest.mark.filterwarnings("ignore:.*cut into:handful.InputWarning")
def test_a_label_for_each_example_and_not_for_each_window(
    learner: handful.Learner, moves: Path
) -> None:
    files = [moves / "still" / "1.npy", moves / "still" / "2.csv"]
    words, hint = refusal(lambda: learner.adapt(files, ["still", "rising"]), SupportSetError)
    assert (words, hint) == ("4 examples and 2 labels", "as many labels as examples")


@pytest.mark.filterwarnings("ignore:.*cut into:handful.InputWarning")
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
    with pytest.warns(InputWarning) as said:
        task = adapt_folder(packages("series"), moves, out)
    told = [(type(w.message), str(w.message)) for w in said]
    assert [one for one in told if one[0] is not EmptyWarning] == [
        (InputNote, f"{moves}/rising/1.csv, 3 readings, filled up to 4 with the last one"),
        (InputWarning, f"{moves}/still/2.csv, 9 readings, cut into 3 windows of 4"),
    ]
    assert task.counts == {"rising": 1, "still": 4}
    new = write_csv(tmp_path / "new.csv", rising())
    long = write_csv(tmp_path / "long.csv", np.concatenate([still(), rising(), still()]))
    with pytest.warns(InputWarning, match="12 readings, cut into 5 windows of 4"):
        answers = predict_files(out, [new, long], package=packages("series"))
    windows = handful.windows(np.concatenate([still(), rising(), still()]), 4)
    assert [(answer.file, answer.label) for answer in answers] == [
        (str(new), "rising"),
        *((f"{long}[{i}]", label) for i, label in enumerate(task.predict(list(windows)))),
    ]
    assert [answer.label for answer in answers[1:]][::2] == ["still", "rising", "still"]


def by_the_page(
    x: list[list[float]], spec: InputSpec, times: list[float] | None = None
) -> list[list[float]]:
    """A whole recording as docs/package-format.md has it, number by number."""
    s = [0.0]
    channels = spec.channels or ()
    for k in range(1, len(x)):
        way = 0.0
        for c, channel in enumerate(channels):
            if channel.kind == "place":
                way += (x[k][c] - x[k - 1][c]) * (x[k][c] - x[k - 1][c])
        if spec.whole == "path":
            s.append(s[-1] + math.sqrt(way))
        else:
            s.append(times[k] - times[0] if times else float(k))
    if s[-1] == 0:
        s = [float(k) for k in range(len(x))]
    last, found = spec.shape[0] - 1, []
    for m in range(last + 1):
        u = s[-1] if m == last else s[-1] * m / last
        j = next(j for j in range(len(x)) if s[j] >= u)
        here = s[j] == u
        share = 0.0 if here else (u - s[j - 1]) / (s[j] - s[j - 1])
        row = []
        for c in range(spec.shape[1]):
            state = bool(channels) and channels[c].kind == "state"
            held = here or state
            row.append(x[j][c] if held else x[j - 1][c] + share * (x[j][c] - x[j - 1][c]))
        found.append(row)
    return found


def trace(whole: Any, length: int = 7) -> InputSpec:
    kinds: list[tuple[str, Any]] = [("x", "place"), ("f", "value"), ("y", "place"), ("p", "state")]
    channels = tuple(Channel(name=name, kind=kind, text="") for name, kind in kinds)
    return InputSpec(kind="array", shape=(length, 4), whole=whole, channels=channels)


@each("whole", ["time", "path"])
@each("count", [1, 2, 5, 7, 20, 300])
def test_a_whole_recording_is_what_the_format_page_makes_of_it(whole: Any, count: int) -> None:
    rng, spec = np.random.default_rng(count), trace(whole)
    for x in (
        rng.normal(size=(count, 4)),
        rng.integers(0, 2, (count, 4)).astype(float),  # with readings at one place
        np.ones((count, 4)),
    ):
        wanted = np.array(by_the_page(x.tolist(), spec), np.float32)
        np.testing.assert_array_equal(series.take_whole(x, spec), wanted)
    times = np.cumsum(rng.integers(0, 3, count) * 0.1)  # no sum of these is exact
    times -= times[0]
    wanted = np.array(by_the_page(x.tolist(), spec, times.tolist()), np.float32)
    np.testing.assert_array_equal(series.take_whole(x, spec, times), wanted)


def test_a_whole_recording_by_hand() -> None:
    spec = trace("path", length=5)
    corner = [[0, 0, 0, 1], [3, 6, 0, 1], [3, 6, 1, 0]]  # three to the right, one up, the pen up
    assert series.take_whole(corner, spec).tolist() == [
        [0, 0, 0, 1],
        [1, 2, 0, 1],
        [2, 4, 0, 1],
        [3, 6, 0, 1],  # the reading itself
        [3, 6, 1, 0],
    ]
    timed = series.take_whole(corner, trace("time", length=5), np.array([0.0, 1.0, 4.0]))
    np.testing.assert_allclose(timed[:, 2], [0, 0, 1 / 3, 2 / 3, 1], rtol=1e-6)
    assert timed[:, 3].tolist() == [1, 1, 0, 0, 0]  # up all the way
    scaled = InputSpec(kind="array", shape=(3, 1), whole="time", scale=0.5, offset=1.0)
    assert series.take_whole(np.array([[0], [3]]), scaled).tolist() == [[1], [1.75], [2.5]]
    assert series.take_whole(np.array([[0.0], [3]]), scaled).tolist() == [[0], [1.5], [3]]
    far = [[0, 0, 0, 0], [1e200, 0, 0, 0]]
    words, _ = refusal(lambda: series.take_whole(far, spec), InputError)
    assert words == "it has readings that are too far apart to measure the way"


def test_one_file_is_one_example_where_the_package_says_so(
    packages: Any, moves: Path, tmp_path: Path, edit: Any
) -> None:
    folder = packages.copy("series", tmp_path)
    channels = [{"name": name, "kind": "value", "text": ""} for name in ("ax", "ay")]
    edit(folder, lambda content: content["input"].update(whole="time", channels=channels))
    with pytest.warns(InputWarning) as said:
        task = adapt_folder(folder, moves, tmp_path / "task.npz")
    assert [str(w.message) for w in said if isinstance(w.message, InputNote)] == [
        f"{moves}/rising/1.csv, 3 readings, read as 4 along their time; and so for 1 more file"
    ]
    assert task.counts == {"rising": 1, "still": 2}
    long = rising(9) // 2
    file = write_csv(tmp_path / "long.csv", long)
    turned = write_csv(tmp_path / "turned.csv", long[:, ::-1], "ay,ax")
    assert task.predict(file) == task.predict(long) == "rising"  # of an array as of a file, unsaid
    exact = series.take_whole(long, task.learner.input)
    several: tuple[Any, ...] = (file, turned, long, [long], [file, exact])
    for given in several:
        logits = task.logits(given)
        np.testing.assert_array_equal(logits.reshape(-1, 2)[0], task.logits(exact))
    learner = handful.load(folder)
    assert learner.adapt([file, still(3)], ["a", "b"]).counts == {"a": 1, "b": 1}
    with pytest.warns(InputWarning, match="9 readings, cut into 3 windows of 4"):
        cut = predict_files(tmp_path / "task.npz", [file], package=folder, windows=True)
    assert [answer.file for answer in cut] == [f"{file}[{i}]" for i in range(3)]
    words, hint = refusal(lambda: task.predict(np.zeros((9, 3))), InputError)
    assert words == "query has shape [9, 3], wanted [4, 2] or a batch of them"
    assert hint == "one example a call, or a list or a batch of them, all of this shape"


@each(
    ("header", "step", "said"),
    [
        ("time_ms", 20.0, []),  # at the package's rate already
        ("time_ms", 10.0, []),
        ("t", 0.01, ["has times without a unit, taken as seconds"]),
        ("t", 10.0, ["has times without a unit, taken as milliseconds"]),
    ],
)
def test_times_give_the_rate(header: str, step: float, said: list[str], tmp_path: Path) -> None:
    spec = InputSpec(kind="array", shape=(4, 2), rate=50)
    lines = [f"{step * i},{i},{i * i}" for i in range(8)]
    (tmp_path / "x.csv").write_text("\n".join([f"{header},a,b", *lines]))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        examples = read_examples(tmp_path / "x.csv", spec, hop=2)
    assert [str(w.message).removeprefix(f"{tmp_path}/x.csv ") for w in found] == said
    every = 1 if step == 20 else 2
    wanted = [[i, i * i] for i in range(0, 8, every)]
    np.testing.assert_allclose(examples[0], wanted[:4], rtol=1e-6)
    (tmp_path / "x.csv").write_text(f"{header},a,b\n0,1,2\n1e18,1,2\n1e18,1,2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        words, _ = refusal(lambda: read_examples(tmp_path / "x.csv", spec), InputError)
    assert "too long at 50 readings a second" in words


def named(*names: str, kind: str = "value", text: str = "") -> list[dict[str, str]]:
    return [{"name": name, "kind": kind, "text": text} for name in names]


@each(
    ("changes", "words"),
    [
        ({"channels": named("a", "b")}, None),
        ({"channels": named("é", "β" * 100, text="up, in pixels"), "rate": 0.001}, None),
        ({"whole": "time"}, None),
        ({"whole": "path", "channels": named("x", kind="place") + named("p", kind="state")}, None),
        ({"channels": named("درجة\u200cحرارة", "a\u00a0b")}, None),  # of any language
        ({"rate": 52.1}, None),
        ({"rate": 1e6}, None),
        ({"rate": 0}, "`input.rate` is 0, wanted 0.001 to 1e+06 hertz"),
        ({"rate": 1e7}, "`input.rate` is 10000000.0, wanted 0.001 to 1e+06 hertz"),
        ({"rate": 50, "whole": "time"}, "`input.rate` is 50, wanted null beside `whole`"),
        ({"whole": "path"}, "`input.whole` is 'path', wanted a channel of kind `place` for it"),
        (
            {"channels": named("a")},
            "`input.channels` has 1 entries, wanted 2 as in the shape",
        ),
        ({"channels": named("a", "A")}, "`input.channels` has two of one name"),
        *(
            (
                {"channels": named("a", name)},
                f"`input.channels[1].name` is {name[:60] + '…' if len(name) > 99 else name!r},"
                " wanted 1 to 100 characters that can be printed, without blanks around them, and"
                " no number",
            )
            for name in ("", " b", "1", "nan", "-Inf", "1e3", "\u202e")
        ),
    ],
)
def test_what_a_manifest_says_of_series(
    changes: dict[str, Any], words: str | None, packages: Any, tmp_path: Path, edit: Any
) -> None:
    folder = packages.copy("series", tmp_path)
    edit(folder, lambda content: content["input"].update(changes))
    if words is None:
        spec = handful.load(folder).input
        assert (spec.whole, spec.rate) == (changes.get("whole"), changes.get("rate"))
        assert len(spec.channels or ()) == len(changes.get("channels", ()))
    else:
        hint = "A and a count as one" if "two of one" in words else None
        refused(folder, ManifestError, words, hint)


@each("name", ["whole", "channels", "rate"])
def test_what_is_no_series_has_none_of_it(
    name: str, packages: Any, tmp_path: Path, edit: Any
) -> None:
    folder = packages.copy("line", tmp_path)
    value = {"whole": "time", "channels": named("a"), "rate": 50}[name]
    edit(folder, lambda content: content["input"].update({name: value}))
    with pytest.raises(ManifestError, match=f"^`input.{name}` is given, wanted null: the input is"):
        handful.load(folder)


@each(
    "changes",
    [
        {"whole": "time"},
        {"whole": "path", "channels": named("x", kind="place") + named("p", kind="state")},
        {"rate": 50},
    ],
)
def test_golden_series_are_replayed(
    changes: dict[str, Any], packages: Any, tmp_path: Path, edit: Any
) -> None:
    folder = packages.copy("series", tmp_path)
    edit(folder, lambda content: content["input"].update(changes))
    spec = handful.load(folder).input
    golden = draw_series(spec)
    editing.golden(folder, **golden)
    assert set(verify(folder).series.values()) == {0.0}
    for i in range(2):
        x, made = golden[f"series/{i}"], golden[f"series/{i}/x"]
        times = golden.get(f"series/{i}/times")
        assert (len(x) > spec.shape[0]) == (i == 0)
        assert (times is None) == (not spec.rate and (spec.whole == "path" or i == 0))
        if spec.whole:
            seconds = None if times is None else (times / 1e6).tolist()
            wanted = np.array(by_the_page(x.astype(float).tolist(), spec, seconds), np.float32)
            np.testing.assert_array_equal(made, wanted[None])
    editing.golden(folder, **{"series/1/x": golden["series/1/x"] + np.float32(0.01)})
    report = verify(folder)
    assert [name for name, value in report.series.items() if value > 1e-6] == ["series/1/x"]
    assert not report.ok
    bad: list[tuple[dict[str, Any], str]] = [
        ({"series/0": None}, "conformance.npz has no `series/0`"),
        ({"series/0": np.ones((3, 2), int)}, "`series/0` in conformance.npz is int64 [3, 2],"),
        ({"series/2": np.zeros(3, np.float32)}, "conformance.npz has an unknown `series/2`"),
        ({"series/1/times": np.array([3])}, "`series/1/times` in conformance.npz is int64 [1],"),
    ]
    if spec.rate:
        bad.append(({"series/1/times": golden["series/1/times"] * 0}, "`series/1/times` in"))
    editing.golden(folder, **golden)
    right = (folder / "conformance.npz").read_bytes()
    for spoilt, words in bad:
        editing.golden(folder, **spoilt)
        with pytest.raises(PackageError) as error:
            verify(folder)
        assert str(error.value).startswith(words), spoilt
        (folder / "conformance.npz").write_bytes(right)


@pytest.mark.filterwarnings("ignore:.*cut into:handful.InputWarning")
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
        "  …/moves/still/3.csv has 1 field in line 2, wanted 2 as in most lines"
    )
    assert hint == "mend them, or leave them out"
    assert not (tmp_path / "task.npz").exists()
