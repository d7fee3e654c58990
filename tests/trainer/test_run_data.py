"""A run and its data: written down, found from another folder, moved or changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful.trainer.commands import evaluate, export
from handful.trainer.commands.subjects import Plan
from handful.trainer.data import DataError, load_data
from handful.trainer.data.record import DataRecord
from handful.trainer.data.splits import PARTS, Part
from handful.trainer.evaluation import Result
from handful.trainer.training.config import RunConfig, from_dict
from handful.trainer.training.data import RecordedData
from handful.trainer.training.folder import RunError, read_record, write_config, write_record
from handful.trainer.training.loop import Options
from handful.trainer.training.progress import Silent
from handful.trainer.training.run import train

from ..each import each
from .test_run import after
from .two_processes import META, NETWORK

PLAN = Plan(ways=(3,), queries=2, episodes=5)


def points(file: Path, classes: int = 30) -> None:
    """Thirty classes of eight points; one more changes what a random split draws."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(c % 7, 1, (8, 4)) for c in range(classes)]).astype(np.float32)
    np.savez(file, x=x, y=np.repeat([f"class {c:02}" for c in range(classes)], 8))


def config(**data: Any) -> RunConfig:
    learner = {"name": "prototypical", "network": {**NETWORK, "normalisation": "running"}}
    data = {"source": "points.npz", "split": "random", "rotations": False, **data}
    return from_dict({"learner": learner, "data": data, "meta": META}, where="here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with points.npz and a finished run on it."""
    monkeypatch.chdir(tmp_path)
    points(tmp_path / "points.npz")
    train(config(), tmp_path / "run")
    return tmp_path


def measured(run: Path, data: str | None = None) -> list[Result]:
    return evaluate.evaluate_command(
        str(run), PLAN, transductive=False, device="cpu", count=count, data=data
    )


def count(name: str, total: int) -> Callable[[], None]:
    return lambda: None


def test_a_run_writes_down_its_data_before_it_trains(here: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config(), here / "killed", Options(stop=interrupt))
    record = read_record(here / "killed")
    assert record == read_record(here / "run")
    assert record.places == {"source": str(here / "points.npz")}
    for part, classes in record.parts.items():
        data = load_data(config().data, part)
        assert tuple(classes) == data.classes
        assert {facts.examples for facts in classes.values()} == {8}


def interrupt() -> bool:
    raise KeyboardInterrupt


def test_it_is_evaluated_and_resumed_from_another_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = measured(here / "run")
    train(config(), here / "parts", Options(stop=after(2)))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert measured(here / "run") == before
    assert train(config(), here / "parts", Options(resume=True)).finished


def test_its_classes_stay_its_own_when_one_is_added(here: Path) -> None:
    before = RecordedData.of_run(here / "run").load("meta_test")
    points(here / "points.npz", classes=31)
    assert load_data(config().data, "meta_test").classes != before.classes
    assert RecordedData.of_run(here / "run").load("meta_test").classes == before.classes


def test_moved_data_are_named(here: Path) -> None:
    before = measured(here / "run")
    train(config(), here / "parts", Options(stop=after(2)))
    (here / "points.npz").rename(here / "there.npz")
    with pytest.raises(DataError) as caught:
        measured(here / "run")
    assert str(caught.value) == f"the data are not at {here / 'points.npz'}"
    assert measured(here / "run", "there.npz") == before
    assert train(config(), here / "parts", Options(resume=True, data="there.npz")).finished


def test_changed_data_are_refused_by_all_who_read_them(here: Path) -> None:
    train(config(), here / "parts", Options(stop=after(2)))
    name = next(iter(read_record(here / "run").parts["meta_test"]))
    with np.load(here / "points.npz") as file:
        x, y = file["x"].copy(), file["y"]
    x[np.argmax(y == name)] += 1
    np.savez(here / "points.npz", x=x, y=y)
    message = f"the data of meta_test are not those that were recorded: {name} has other examples"
    for use in (
        lambda: measured(here / "run"),
        lambda: export.export_command(here / "run", here / "package", export.Request(), count),
        lambda: train(config(), here / "parts", Options(resume=True)),
    ):
        with pytest.raises(DataError) as caught:
            use()
        assert str(caught.value) == message
    assert not (here / "package").exists()


def test_a_run_without_a_record_is_refused(here: Path) -> None:
    (here / "run" / "data.json").unlink()
    with pytest.raises(RunError) as caught:
        measured(here / "run")
    assert str(caught.value) == f"no data.json in {here / 'run'}"
    assert caught.value.hint == "a run is a folder made by `handful train`"


@each("content", ["{", "[]", "\udcff", "[" * 100_000])
def test_a_record_that_cannot_be_read(content: str, here: Path) -> None:
    (here / "run" / "data.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises((RunError, DataError), match=str(here / "run" / "data.json")):
        measured(here / "run")


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"one")
    nothing: dict[Part, Any] = {part: {} for part in PARTS}
    places = {"backbone": str(tmp_path / "net.onnx")}
    run = tmp_path / "run"
    write_config(config(source="glyphs", backbone="net.onnx"), run)
    write_record(DataRecord(parts=nothing, places=places, backbone="0" * 64), run)
    with pytest.raises(DataError) as caught:
        RecordedData.of_run(run)
    assert str(caught.value) == (
        f"backbone {tmp_path / 'net.onnx'} is not the one that the run was trained on"
    )
    (tmp_path / "net.onnx").unlink()
    with pytest.raises(DataError) as caught:
        RecordedData.of_run(run)
    assert str(caught.value) == f"no backbone {tmp_path / 'net.onnx'}"
    assert caught.value.hint == "put it back: the run was trained on what it gives"


def test_everything_is_read_before_a_folder_is_made(tmp_path: Path) -> None:
    points(tmp_path / "points.npz", classes=12)  # 8 to train, 2 to validate, 2 to test
    with pytest.raises(DataError) as caught:
        train(config(source=str(tmp_path / "points.npz")), tmp_path / "run")
    assert str(caught.value) == "the meta-validation split has 2 classes, a task needs 3"
    assert not (tmp_path / "run").exists()


def test_a_lack_of_test_classes_is_said_before_training(tmp_path: Path) -> None:
    points(tmp_path / "points.npz")
    names = [f"class {c:02}" for c in range(30)]
    split = {"train": names[:15], "val": names[15:29], "test": names[29:]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    words: list[str] = []

    class Voice(Silent):
        def say(self, text: str) -> None:
            words.append(text)

    settings = config(source=str(tmp_path / "points.npz"), split=str(tmp_path / "split.json"))
    train(settings, tmp_path / "run", Options(report=Voice()))
    assert words == [
        "1 of 1 test classes have 4 examples or more: `handful export` will refuse this run,"
        " it needs 2 to check a package on"
    ]
