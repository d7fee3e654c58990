"""A folder of recordings: windows by class, and what is wrong with bad files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.trainer.data import DataConfig, DataError, load_data
from handful.trainer.data.record import RecordedPart
from handful.trainer.data.sources.recordings import load_recordings
from handful.trainer.training.config import from_dict
from handful.trainer.training.data import read_data

from ...each import each


@pytest.fixture
def moves(tmp_path: Path) -> Path:
    """Three gestures of int16 and text, of 4, 9, 3 and 8 readings of two channels."""
    folder = tmp_path / "moves"
    for place, count in (("wave/1", 4), ("wave/2", 9), ("tap/1", 3), ("turn/1", 8)):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        array = 10 * np.arange(2 * count, dtype=np.int16).reshape(count, 2)
        if place == "wave/2":
            text = "\n".join(f"{a},{b}" for a, b in array)
            (folder / f"{place}.csv").write_text(f"ax,ay\n{text}\n")
        else:
            np.save(folder / f"{place}.npy", array)
    split = {"train": ["wave"], "val": ["tap"], "test": ["turn"]}
    (folder / "split.json").write_text(json.dumps(split))
    return folder


def config(folder: Path, **changes: Any) -> DataConfig:
    settings = {"split": str(folder / "split.json"), "window": 4, **changes}
    return DataConfig(source=str(folder), **settings)


def test_windows_of_every_file_of_a_class(moves: Path) -> None:
    data = load_data(config(moves), "meta_train")
    assert data.classes == ("wave",)
    assert data.counts.tolist() == [3]
    assert data.x.dtype == torch.float32
    assert (data.input.kind, data.input.shape) == ("array", (4, 2))
    assert data.x[:, 0, 0].tolist() == [0, 0, 80]  # nine readings are two windows of four
    overlapping = load_data(config(moves, hop=1), "meta_train")
    assert overlapping.x[1:, 0, 0].tolist() == [0, 20, 40, 60, 80, 100]
    assert data.facts["wave"].examples == 2  # files
    assert data.facts == overlapping.facts


def test_a_short_recording_ends_in_its_last_reading(moves: Path) -> None:
    assert load_data(config(moves), "meta_val").x[0, :, 1].tolist() == [10, 30, 50, 50]


def test_recordings_without_a_window_are_not_taken_for_pictures(moves: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_data(config(moves, window=None), "meta_train")
    assert str(caught.value) == f"{moves} holds recordings, and data.window is not set"
    assert caught.value.hint == "data.window is how many readings an example has"


def test_all_bad_files_are_named_or_left_out(moves: Path) -> None:
    (moves / "wave" / "3.csv").write_text("1,2\n3")
    np.save(moves / "turn" / "2.npy", np.zeros((5, 3)))
    run = {
        "learner": {"name": "prototypical", "network": {"kind": "mlp"}},
        "data": {"source": str(moves), "split": str(moves / "split.json"), "window": 4},
        "meta": {"way": [2]},
    }
    with pytest.raises(DataError) as caught:
        read_data(from_dict(run, where="a test"), None)
    assert str(caught.value) == (
        "2 of 6 files of readings cannot be read:\n"
        f"  {moves}/wave/3.csv has 1 field in line 2, wanted 2 as in most lines\n"
        f"  {moves}/turn/2.npy holds the shape [5, 3], wanted [4, 2], readings [n, 2] or a batch of"
        " them"
    )
    data = load_recordings(config(moves), "meta_train", skip_bad=True)
    assert data.left_out == ("wave/3.csv",)
    part = RecordedPart("meta_train", data.facts, data.left_out)
    again = load_data(config(moves), "meta_train", recorded=part)
    assert torch.equal(again.x, data.x)


def test_a_class_without_a_readable_file(moves: Path) -> None:
    (moves / "tap" / "1.npy").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load_recordings(config(moves), "meta_val", skip_bad=True)
    assert str(caught.value) == f"class tap in {moves} has no examples that can be read"
    for file in moves.glob("*/*"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match="none of 4 files of readings can be read"):
        load_recordings(config(moves), "meta_train")


@each("name", ["window", "hop"])
def test_windows_out_of_bounds(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        config(tmp_path, **{name: 0})
    assert str(caught.value) == f"data.{name} is 0, wanted 1 to 1048576 readings"


PATH = {"whole": "path", "channels": ("x: to the right", "y", "p"), "places": ("x", "y")}


def test_settings_say_what_a_reading_is(moves: Path) -> None:
    plain = load_data(config(moves), "meta_train").input
    assert (plain.whole, plain.rate) == (None, None)
    for file in moves.glob("*/*.npy"):
        file.unlink()
    for name in ("wave", "tap", "turn"):
        text = "\n".join(f"{i},{1 - i % 2},{i * i},9" for i in range(7))
        (moves / name / "2.csv").write_text(f"y,p,x,more\n{text}\n")
    settings: dict[str, Any] = {**PATH, "states": ("p",)}
    data = load_data(config(moves, **settings), "meta_train")
    spec = data.input
    assert (spec.whole, spec.shape, spec.rate) == ("path", (4, 3), None)
    assert [(c.name, c.kind, c.text) for c in spec.channels or ()] == [
        ("x", "place", "to the right"),
        ("y", "place", ""),
        ("p", "state", ""),
    ]
    assert data.counts.tolist() == [1]  # a whole recording, its columns found by their names
    x, y, p = data.x[0].T
    assert (x[0], x[-1], y[-1]) == (0, 36, 6)
    assert set(p.tolist()) <= {0, 1}
    by_rate = load_data(config(moves, channels=("x", "y"), hertz=50.0), "meta_train").input
    assert (by_rate.whole, by_rate.rate, by_rate.shape) == (None, 50, (4, 2))
    found = load_data(config(moves), "meta_train").input.channels
    assert [channel.name for channel in found or ()] == ["y", "p", "x", "more"]


@each(
    ("changes", "words"),
    [
        ({"places": ("x",)}, "data.places has 'x', which is not in data.channels"),
        ({"channels": ("a",), "states": ("b",)}, "data.states has 'b', which is not in"),
        ({**PATH, "states": ("y",)}, "data.places and data.states both have 'y'"),
        ({"whole": "path", "channels": ("a", "b")}, 'data.whole is "path", and data.places is'),
        ({"whole": "time", "hertz": 50.0}, "data.whole is set, and so is data.hertz or data.hop"),
        ({"whole": "time", "hop": 2}, "data.whole is set, and so is data.hertz or data.hop"),
        ({"whole": "time", "window": 1}, "… cannot have these settings: `input.whole` is given"),
        ({"channels": ("a", "A")}, "… cannot have these settings: `input.channels` has two of one"),
        ({"hertz": 1e9}, "… cannot have these settings: `input.rate` is 1000000000.0, wanted"),
    ],
)
def test_settings_of_series_that_do_not_fit(
    changes: dict[str, Any], words: str, moves: Path
) -> None:
    with pytest.raises(DataError) as caught:
        load_data(config(moves, **changes), "meta_train")
    assert str(caught.value).replace(str(moves), "…").startswith(words)
