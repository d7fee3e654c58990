"""What a run writes down of its data: taken again later, and refused by name where it changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful.trainer.data import DataConfig, DataError, LabelledSet, load_data
from handful.trainer.data.labelled import ClassFacts
from handful.trainer.data.record import (
    DataRecord,
    from_json,
    list_classes,
    locate,
    parse_classes,
    places_of,
    to_json,
)
from handful.trainer.data.splits import MOVED, PARTS, Part

from ...each import each
from .drawings import zips
from .test_folder import flat

PLAIN: dict[str, Any] = {"split": "random", "rotations": False}


def folder(where: Path, classes: int = 10) -> DataConfig:
    """Classes c0 … of two plain pictures each."""
    for c in range(classes):
        for k in range(2):
            flat(where / "pics" / f"c{c}" / f"{k}.png", 20 * c + k)
    return DataConfig(source=str(where / "pics"), image_size=4, **PLAIN)


def archive(where: Path, classes: int = 10) -> DataConfig:
    rng = np.random.default_rng(0)
    file = where / "points.npz"
    np.savez(file, x=rng.normal(size=(2 * classes, 3)), y=np.repeat(np.arange(classes), 2))
    return DataConfig(source=str(file), **PLAIN)


def drawn(where: Path) -> DataConfig:
    return DataConfig(source="omniglot", path=zips(where), split="lake", image_size=28)


def recorded(config: DataConfig) -> DataRecord:
    parts: dict[Part, dict[str, ClassFacts]] = {
        part: dict(load_data(config, part).facts) for part in PARTS
    }
    return DataRecord(places=places_of(config), parts=parts)


def again(config: DataConfig, record: DataRecord) -> dict[str, LabelledSet]:
    return {part: load_data(config, part, recorded=record.part(part)) for part in PARTS}


@each("source", [folder, archive, drawn])
def test_every_source_gives_its_recorded_classes_again(
    source: Callable[[Path], DataConfig], tmp_path: Path
) -> None:
    config = source(tmp_path)
    record = from_json(json.loads(json.dumps(to_json(recorded(config)))), "data.json")
    assert record == recorded(config)
    for part, data in again(config, record).items():
        first = load_data(config, part)  # type: ignore[arg-type]
        assert data.classes == first.classes
        assert data.x.equal(first.x)


def test_glyphs_are_recorded_before_they_are_turned() -> None:
    config = DataConfig(source="glyphs")
    data = load_data(config, "meta_val")
    assert (len(data.facts), len(data.classes)) == (200, 800)
    some = DataRecord(parts={"meta_val": dict(data.facts)}).part("meta_val").only(["glyph-2007"])
    assert load_data(config, "meta_val", recorded=some).classes == tuple(
        f"glyph-2007@{angle}" for angle in (0, 90, 180, 270)
    )


@each("source", [folder, archive])
def test_a_new_class_moves_no_other_into_another_part(
    source: Callable[..., DataConfig], tmp_path: Path
) -> None:
    config = source(tmp_path)
    record = recorded(config)
    before = {part: set(classes) for part, classes in record.parts.items()}
    source(tmp_path, classes=11)
    today = {part: set(load_data(config, part).classes) for part in PARTS}
    assert today != before  # a draw from today's folder is another split: what is guarded against
    if source is folder:
        assert {part: set(data.classes) for part, data in again(config, record).items()} == before


def refusal(config: DataConfig, record: DataRecord) -> str:
    with pytest.raises(DataError) as caught:
        again(config, record)
    assert caught.value.hint == MOVED
    return str(caught.value)


def test_what_has_changed_is_refused_by_name(tmp_path: Path) -> None:
    config = folder(tmp_path)
    record = recorded(config)
    first, second = list(record.parts["meta_train"])[:2]
    flat(tmp_path / "pics" / first / "0.png", 200)
    assert refusal(config, record) == (
        f"the data of meta_train are not those that were recorded: {first} has other examples"
    )
    flat(tmp_path / "pics" / second / "new.png", 200)
    assert refusal(config, record) == (
        f"the data of meta_train are not those that were recorded: {first} has other examples,"
        f" {second} has 3 examples, had 2"
    )
    shutil.rmtree(tmp_path / "pics" / first)
    assert refusal(config, record) == (
        f"the data lack classes of meta_train that were recorded: {first}"
    )


def test_a_renamed_file_or_a_moved_number_is_another_example(tmp_path: Path) -> None:
    config = folder(tmp_path)
    record = recorded(config)
    first = next(iter(record.parts["meta_test"]))
    (tmp_path / "pics" / first / "0.png").rename(tmp_path / "pics" / first / "z.png")
    assert refusal(config, record).endswith(f"{first} has other examples")
    config = archive(tmp_path)
    record = recorded(config)
    with np.load(config.source) as file:
        x, y = file["x"], file["y"]
    x[0, 0] += 1e-3
    np.savez(config.source, x=x, y=y)
    assert refusal(config, record).endswith("0 has other examples")


def test_many_changes_are_shortened(tmp_path: Path) -> None:
    config = folder(tmp_path, classes=20)
    record = recorded(config)
    for c in range(20):
        flat(tmp_path / "pics" / f"c{c}" / "0.png", 255)
    assert refusal(config, record).endswith("has other examples and 5 more")


def test_some_recorded_classes_are_read_without_the_others(tmp_path: Path) -> None:
    config = folder(tmp_path, classes=20)
    part = recorded(config).part("meta_test")
    kept, *gone = part.classes
    for name in gone:
        shutil.rmtree(tmp_path / "pics" / name)
    data = load_data(config, "meta_test", recorded=part.only([kept]))
    assert data.classes == (kept,)


def test_places_hold_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path)
    (tmp_path / "split.json").write_text("{}")
    config = DataConfig(source="pics", split="split.json", rotations=False)
    places = places_of(config)
    assert places == {"source": str(tmp_path / "pics"), "split": str(tmp_path / "split.json")}
    record = DataRecord(places=places, parts={})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = locate(config, record)
    assert (settings.source, settings.split) == (places["source"], places["split"])


def test_moved_data_are_named_or_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(archive(tmp_path), split=str(tmp_path / "split.json"))
    (tmp_path / "split.json").write_text("{}")
    record = DataRecord(places=places_of(config), parts={})
    shutil.copytree(tmp_path, tmp_path.with_name("there"))
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(DataError) as caught:
        locate(config, record)
    assert str(caught.value) == f"the data are not at {tmp_path / 'points.npz'}"
    assert caught.value.hint == MOVED
    there = tmp_path.with_name("there")
    settings = locate(config, record, str(there / "points.npz"))
    assert settings.source == str(there / "points.npz")
    assert settings.split == str(there / "split.json")  # it lies beside the data
    with pytest.raises(DataError, match="the data are not at nowhere"):
        locate(config, record, "nowhere")


def test_sources_that_are_names_move_otherwise(tmp_path: Path) -> None:
    nothing = DataRecord(parts={})
    omniglot = DataConfig()
    assert locate(omniglot, nothing, "omniglot") == omniglot
    assert locate(omniglot, nothing, str(tmp_path)).path == tmp_path
    with pytest.raises(DataError) as caught:
        locate(DataConfig(source="glyphs"), nothing, str(tmp_path))
    assert str(caught.value) == "glyphs are drawn, there are no files of them"
    assert caught.value.hint == "leave --data out"


def test_a_class_is_a_line() -> None:
    facts = {"heron": ClassFacts(12, "0123456789abcdef")}
    assert list_classes(facts) == {"heron": "12 0123456789abcdef"}
    assert parse_classes(list_classes(facts), "here") == facts


@each(
    ("content", "message"),
    [
        ([], "data.json is not a record of data in format 1"),
        ({"format": 2}, "data.json is not a record of data in format 1"),
        ({"format": 1}, "data.json is not a whole record of data"),
        (
            {"format": 1, "places": {}, "left_out": [], "parts": {p: {"a": "x"} for p in PARTS}},
            "data.json does not list classes with their count and fingerprint",
        ),
    ],
)
def test_a_record_that_is_none(content: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        from_json(content, "data.json")
    assert str(caught.value) == message
