"""One file of readings: what is read from .npy and .csv, and every way in which one is refused."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful.runtime.errors import InputError
from handful.runtime.inputs import series as module
from handful.runtime.inputs.series import read_array

from ..each import each
from .refusal import refusal_in
from .small_series import write_npy

READ = "a .npy file of numbers, or a .csv file with a line for each reading"


@each("dtype", ["<i2", ">i2", "u1", "<i8", "<f4", ">f8", "<f2"])
@each("order", ["C", "F"])
def test_npy_files_keep_their_numbers(dtype: str, order: Any, tmp_path: Path) -> None:
    array = np.asarray(np.arange(24).reshape(4, 3, 2), dtype=dtype, order=order)
    read = read_array(write_npy(tmp_path / "x.npy", array))
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_npy(version: tuple[int, int], tmp_path: Path) -> None:
    with (tmp_path / "x.npy").open("wb") as opened:
        np.lib.format.write_array(opened, np.arange(6.0).reshape(3, 2), version=version)
    assert read_array(str(tmp_path / "x.npy")).tolist() == [[0, 1], [2, 3], [4, 5]]


@each(
    ("text", "wanted"),
    [
        ("1,2\n3,-4.5\n", [[1, 2], [3, -4.5]]),
        ("t, x\n1, 2\n\n3e2, 4", [[1, 2], [300, 4]]),
        ("\ufefft;x\r\n1,5;2\r\n3;4,25\r\n", [[1.5, 2], [3, 4.25]]),  # a decimal comma
        ("1\t2\n3\t4", [[1, 2], [3, 4]]),
        ("1  2\n3 4", [[1, 2], [3, 4]]),
        ("7\n8\n9", [[7], [8], [9]]),
    ],
)
def test_csv_files(text: str, wanted: list[list[float]], tmp_path: Path) -> None:
    for name in ("x.csv", "x.tsv", "X.CSV"):
        (tmp_path / name).write_text(text, newline="")
        assert read_array(tmp_path / name).tolist() == wanted


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "link.npy").symlink_to(write_npy(tmp_path / "there" / "x.npy", np.ones(2)))
    assert read_array(tmp_path / "link.npy").tolist() == [1, 1]


def npy(shape: Any = (3, 2), descr: Any = "'<f4'", order: Any = False, rest: int = 24) -> bytes:
    """A .npy file with this header and so many bytes after it."""
    head = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(rest)


WHOLE, SAVE = "…/x.npy is not a whole .npy file: ", "numpy.save"
REFUSED: list[tuple[str, bytes, str, str | None]] = [
    ("x.npy", b"", f"{WHOLE}EOF: reading magic string, expected 8 bytes got 0", SAVE),
    ("x.npy", b"PK\3\4 and more", None, SAVE),  # type: ignore[list-item]
    ("x.npy", b"\x93NUMPY\x09\x00" + bytes(20), f"{WHOLE}version 9.0", SAVE),
    ("x.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff", f"{WHOLE}a header of 4294967295 bytes", SAVE),
    ("x.npy", npy()[:30], f"{WHOLE}it ends within its header", SAVE),
    ("x.npy", npy(descr="[('a', '<f4')]"), f"{WHOLE}its header says no shape and type of numbers",
     SAVE),
    ("x.npy", npy(shape=(-3, 2)), f"{WHOLE}its header says no shape and type of numbers", SAVE),
    ("x.npy", npy(shape=(True, 2)), f"{WHOLE}its header says no shape and type of numbers", SAVE),
    ("x.npy", npy(order=1), f"{WHOLE}its header says no shape and type of numbers", SAVE),
    ("x.npy", npy(rest=20), "…/x.npy has 20 bytes of numbers, [3, 2] of float32 would have 24",
     None),
    ("x.npy", npy(shape=(2**39, 2**39)), "…/x.npy has 24 bytes of numbers,"
     " [549755813888, 549755813888] of float32 would have 1208925819614629174706176", None),
    ("x.npy", npy(shape=(0, 2), rest=0),
     "…/x.npy has the shape [0, 2], wanted one reading at least", None),
    ("x.npy", npy(shape=(), rest=4), "…/x.npy has the shape [], wanted one reading at least", None),
    ("x.npy", npy(descr="'<c8'", rest=48),
     "…/x.npy holds complex64, wanted integers or floats of at most 64 bits",
     "save numbers: array.astype(numpy.float32)"),
    ("x.npy", npy(descr="'|b1'", rest=6), "…/x.npy holds bool, wanted integers or floats of at most"
     " 64 bits", "save numbers: array.astype(numpy.float32)"),
    ("x.csv", b"", "…/x.csv is empty", READ),
    ("x.csv", b"\n \n", "…/x.csv is empty", READ),
    ("x.csv", b"a,b\n", "…/x.csv has no line of numbers", READ),
    ("x.csv", b"\xff\xfe1,2", "…/x.csv is not text in UTF-8", READ),
    ("x.csv", b"1,2\n\n3", "…/x.csv has 1 numbers in line 3, 2 in line 1", None),
    ("x.csv", b"1,2\n3,", "…/x.csv has '' in line 2, wanted a number", READ),
    ("x.csv", b"a,b\n1,2\n3,\x1b[2J", "…/x.csv has '\\x1b[2J' in line 3, wanted a number", READ),
    ("x.csv", b"1,2\n3,nan\n", "…/x.csv has a value that is not finite in row 2", None),
    ("x.csv", b"1,2\n1e999,4\n", "…/x.csv has a value that is not finite in row 2", None),
    ("x.png", b"1,2\n", "…/x.png is not named as a file of readings", READ),
]  # fmt: skip


@each(("name", "data", "words", "hint"), REFUSED)
def test_bad_files(
    name: str, data: bytes, words: str | None, hint: str | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    found = refusal_in(tmp_path, lambda: read_array(tmp_path / name), InputError)
    assert found[1] == hint
    assert found[0] == words if words else found[0].startswith(WHOLE)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "sprung").touch, ())

    np.save(tmp_path / "x.npy", np.array([Trap()]), allow_pickle=True)
    words, _ = refusal_in(tmp_path, lambda: read_array(tmp_path / "x.npy"), InputError)
    assert words == "…/x.npy holds object, wanted integers or floats of at most 64 bits"
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="not a whole"):
        read_array(tmp_path / "y.npy")
    assert not (tmp_path / "sprung").exists()


def test_paths_that_lead_to_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.npy").mkdir()
    words, _ = refusal_in(tmp_path, lambda: read_array(tmp_path / "x.npy"), InputError)
    assert words == "…/x.npy is a folder, wanted a regular file"
    words, _ = refusal_in(tmp_path, lambda: read_array(tmp_path / "none.npy"), InputError)
    assert words == "no file …/none.npy"
    with pytest.raises(InputError, match=r"^no file a\\x00b\.npy$"):
        read_array("a\0b.npy")


def test_files_too_large_are_refused_by_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_npy(tmp_path / "x.npy", np.zeros(100, np.float32))
    monkeypatch.setattr(module, "MAX_BYTES", 500)
    words, _ = refusal_in(tmp_path, lambda: read_array(file), InputError)
    assert words == "…/x.npy has 528 bytes, at most 500 are read"
    monkeypatch.setattr(module, "MAX_CSV", 5)
    (tmp_path / "x.csv").write_text("1,2\n" * 3)
    words, hint = refusal_in(tmp_path, lambda: read_array(tmp_path / "x.csv"), InputError)
    assert words == "…/x.csv has 3 lines of 2 numbers, at most 5 are read"
    assert hint == "save larger recordings as .npy"
