"""Folders of persons: patterns of paths, what they read, what is said where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from handful.runtime.errors import InputWarning
from handful.trainer.data import DataConfig, DataError, load_data
from handful.trainer.data.domains import DomainSet, list_doubts, person_of
from handful.trainer.data.layout import Pattern
from handful.trainer.data.splits import PARTS, Part
from handful.trainer.episodes import rows_of

from ...commands.called import run, settings
from ...each import each
from ...runtime.small_sounds import write_tone

PERSONS = ("ann", "bo", "cy", "di", "ed", "flo")
GESTURES = ("fist", "open")
BY_TAKE = "{person}/{class}/{recording}_*.csv"


def readings(path: Path, number: int, count: int = 4) -> None:
    """A recording whose every value is its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{number},{number}\n" * count)


@pytest.fixture
def bands(tmp_path: Path) -> Path:
    """Every person makes two gestures in three takes, each in two files of one example."""
    folder = tmp_path / "bands"
    number = 0
    for person in PERSONS:
        for gesture in GESTURES:
            for take in "abc":
                for piece in (1, 2):
                    readings(folder / person / gesture / f"{take}_{piece}.csv", number)
                    number += 1
    return folder


def config(folder: Path, **changes: Any) -> DataConfig:
    return DataConfig(**{"source": str(folder), "split": "random", "window": 4, **changes})


def loaded(folder: Path, part: Part = "meta_train", **changes: Any) -> DomainSet:
    data = load_data(config(folder, **changes), part)
    assert isinstance(data, DomainSet)
    return data


def refused(folder: Path, **changes: Any) -> tuple[str, str]:
    """The error and its hint."""
    with pytest.raises(DataError) as caught:
        load_data(config(folder, **changes), "meta_train")
    return str(caught.value), caught.value.hint or ""


def test_an_outer_folder_is_a_person_and_a_file_is_a_recording(bands: Path) -> None:
    parts = [loaded(bands, part, domain=("person",)) for part in PARTS]
    assert [len(data.domains) for data in parts] == [4, 1, 1]
    assert {person_of(name) for data in parts for name in data.domains} == set(PERSONS)
    data = parts[0]
    assert data.named == GESTURES
    assert data.counts.tolist() == [24, 24]
    assert data.recordings() == [[6, 6]] * 4
    # a class's files hold that class alone: half of each are on either side
    rows = rows_of(data, data.size(0, 3, 3), episodes=5, seed=0)
    for support, query in zip(rows.support.tolist(), rows.query.tolist(), strict=True):
        assert not set(support) & set(query)
    assert (rows.support >= 0).all()


def test_a_pattern_names_the_recording(bands: Path) -> None:
    data = loaded(bands, files=BY_TAKE)
    assert data.recordings() == [[3, 3]] * 4
    rows = rows_of(data, data.size(0, 2, 2), episodes=8, seed=1)
    for support, query in zip(rows.support, rows.query, strict=True):
        sides = [set(data.recording[side[side >= 0]].tolist()) for side in (support, query)]
        assert not sides[0] & sides[1]
    assert list_doubts({"meta_train": data}) == []


def test_all_windows_of_a_file_are_one_recording(tmp_path: Path) -> None:
    for number, person in enumerate(PERSONS):
        for gesture in GESTURES:
            for take in "ab":
                readings(tmp_path / person / gesture / f"{take}.csv", number, count=12)
    data = loaded(tmp_path, domain=("person",), hop=2)
    assert data.counts.tolist() == [40, 40]
    assert data.recordings() == [[2, 2]] * 4
    assert list_doubts({"meta_train": data}) == []


def test_names_of_files_say_it_as_well_as_folders(bands: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for file in sorted(bands.rglob("*.csv")):
        person, gesture, name = file.relative_to(bands).parts
        readings(flat / f"{person}-{gesture}-{name}", int(file.read_text().split(",")[0]))
    one = loaded(bands, files=BY_TAKE)
    other = loaded(flat, files="{person}-{class}-{recording}_{}.csv")
    assert torch.equal(one.x, other.x)
    assert one.domains == other.domains
    assert one.recordings() == other.recordings()


def test_without_a_person_the_pattern_finds_classes(bands: Path) -> None:
    split = bands.parent / "split.json"
    split.write_text(json.dumps({"train": ["fist"], "val": ["open"], "test": []}))
    data = load_data(config(bands, split=str(split), files="{}/{class}/*"), "meta_train")
    assert not isinstance(data, DomainSet)
    assert (data.classes, data.counts.tolist()) == (("fist",), [36])


def test_a_domain_of_several_names_and_classes_in_an_order(bands: Path) -> None:
    form = "{person}/{class}/{take}_{piece:[0-9]}.csv"
    data = loaded(
        bands, files=form, domain=("person", "piece"), recording="take", classes=("open", "fist")
    )
    assert data.named == ("open", "fist")
    assert [name.split("/")[1] for name in data.domains] == ["1", "2"] * 4
    assert data.recordings() == [[3, 3]] * 8


def test_pictures_and_sounds_lie_in_folders_of_persons_as_well(tmp_path: Path) -> None:
    for number, person in enumerate(PERSONS):
        for gesture in GESTURES:
            for take in "ab":
                picture = tmp_path / "pictures" / person / gesture / f"{take}.png"
                picture.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (4, 4), 10 * number).save(picture)
                write_tone(
                    tmp_path / "sounds" / person / gesture / f"{take}.wav",
                    300,
                    seconds=0.02,
                    rate=16000,
                )
    how: dict[str, Any] = {"split": "random", "domain": ("person",)}
    seen = load_data(DataConfig(source=str(tmp_path / "pictures"), image_size=4, **how), "meta_val")
    assert isinstance(seen, DomainSet)
    assert (seen.x.dtype, seen.counts.tolist(), len(seen.domains)) == (torch.uint8, [2, 2], 1)
    sounds = DataConfig(source=str(tmp_path / "sounds"), rate=16000, seconds=0.1, **how)
    heard = load_data(sounds, "meta_test")
    assert isinstance(heard, DomainSet)
    assert (heard.log_mel is not None, heard.counts.tolist()) == (True, [2, 2])


def test_files_that_do_not_fit_are_passed_over_and_named(bands: Path) -> None:
    readings(bands / "ann" / "rest.csv", 0)
    with pytest.warns(InputWarning, match=r"1 of 73 files of readings in .* ann/rest\.csv"):
        assert loaded(bands, files=BY_TAKE).counts.tolist() == [24, 24]


@each(
    ("changes", "words", "hint"),
    [
        ({"files": "{person}_{class}/*"}, "ann/fist/a_1.csv, which comes nearest, lies 2", "whole"),
        (
            {"files": "{person}/{class}/{recording}-*"},
            'comes nearest, has nothing for "-*"',
            "whole",
        ),
        ({"files": "{person}/{gesture}/*"}, "has no {class}", "{person}/{class}/{recording}_*"),
        ({"files": "{person/{class}"}, "has a { without its }", ""),
        ({"files": "person}/{class}"}, "has a } without its {", ""),
        ({"files": "{a b}/{class}/*"}, "has {a b}, where 'a b' is no name", ""),
        ({"files": "{person}/{class:[}/*"}, "{class:[}, no regular expression", ""),
        ({"files": "{person}/{class:(.)}/*"}, "a group in a part", ""),
        ({"files": "{speaker}/{class}/*"}, "has speaker, of which nothing", 'data.domain = ["sp'),
        ({"files": "{}/{class}/{recording}_*"}, "has recordings and no domain", ""),
        ({"files": "{person}/{class}/*{class:x}"}, "says twice what class is", ""),
        ({"files": BY_TAKE, "domain": ("persons",)}, "data.domain has persons", "mean person?"),
        ({"files": BY_TAKE, "recording": "bout"}, "data.recording has bout", "there are: person"),
        ({"domain": ("person", "day")}, "a_1.csv, which comes nearest, lies 2 folders deep", ""),
        ({"domain": ("person",), "classes": ("fists",)}, "data.classes has fists", "mean fist?"),
        (
            {"files": "{person}/{class}/{recording}*.csv"},
            'ann/fist/a_1.csv fits data.files "{person}/{class}/{recording}*.csv" in two ways:'
            " recording is a or a_1",
            "say of what a part is made",
        ),
    ],
)
def test_what_does_not_fit_is_said(
    changes: dict[str, Any], words: str, hint: str, bands: Path
) -> None:
    said, hinted = refused(bands, **changes)
    assert words in said
    assert hint in hinted


def test_a_folder_of_persons_is_known_where_nothing_is_said_of_them(bands: Path) -> None:
    said, hint = refused(bands)
    assert said.startswith("12 things are wrong in")
    assert hint.endswith(
        'where persons have folders with classes in them: data.domain = ["person"]'
    )


def test_a_class_that_one_person_writes_otherwise_is_guessed(bands: Path) -> None:
    person = loaded(bands, files=BY_TAKE).domains[0]
    (bands / person / "fist").rename(bands / person / "Fist")
    data = loaded(bands, files=BY_TAKE)
    with pytest.raises(DataError, match=r"or more: .* \(no Fist\)|\(no fist\)") as caught:
        data.check(data.size(0, 1, 1), where="meta_train")
    assert (caught.value.hint or "").startswith("are Fist and fist one class? support and query")
    said = list_doubts({"meta_train": data})
    assert "meta_train: no domain has both Fist and fist: are they one class?" in said


def test_a_part_of_one_person_says_so(bands: Path) -> None:
    data = loaded(bands, "meta_val", files=BY_TAKE)
    (doubt,) = list_doubts({"meta_val": data})
    assert doubt.startswith(f"meta_val: all tasks are of one person, {data.domains[0]}: what is")


def test_a_part_that_is_named_twice_is_the_same_text() -> None:
    pattern = Pattern.parse("{person}/{class}/{person}_{}.csv")
    assert pattern.read("ann/fist/ann_1.csv") == {"person": "ann", "class": "fist"}
    assert pattern.read("ann/fist/bo_1.csv") is None


def test_files_are_of_a_folder(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 2)), y=np.zeros(2, np.int64))
    said, hint = refused(tmp_path / "a.npz", files=BY_TAKE)
    assert said.startswith("data.files is set, and")
    assert "name arrays" in hint


def test_a_person_is_in_one_part(bands: Path) -> None:
    split = bands.parent / "split.json"
    parts = {"train": ["ann", "bo"], "val": ["cy", "bo"], "test": ["di"]}
    split.write_text(json.dumps(parts))
    assert refused(bands, files=BY_TAKE, split=str(split))[0].endswith(
        "has person bo in meta_train and in meta_val"
    )
    split.write_text(json.dumps({**parts, "val": ["zoe"]}))
    assert (
        "lists zoe in meta_val, the data have no such person"
        in refused(bands, files=BY_TAKE, split=str(split))[0]
    )


def test_a_run_finds_its_persons_again_and_their_files_the_same(bands: Path) -> None:
    first = loaded(bands, files=BY_TAKE)
    second = loaded(bands, files=BY_TAKE)
    assert first.facts == second.facts
    assert set(first.facts) == set(first.domains)
    readings(bands / first.domains[0] / "fist" / "a_1.csv", 77)
    changed = loaded(bands, files=BY_TAKE).facts
    assert [name for name in first.facts if changed[name] != first.facts[name]] == [
        first.domains[0]
    ]


def test_check_says_who_has_what(bands: Path) -> None:
    for file in (bands / "ann" / "fist").iterdir():
        file.unlink()
    for file in (bands / "bo" / "open").glob("[ab]_*"):
        file.unlink()
    split = bands.parent / "split.json"
    parts = {"train": ["ann", "bo", "cy", "di"], "val": ["ed"], "test": ["flo"]}
    split.write_text(json.dumps(parts))
    given = (
        "data.window=4", f"data.files='{BY_TAKE}'", f"data.split='{split}'"
    )  # fmt: skip
    result = run("check", bands, *settings(*given))
    assert (
        "meta_train: 4 persons, 4 domains, 12 recordings; of a class in a domain 0 to 3 recordings,"
        " 0 to 6 examples\n"
    ) in result.stdout
    assert (
        "note: meta_train: no task is drawn from ann (no fist); bo (one recording of open), as"
        " support and query never share a recording\n"
    ) in result.stdout
    parts = {"train": ["ann", "bo"], "val": ["ed"], "test": ["flo"]}
    split.write_text(json.dumps(parts))
    result = run("check", bands, *settings(*given))
    assert result.exit_code == 1
    assert "none of the 2 domains of meta_train has every class in two recordings or more: ann" in (
        result.stderr
    )
    found = json.loads(run("check", bands, *settings(*given), "--json").stdout)
    assert found["recordings"]["meta_train"] == {
        "ann": {"fist": 0, "open": 3}, "bo": {"fist": 3, "open": 1}
    }  # fmt: skip


def test_the_command_that_check_gives_reads_the_same_persons(tmp_path: Path) -> None:
    for person in PERSONS:
        for gesture in GESTURES:
            for take in "ab":
                readings(tmp_path / person / gesture / f"{take}_1.csv", 1, count=16)
    said = run("check", tmp_path, *settings("data.window=16", f"data.files='{BY_TAKE}'")).stdout
    (line,) = (line for line in said.splitlines() if "handful train bands-personal" in line)
    assert "--set 'data.domain=[\"person\"]' --set data.recording=recording --set" in line
