"""Finding packages, the public names, and the device path on a device that is here."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful import runtime
from handful.runtime.engine import Engine
from handful.runtime.errors import PackageError
from handful.runtime.package import read as finding
from handful.runtime.package.decode import read_bytes, read_manifest, to_json
from handful.runtime.sessions import Setup
from handful.runtime.tools import on_files
from handful.runtime.tools.inspect import describe
from handful.runtime.tools.verify import verify

from ..each import each

X = np.random.default_rng(0).random((4, 6, 6, 1), np.float32)


def test_the_public_names_are_the_same_in_both_places() -> None:
    assert handful.__all__ == runtime.__all__
    for name in handful.__all__:
        assert getattr(handful, name) is getattr(runtime, name)
    with pytest.raises(AttributeError, match="module 'handful' has no attribute 'train'"):
        _ = handful.train  # type: ignore[attr-defined]


def test_shipped_packages_are_found_by_name(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.copy("head", tmp_path)
    (tmp_path / "manifest.schema.json").write_text("{}")
    monkeypatch.setattr(finding, "SHIPPED", tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert finding.list_shipped() == ["head"]
    assert handful.load("head").path == tmp_path / "head"
    with pytest.raises(PackageError) as error:
        handful.load("tail")
    assert str(error.value) == "no folder or file tail, and no shipped package of that name"
    assert error.value.hint == "shipped packages: head"
    with pytest.raises(PackageError) as error:
        handful.load("Haed")
    assert error.value.hint == "did you mean head? Shipped packages: head"


@pytest.mark.parametrize("name", finding.list_shipped())
def test_a_shipped_manifest_is_as_an_export_writes_it(name: str) -> None:
    folder = finding.find(name)
    assert read_bytes(folder) == to_json(read_manifest(folder)).encode()


def test_a_plain_name_means_the_shipped_package_whatever_lies_here(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "SHIPPED", packages("head").parent)
    packages.copy("head", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert handful.load("head").path == packages("head")
    assert handful.load("./head").path == Path("head")
    assert handful.load(str(tmp_path / "head")).path == tmp_path / "head"
    assert handful.load(Path("head")).path == Path("head")  # a Path means a folder, if there is one
    monkeypatch.chdir(tmp_path.parent)
    assert handful.load(Path("head")).path == packages("head")


def test_a_saved_task_finds_the_package_whose_hash_was_compared(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "SHIPPED", packages("head").parent)
    monkeypatch.setattr(on_files, "SHIPPED", packages("head").parent)
    handful.load(packages("head")).adapt(X, list("abab")).save(tmp_path / "task.npz")
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert on_files.maker_of(Path("task.npz")).path == packages("head")


LOST = "shipped packages: head"
PATHS: list[tuple[Any, str, str | None]] = [
    ("", "the package's path is empty", LOST),
    (5, "the package is of type int, wanted a path or a name", LOST),
    (None, "the package is of type NoneType, wanted a path or a name", LOST),
    ("a\0b", "no folder or file a\\u0000b, and no shipped package of that name", LOST),
    ("\udc80\ud800", "no folder or file \\udc80\\ud800, and no shipped package of that name", LOST),
    ("a" * 5000, f"no folder or file …{'a' * 200}, and no shipped package of that name", LOST),
    ("/", "no file manifest.json in /", "an exported package is a folder made by `handful export`"),
    (".", "no file manifest.json in .", "an exported package is a folder made by `handful export`"),
    (
        "..",
        "no file manifest.json in ..",
        "an exported package is a folder made by `handful export`",
    ),
]


@each(("path", "words", "hint"), PATHS)
@each("action", [handful.load, verify, describe])
def test_paths_that_are_none(
    action: Any,
    path: Any,
    words: str,
    hint: str | None,
    packages: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packages.copy("head", tmp_path)
    monkeypatch.setattr(finding, "SHIPPED", tmp_path)
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "empty" / "inner")
    with pytest.raises(PackageError) as error:
        action(path)
    assert (str(error.value), error.value.hint) == (words, hint)


def test_a_folder_for_a_file_is_refused_and_no_descriptor_is_left(
    packages: Any, tmp_path: Path
) -> None:
    folder = packages.copy("head", tmp_path)
    (folder / "step.onnx").unlink()
    (folder / "step.onnx").mkdir()
    before = os.dup(0)  # the lowest number that is free
    os.close(before)
    for _ in range(3):
        with pytest.raises(PackageError) as error:
            handful.load(folder)
        assert str(error.value) == f"{folder / 'step.onnx'} is a folder, wanted a regular file"
    after = os.dup(0)
    os.close(after)
    assert after == before


def test_tensors_that_stay_on_the_device(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = handful.load(packages("head")).adapt(X, list("abab"))
    monkeypatch.setattr(Setup, "device", "cpu")  # CUDA's path, with the CPU as the device
    learner = handful.load(packages("head"))
    seen: list[str] = []
    engine: Engine = learner._engine
    h = engine.embed(X)
    state = engine.adapt(h, np.eye(2, dtype=np.float32)[[0, 1, 0, 1]])
    assert {name: type(value).__name__ for name, value in state.tensors.items()} == {
        "w": "OrtValue"
    }
    engine.adapt(
        h,
        np.eye(2, dtype=np.float32)[[0, 1, 0, 1]],
        observe=lambda stage, i, tensors: seen.append(f"{stage}/{i} {sorted(tensors)}"),
    )
    assert seen == ["head/0 ['w']", *(f"head/{i} ['loss', 'w']" for i in (1, 2, 3))]
    task = learner.adapt(X, list("abab"))
    np.testing.assert_array_equal(task.logits(X), wanted.logits(X))
    task.save(tmp_path / "task.npz")
    np.testing.assert_array_equal(
        learner.load_task(tmp_path / "task.npz").logits(X), wanted.logits(X)
    )


def test_sessions_are_built_when_they_are_needed(packages: Any, tmp_path: Path) -> None:
    learner = handful.load(packages("head"))
    graphs = learner._engine.graphs
    assert [name for name, graph in graphs.items() if graph._session] == []
    learner.adapt(X, list("abab")).save(tmp_path / "task.npz")
    assert [name for name, graph in graphs.items() if graph._session] == ["embed", "start", "step"]
    fresh = handful.load(packages("head"))
    fresh.load_task(tmp_path / "task.npz").predict(X)
    built = [name for name, graph in fresh._engine.graphs.items() if graph._session]
    assert built == ["embed", "predict"]
