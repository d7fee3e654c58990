"""`handful data prepare`: which rows it keeps, how it scales them, and what it refuses."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful.trainer.data.prepare import FOLDS, prepare, split_persons
from handful.trainer.listing import COLLECTIONS
from handful.trainer.settings.errors import DataError

from ...commands.called import error, run
from ...each import each


def arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """What the file holds, which is closed again."""
    with np.load(path) as file:
        return dict(file)


@pytest.fixture
def collections(tmp_path: Path) -> Path:
    """Three words by three speakers, of which each part has one of either; two traces; persons."""
    folder = tmp_path / "collections"
    words, strokes = folder / "arabic_speech_commands", folder / "pen_strokes"
    words.mkdir(parents=True)
    strokes.mkdir()
    keyword, speaker = (a.ravel() for a in np.meshgrid([0, 1, 2], [1, 2, 3], indexing="ij"))
    logmel = np.full((9, 49, 40), 90, dtype=np.uint8) + keyword[:, None, None].astype(np.uint8)
    logmel[:, 1:] += 50  # the first frame is another
    spoken: dict[str, Any] = {"keyword": keyword, "speaker": speaker, "take": np.arange(9)}
    np.savez(words / "asc_logmel.npz", logmel=logmel, **spoken)
    index = {
        "keywords": ["yes", "zero", "up"],
        "keyword_split": {"train": ["yes"], "val": ["zero"], "test": ["up"]},
        "speaker_split_official": {"train": [1], "val": [2], "test": [3]},
    }
    (words / "asc_index.json").write_text(json.dumps(index))
    traces = np.zeros((2, 64, 3), dtype=np.float16)
    traces[:, :, 0] = np.tile([10, 20], 32)  # 15 ± 5
    traces[:, :, 1] = 40
    traces[0, :, 2] = 1
    np.savez(strokes / "pen_strokes.npz", x=traces, label=np.array([1, 0]))
    index = {"classes": ["a/1", "b/1"], "class_split": {"meta_train": [0], "meta_val": [1]}}
    index["class_split"]["meta_test"] = []  # type: ignore[index]
    (strokes / "pen_strokes_index.json").write_text(json.dumps(index))
    persons = folder / "personal"
    persons.mkdir()
    one: dict[str, Any] = {"y": np.array([1, 4]), "person": np.array([7, 3])}
    bouts: dict[str, Any] = {"session": np.array([1, 2]), "bout": np.array([0, 5])}
    np.savez(persons / "myo_emg.npz", x=np.full((2, 25, 16), 90, np.uint8), **one, **bouts)
    runs: dict[str, Any] = {"device": np.array([0, 1]), "execution": np.array([8, 9])}
    x = np.full((2, 50, 6), 2000, np.int16)
    np.savez(persons / "phone_watch_har.npz", x=x, **one, **runs)
    return folder


def test_words_keep_the_speakers_of_their_part_and_strokes_are_centred(
    collections: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run("data", "prepare", collections, "--out", out)
    names = list(chain(*COLLECTIONS.values()))
    assert result.stderr == "".join(f"wrote {out / name}.npz\n" for name in names)

    made = arrays(out / "words.npz")
    assert made["label"].tolist() == ["yes", "zero", "up"]
    assert made["x"].shape == (3, 49, 40, 1)
    # 90 / 10 − 14 = −5, and a tenth more for each word
    np.testing.assert_allclose(made["x"][:, 0, 0, 0], [0.0, 0.025, 0.05], atol=1e-6)
    split = json.loads((out / "words.json").read_text())
    assert split == {"meta_train": ["yes"], "meta_val": ["zero"], "meta_test": ["up"]}

    more = arrays(out / "keywords.npz")
    assert more["label"].tolist() == ["yes", "zero", "up", "yes backwards"]
    np.testing.assert_array_equal(more["x"][:3], made["x"])
    np.testing.assert_array_equal(more["x"][3], made["x"][0, ::-1])
    split = json.loads((out / "keywords.json").read_text())
    assert split["meta_train"] == ["yes", "yes backwards"]
    assert (split["meta_val"], split["meta_test"]) == (["zero"], ["up"])

    made = arrays(out / "strokes.npz")
    assert made["label"].tolist() == ["b/1", "a/1"]
    # the root mean square of ±5 in x and 0 in y is 5 / √2
    np.testing.assert_allclose(made["x"][0, :2, 0], [-(2**0.5), 2**0.5], rtol=1e-5)
    np.testing.assert_allclose(made["x"][0, :, 1], 0.0, atol=1e-6)
    assert made["x"][:, 0, 2].tolist() == [1.0, -1.0]
    split = json.loads((out / "strokes.json").read_text())
    assert split == {"meta_train": ["a/1"], "meta_val": ["b/1"], "meta_test": []}

    made = arrays(out / "pen.npz")  # the same as they are
    traces = arrays(collections / "pen_strokes" / "pen_strokes.npz")["x"]
    assert made["label"].tolist() == ["b/1", "a/1"]
    np.testing.assert_array_equal(made["x"], traces)
    assert json.loads((out / "pen.json").read_text()) == split


def test_named_classes_keep_whose_and_when_in_the_units_of_their_source(
    collections: Path, tmp_path: Path
) -> None:
    prepare(collections, tmp_path)
    made = arrays(tmp_path / "commands.npz")
    assert sorted(set(made["label"])) == ["up", "yes", "zero"]  # all words by all speakers
    assert made["speaker"].tolist() == [1, 2, 3] * 3
    assert made["take"].tolist() == list(range(9))

    made = arrays(tmp_path / "myo.npz")
    assert made["label"].tolist() == ["flexion", "ulnar deviation"]
    np.testing.assert_allclose(made["x"], 2.0)
    assert (made["person"].tolist(), made["bout"].tolist()) == ([7, 3], [0, 5])

    made = arrays(tmp_path / "activity.npz")
    assert made["label"].tolist() == ["standing up", "sitting down"]
    np.testing.assert_allclose(made["x"][0, 0], [5.0] * 3 + [2.0] * 3)
    assert made["device"].tolist() == ["phone", "watch"]


@each("name", list(FOLDS))
def test_every_person_tests_in_one_fold_and_is_in_one_part_of_each(name: str) -> None:
    persons = np.repeat(np.arange(3, 26), 2)
    folds = [split_persons(name, persons, fold=fold) for fold in range(FOLDS[name][0])]
    everybody = [str(person) for person in range(3, 26)]
    assert sorted(chain(*(split["meta_test"] for split in folds)), key=int) == everybody
    for split in folds:
        assert sorted(chain(*split.values()), key=int) == everybody
        assert len(split["meta_val"]) == FOLDS[name][1]


def test_what_is_there_is_kept_unless_it_is_forced(collections: Path, tmp_path: Path) -> None:
    (tmp_path / "pen.json").write_text("mine")
    with pytest.raises(DataError, match="json already"):
        prepare(collections, tmp_path)
    assert (tmp_path / "pen.json").read_text() == "mine"
    assert not (tmp_path / "words.npz").exists()
    assert [file.name for file in prepare(collections, tmp_path, force=True)][-1] == "activity.npz"


def test_a_folder_without_either_says_what_is_wanted(tmp_path: Path) -> None:
    assert error(run("data", "prepare", tmp_path, "--out", tmp_path / "out")) == (
        f"error: no arabic_speech_commands, pen_strokes, personal in {tmp_path}\n\n"
        "hint: FOLDER holds the downloaded collections, a folder each\n"
    )


def test_a_collection_itself_is_not_the_folder_that_holds_it(
    collections: Path, tmp_path: Path
) -> None:
    said = error(run("data", "prepare", collections / "personal", "--out", tmp_path / "out"))
    assert said.endswith(f"hint: it is one of them itself; FOLDER holds it: {collections}\n")


def test_the_help_lists_what_is_made_of_each_collection() -> None:
    told = run("data", "prepare", "--help").stdout
    for name, files in COLLECTIONS.items():
        (line,) = (line for line in told.splitlines() if line.split()[:1] == [name])
        assert line.split(maxsplit=1)[1] == ", ".join(f"{made}.npz" for made in files)


def test_an_index_without_its_split_is_refused(collections: Path, tmp_path: Path) -> None:
    (collections / "pen_strokes" / "pen_strokes_index.json").write_text('{"classes": []}')
    with pytest.raises(DataError, match="has no class_split"):
        prepare(collections, tmp_path)
