"""Saved tasks that are broken, hostile or another package's: each is refused, in these words."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import TaskFileError
from handful.runtime.inputs.folders import ONE_LINE
from handful.runtime.package.npz import pack_npz

from ..each import each


@pytest.fixture
def file(head: handful.Learner, tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 1), np.uint8)
    head.adapt(images, ["a", "b", "a"]).save(tmp_path / "task.npz")
    return tmp_path / "task.npz"


def refused(learner: handful.Learner, file: Path, words: str, hint: str | None = None) -> None:
    with pytest.raises(TaskFileError) as error:
        learner.load_task(file)
    assert (str(error.value), error.value.hint) == (words, hint)


def arrays(file: Path) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as archive:
        return {**archive}


def about(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(contents: dict[str, Any]) -> None:
        values = json.loads(contents["about"].tobytes()) | changes
        contents["about"] = np.frombuffer(json.dumps(values).encode(), np.uint8)

    return change


def without(name: str) -> Callable[[dict[str, Any]], None]:
    def change(contents: dict[str, Any]) -> None:
        values = json.loads(contents["about"].tobytes())
        del values[name]
        contents["about"] = np.frombuffer(json.dumps(values).encode(), np.uint8)

    return change


def encoded(encoding: str) -> Callable[[dict[str, Any]], None]:
    def change(contents: dict[str, Any]) -> None:
        text = contents["about"].tobytes().decode()
        contents["about"] = np.frombuffer(text.encode(encoding), np.uint8)

    return change


def put(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda contents: contents.update({name: value})


FORMATS = (2, 0, True, 1.0, "1", None, "\x1b[2J")
MADE = "`Task.save` writes them"
CHANGES: list[tuple[Callable[[dict[str, Any]], object], str, str | None]] = [
    (about(package="0" * 64),
     "task.npz was saved with another package than head as it is now",
     "load it with the package that made it, or adapt again"),
    *((about(format=number), f"task.npz has format {number!r}, this runtime reads 1",
       "load it with the handful that saved it, or adapt again") for number in FORMATS),
    (about(classes=["a", "a"]), "task.npz is not a saved task", MADE),
    (about(classes=["a", "e\u0301", "\u00e9"]), "task.npz is not a saved task", MADE),
    *((about(classes=["a", label]), f"task.npz: a class is {label!r}, which cannot be a label",
       ONE_LINE) for label in ("b\nx\t1.000\ty.png", "\ud800", "", "\u202ec")),
    (about(classes=["a", 1]), "task.npz is not a saved task", MADE),
    (about(samples=2), "task.npz is not a saved task", MADE),
    (about(seed=-1), "task.npz is not a saved task", MADE),
    (about(seed=2**63), "task.npz is not a saved task", MADE),
    (about(seed=1, samples=1001), "task.npz is not a saved task", MADE),
    (about(seed=1, samples=2.0), "task.npz is not a saved task", MADE),
    (encoded("utf-16"), "task.npz is not a saved task", MADE),
    (encoded("utf-8-sig"), "task.npz is not a saved task", MADE),
    (put("about", np.frombuffer(b"[" * 100_000, np.uint8)), "task.npz is not a saved task", MADE),
    (put("about", np.frombuffer(b'{"format": 1' + b"0" * 5000 + b"}", np.uint8)),
     "task.npz is not a saved task", MADE),
    (about(more=2), "task.npz is not a saved task", MADE),
    (about(format=2, more=2), "task.npz has format 2, this runtime reads 1",
     "load it with the handful that saved it, or adapt again"),
    (without("format"), "task.npz is not a saved task", MADE),
    (without("place"), "task.npz is not a saved task", MADE),
    (about(place=5), "task.npz is not a saved task", MADE),
    (about(place=""), "task.npz is not a saved task", MADE),
    (about(place="a\0b"), "task.npz is not a saved task", MADE),
    (lambda contents: contents.pop("about"), "task.npz is not a saved task", MADE),
    (about(classes=["a", "b", "c"]),
     "task.npz: `support_y` is float32 [3, 2], wanted float32 [3, 3]", None),
    (lambda contents: contents.pop("state/0/w"), "task.npz has no array `state/0/w`", None),
    (put("extra", np.zeros(1, np.float32)), "task.npz has an unknown array 'extra'", None),
    (put("state/0/w", np.zeros((2, 6), np.float32)),
     "task.npz: `state/0/w` is float32 [2, 6], wanted float32 [2, 5]", None),
    (put("state/0/w", np.full((2, 5), np.nan, np.float32)),
     "task.npz: `state/0/w` has values that are not finite", None),
    (put("state/0/w", np.zeros((2, 5), np.float64)),
     "task.npz: 'state/0/w.npy' has dtype float64, wanted float32 or int64", None),
    (put("support_y", np.ones((3, 2), np.float32)),
     "task.npz: `support_y` does not fit the classes", None),
    (put("support_y", np.array([[1, 0], [1, 0], [1, 0]], np.float32)),
     "task.npz: `support_y` does not fit the classes", None),
]  # fmt: skip


@each(("change", "words", "hint"), CHANGES)
def test_altered_tasks(
    head: handful.Learner,
    file: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], object],
    words: str,
    hint: str | None,
) -> None:
    contents = arrays(file)
    change(contents)
    (tmp_path / "task.npz").write_bytes(pack_npz(contents))
    refused(head, tmp_path / "task.npz", words, hint)


def test_another_package(packages: Any, file: Path) -> None:
    other = handful.load(packages("prototypes"))
    words = "task.npz was saved with another package than prototypes as it is now"
    refused(other, file, words, "load it with the package that made it, or adapt again")


def test_a_pickle_is_never_read(head: handful.Learner, file: Path) -> None:
    contents = arrays(file)
    contents["state/0/w"] = np.array([print], dtype=object)
    with io.BytesIO() as stream:
        np.savez(stream, allow_pickle=True, **contents)
        file.write_bytes(stream.getvalue())
    words = "task.npz: 'state/0/w.npy' has dtype object, wanted float32 or int64"
    refused(head, file, words)


def test_a_bomb_is_not_inflated(head: handful.Learner, file: Path) -> None:
    from handful.runtime.package.npz import read_npz

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(10_000_000))
    with pytest.raises(TaskFileError) as error:
        read_npz(stream.getvalue(), limit=1000, name="x.npz", error=TaskFileError, deflated=True)
    assert str(error.value) == "x.npz is larger than the 1000 bytes that are read"


def test_a_header_that_promises_more_than_there_is(head: handful.Learner, file: Path) -> None:
    data = file.read_bytes().replace(b"'shape': (2, 5)", b"'shape': (9, 5)")
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            content = old.read(member).replace(b"'shape': (2, 5)", b"'shape': (9, 5)")
            new.writestr(member.filename, content)
    assert data != file.read_bytes()
    file.write_bytes(stream.getvalue())
    words = "task.npz: 'state/0/w.npy' is not as large as its shape [9, 5]"
    refused(head, file, words)


def test_a_truncated_file(head: handful.Learner, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])
    refused(head, file, "task.npz is not a whole npz archive: File is not a zip file")


def test_a_flipped_bit(head: handful.Learner, file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[data.index(b"state/0/w") + 200] ^= 1
    file.write_bytes(data)
    words = "task.npz is not a whole npz archive: Bad CRC-32 for file 'state/0/w.npy'"
    refused(head, file, words)


def test_no_file(head: handful.Learner, tmp_path: Path) -> None:
    hint = "handful adapt PACKAGE FOLDER --out FILE writes one, and so does `Task.save`"
    refused(head, tmp_path / "none.npz", f"no file none.npz in {tmp_path}", hint)


def test_no_folder_to_save_into(head: handful.Learner, file: Path, tmp_path: Path) -> None:
    task = head.load_task(file)
    with pytest.raises(TaskFileError) as error:
        task.save(tmp_path / "none" / "task.npz")
    words = f"cannot write {tmp_path / 'none' / 'task.npz'}: No such file or directory"
    assert str(error.value) == words


def test_a_write_that_fails_leaves_the_old_task(
    head: handful.Learner, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before, task = file.read_bytes(), head.load_task(file)
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(TaskFileError) as error:
        task.save(file)
    assert str(error.value) == f"cannot write {file}: No space left on device"
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
