"""A package as one file: the same bytes for the same files, and no second reading of them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import PackageError
from handful.runtime.package.archive import pack, unpack
from handful.runtime.tools import packed
from handful.runtime.tools.packed import pack_package, unpack_package
from handful.runtime.tools.verify import verify

from ..each import each

FILES = {"manifest.json": b"{}", "a.onnx": b"12345"}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def zipped(*members: tuple[Any, bytes], **how: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **how) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def test_packed_and_unpacked_a_package_is_the_same(packages: Any, tmp_path: Path) -> None:
    for name in ("head", "tones", "line"):
        folder = packages(name)
        file = pack_package(folder, tmp_path / f"{name}.handful")
        assert files_of(unpack_package(file, tmp_path / name)) == files_of(folder)
        assert verify(file).ok
        again = pack_package(file, tmp_path / f"again-{name}.handful")
        assert again.read_bytes() == file.read_bytes()


def test_a_packed_package_adapts_from_its_file_and_from_its_bytes(
    packages: Any, tmp_path: Path
) -> None:
    folder = packages("head")
    file = pack_package(folder, tmp_path / "one.handful")
    x = np.random.default_rng(0).random((4, 6, 6, 1), np.float32)
    whole = handful.load(folder).adapt(list(x), ["a", "b", "a", "b"])
    whole.save(tmp_path / "task.npz")
    for given in (file, str(file), file.read_bytes()):
        learner = handful.load(given)
        task = learner.adapt(list(x), ["a", "b", "a", "b"])
        np.testing.assert_array_equal(task.predict_proba(list(x)), whole.predict_proba(list(x)))
        assert learner.load_task(tmp_path / "task.npz").classes == ("a", "b")
    assert handful.load(file).path == file
    assert handful.load(file.read_bytes()).path is None


def test_the_bytes_follow_from_the_files_alone() -> None:
    data = pack(dict(reversed(FILES.items())))
    assert data == pack(FILES)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    assert [member.filename for member in members] == ["a.onnx", "manifest.json"]
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}


def doubled(data: bytes) -> bytes:
    """The same archive with one name twice in its directory."""
    return data.replace(b"manifest.json", b"manifest2json").replace(b"a.onnx", b"manife")


def longer(data: bytes) -> bytes:
    """A member whose size in front of it is another than in the directory."""
    at = data.index(b"PK\x03\x04")
    return data[: at + 22] + struct.pack("<I", 4) + data[at + 26 :]


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "bytes behind": lambda data: data + b"\0",
    "bytes in front": lambda data: b"\0" + data,
    "bytes between": lambda data: data.replace(b"12345", b"12345\0"),
    "cut short": lambda data: data[:-3],
    "a comment": lambda data: data[:-2] + b"\1\0!",
    "another date": lambda data: data.replace(b"\x21\x00", b"\x22\x00"),
    "two sizes": longer,
    "one byte altered": lambda data: data.replace(b"12345", b"12346"),
    "empty": lambda data: b"",
    "no zip": lambda data: b"PK" + bytes(100),
    "another order": lambda data: zipped(*FILES.items()),
    "a second entry": lambda data: zipped(("a", b"1"), ("a", b"2")),
    "a path": lambda data: zipped(("../a", b"1")),
    "a folder": lambda data: zipped(("a/b", b"1")),
    "a drive": lambda data: zipped(("c:a", b"1")),
    "compressed": lambda data: zipped(*FILES.items(), compression=zipfile.ZIP_DEFLATED),
    "encrypted": lambda data: data.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile's, while the case is made
@each("how", SPOILT)
def test_what_is_not_exactly_a_packed_package_is_refused(how: str) -> None:
    spoilt = SPOILT[how](pack(FILES))
    assert spoilt != pack(FILES)
    with pytest.raises(handful.PackageError):
        unpack(spoilt, "it")


def test_an_archive_with_another_file_is_refused(packages: Any, tmp_path: Path) -> None:
    file = tmp_path / "more.handful"
    file.write_bytes(pack({**files_of(packages("head")), "run.py": b""}))
    with pytest.raises(handful.PackageError) as error:
        handful.load(file)
    assert str(error.value) == f"{file} holds run.py, which is no part of the package"


def test_an_unpacked_folder_is_there_when_it_is_whole(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pack_package(packages("head"), tmp_path / "one.handful")
    written: list[Path] = []

    def write(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(packed, "write_atomic", write)
    with pytest.raises(KeyboardInterrupt):
        unpack_package(file, tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["one.handful"]


def test_a_task_file_is_no_package(packages: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((2, 6, 6, 1), np.float32)
    handful.load(packages("head")).adapt(list(x), ["a", "b"]).save(tmp_path / "task.npz")
    with pytest.raises(PackageError) as error:
        handful.load(tmp_path / "task.npz")
    assert str(error.value) == f"{tmp_path}/task.npz is a task file, wanted a package"
    assert error.value.hint == "a task is given to predict, test, add, remove, report and freeze"


def test_nothing_is_written_over(packages: Any, tmp_path: Path) -> None:
    file = pack_package(packages("head"), tmp_path / "one.handful")
    before = file.read_bytes()
    with pytest.raises(handful.PackageError, match="exists"):
        pack_package(packages("line"), file)
    assert file.read_bytes() == before
    with pytest.raises(handful.PackageError, match="exists"):
        unpack_package(file, tmp_path)
    pack_package(packages("line"), file, force=True)
    assert handful.load(file).name == handful.load(packages("line")).name
