"""`handful export` of a run: what it reads, unfinished runs, the licence, a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful.runtime.package import files
from handful.runtime.package.decode import read_manifest
from handful.trainer.commands import evaluate, export
from handful.trainer.commands.export import CHECKED, Request
from handful.trainer.data import DataError
from handful.trainer.export import package
from handful.trainer.settings.errors import ExportError
from handful.trainer.training.checkpoint import StorageError
from handful.trainer.training.config import RunConfig, from_dict
from handful.trainer.training.loop import Options
from handful.trainer.training.recipes import named_recipe, read_recipe
from handful.trainer.training.run import train

from ..each import each
from .test_run import after
from .test_run_data import PLAN, count, points
from .two_processes import META


def config(folder: Path, learner: str = "nearest", **settings: Any) -> RunConfig:
    names = [f"class {c:02}" for c in range(60)]
    split = {"train": names[:10], "val": names[10:20], "test": names[20:]}
    (folder / "split.json").write_text(json.dumps(split))
    points(folder / "points.npz", classes=60)
    data = {"source": str(folder / "points.npz"), "split": str(folder / "split.json")}
    run = {"learner": {"name": learner}, "data": data, "meta": META, **settings}
    return from_dict(run, where="here")


@pytest.fixture(scope="module")
def exported_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and its package."""
    folder = tmp_path_factory.mktemp("made")
    train(config(folder), folder / "run")
    exported(folder, episodes=2)
    return folder


@pytest.fixture
def here(exported_run: Path, tmp_path: Path) -> Path:
    """A copy of it, to alter; the run remembers the data where they were."""
    shutil.copytree(exported_run, tmp_path, dirs_exist_ok=True)
    record = json.loads((tmp_path / "run" / "data.json").read_text())
    record["places"] = {
        n: p.replace(str(exported_run), str(tmp_path)) for n, p in record["places"].items()
    }
    (tmp_path / "run" / "data.json").write_text(json.dumps(record))
    return tmp_path


def contents(package: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in package.iterdir()}


def exported(here: Path, name: str = "package", **request: Any) -> dict[str, bytes]:
    """The package's files."""
    export.export_command(here / "run", here / name, Request(name="one", **request), count)
    return contents(here / name)


def test_without_episodes_only_the_classes_that_it_checks_on_are_read(here: Path) -> None:
    with np.load(here / "points.npz") as file:
        x, y = file["x"], file["y"]
    some = y < f"class {20 + CHECKED:02}"  # the first test classes, and none after them
    np.savez(here / "points.npz", x=x[some], y=y[some])
    some_read, all_read = exported(here, "some", episodes=0), contents(here / "package")
    graphs = [name for name in all_read if name.endswith((".onnx", ".npz"))]
    assert {n: some_read[n] for n in graphs} == {n: all_read[n] for n in graphs}
    with pytest.raises(DataError, match="the data lack classes of meta_test"):
        exported(here, "measured", episodes=2)


def test_a_package_knows_its_test_classes_wherever_they_are(here: Path) -> None:
    manifest = (here / "package" / "manifest.json").read_text()
    training = json.loads(manifest)["training"]
    assert list(training["data"]) == ["meta_train", "meta_test"]  # centred on the first
    assert len(training["data"]["meta_test"]) == 40
    results = evaluate.evaluate_package(
        here / "package", PLAN, count=count, moved=str(here / "points.npz")
    )
    assert results[0].episodes == 5
    with pytest.raises(DataError, match="the data are not at nowhere"):
        evaluate.evaluate_package(here / "package", PLAN, count=count, moved="nowhere")


def test_a_package_that_does_not_know_its_random_classes_is_not_evaluated(here: Path) -> None:
    file = here / "package" / "manifest.json"
    content = json.loads(file.read_text())
    del content["training"]["data"]
    content["training"]["config"]["data"]["split"] = "random"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        evaluate.evaluate_package(here / "package", PLAN, count=count)
    assert str(caught.value) == "the package does not say which classes it was not trained on"
    assert caught.value.hint == "export it again from its run"


def test_an_unfinished_run_is_exported_only_as_such(tmp_path: Path) -> None:
    train(config(tmp_path), tmp_path / "run", Options(stop=after(1)))
    with pytest.raises(ExportError) as caught:
        exported(tmp_path, episodes=0)
    run = tmp_path / "run"
    assert str(caught.value) == f"{run} has not finished: 3 of 4 steps are left"
    assert caught.value.hint == (
        f"go on with it: handful train --resume --out {run}; or export its best parameters so far"
        " with --unfinished"
    )
    written = exported(tmp_path, episodes=0, unfinished=True)
    assert (
        b"**The training had not finished** when this was exported: 3 steps were left."
        in (written["README.md"])
    )
    training = read_manifest(tmp_path / "package").training
    assert (training["finished"], training["steps_left"]) == (False, 3)


def test_a_run_killed_before_its_first_checkpoint_is_unfinished(here: Path) -> None:
    (here / "run" / "last.safetensors").unlink()
    with pytest.raises(ExportError, match="4 of 4 steps are left"):
        exported(here, "again")


@pytest.fixture
def licences(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Those of the packages that would be written."""
    seen: list[str] = []
    monkeypatch.setattr(export, "build", lambda source, *_, **__: seen.append(source.licence))
    return seen


def test_the_licence_is_whose_the_package_is(here: Path, licences: list[str]) -> None:
    train(config(here, licence="MIT"), here / "licensed")
    for run, asked in (("run", None), ("run", "CC-BY-4.0"), ("licensed", None)):
        request = Request(episodes=0, licence=asked)
        export.export_command(here / run, here / f"p{len(licences)}", request, count)
    both = "MIT OR (Apache-2.0 WITH LLVM-exception)"
    export.export_command(here / "run", here / "p", Request(episodes=0, licence=both), count)
    assert licences == ["LicenseRef-unstated", "CC-BY-4.0", "MIT", both]


def test_a_licence_that_is_not_stated_is_said_on_the_card(here: Path) -> None:
    assert (here / "package" / "README.md").read_text().split("## Licence\n\n")[1] == (
        "Not stated (LicenseRef-unstated): ask whoever made the package before you pass it on.\n"
    )


@each("text", ["do what you want", "MIT\n", "MIT OR", "x" * 201])
def test_a_licence_that_is_none(text: str, here: Path) -> None:
    with pytest.raises(ExportError) as caught:
        exported(here, episodes=0, licence=text)
    assert str(caught.value) == f"{text!r} is not a licence as SPDX writes it"
    assert caught.value.hint == (
        "as CC-BY-4.0, MIT OR Apache-2.0, or LicenseRef- and a name of your own"
    )


def test_a_recipe_s_licence_is_for_packages_on_its_own_data() -> None:
    assert read_recipe("omniglot-leo", ()).licence == "Apache-2.0"
    assert read_recipe("omniglot-leo", ["data.source=omniglot"]).licence == "Apache-2.0"
    assert read_recipe("omniglot-leo", ["data.source=birds"]).licence is None
    assert read_recipe("omniglot-leo", ["data.source=birds", "licence=MIT"]).licence == "MIT"
    assert read_recipe("embeddings-leo", ()).licence is None
    unlicensed = read_recipe("omniglot-leo", ["licence=MIT"])
    assert named_recipe(unlicensed) == {"recipe": "omniglot-leo"}


def test_a_recipe_s_files_may_lie_anywhere() -> None:
    moved = ["data.source=/there/myo.npz", "data.split=/there/myo.json"]
    elsewhere = read_recipe("myo-personal", moved)
    assert elsewhere.licence == "MIT"
    assert elsewhere.credit == read_recipe("myo-personal", ()).credit
    assert named_recipe(elsewhere) == {"recipe": "myo-personal"}
    of_own_split = read_recipe("myo-personal", [moved[0], "data.split=/there/mine.json"])
    assert named_recipe(of_own_split) == {}


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_ends_a_run_with_words(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(files, "write_atomic", full)
        with pytest.raises(StorageError) as caught:
            train(config(here), here / "second")
    assert (
        str(caught.value)
        == f"cannot write {here / 'second' / 'data.json'}: No space left on device"
    )
    assert caught.value.hint == "make room, then go on with --resume: the last checkpoint is whole"
    assert train(config(here), here / "second").finished  # nothing is left that is in the way


def test_a_full_disk_ends_an_export_with_words(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(export, "build", full)
        with pytest.raises(StorageError) as caught:
            exported(here, "second")
    assert str(caught.value) == f"cannot write {here / 'second'}: No space left on device"
    assert caught.value.hint == "make room, or export to another folder"


def beside(here: Path) -> set[str]:
    """What lies in the folder besides what the tests put there."""
    names = {path.name for path in here.iterdir()}
    return names - {"run", "points.npz", "split.json", "package"}


def test_a_package_is_at_its_place_when_it_is_measured(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then what was there is there; Ctrl-C leaves nothing, --force replaces at once."""
    seen: list[bool] = []

    def stopped(folder: Path, *_: object, **__: object) -> None:
        seen.append((folder / "manifest.json").is_file())
        raise KeyboardInterrupt

    before = contents(here / "package")
    for name, force in (("new", False), ("package", True)):
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(export, "evaluate_package", stopped)
            with pytest.raises(KeyboardInterrupt):
                exported(here, name, episodes=2, force=force)
        assert beside(here) == set(), name
    assert seen == [True, True]  # it was whole elsewhere
    assert contents(here / "package") == before
    exported(here, "package", episodes=2, force=True)
    assert read_manifest(here / "package").evaluation
    assert beside(here) == set()


KILLED = """
import os, sys
from pathlib import Path
from handful.trainer.commands import export
export.evaluate_package = lambda *a, **k: os.kill(os.getpid(), 9)
run, folder = map(Path, sys.argv[1:])
export.export_command(run, folder, export.Request(workers=1), lambda *_: lambda: None)
"""


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_what_a_killed_export_left_is_removed_by_the_next(here: Path) -> None:
    """And what another process is still building is not."""
    folder = here / "new"
    command = [sys.executable, "-c", KILLED, str(here / "run"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not folder.exists()
    (left,) = beside(here)
    assert (left.startswith(".new."), left.endswith(".part")) == (True, True)
    with package.in_place(folder, folder.name, force=False) as place:
        assert beside(here) == {place.name}  # the dead one's is gone
        exported(here, "new", episodes=0)
        assert place.is_dir()
        shutil.rmtree(folder)
    assert beside(here) == {"new"}
    aside = here / ".new.old"  # killed between two renames
    (here / "new").rename(aside)
    with pytest.raises(ExportError, match="exists"):
        exported(here, "new", episodes=0)
    assert beside(here) == {"new"}
