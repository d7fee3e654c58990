"""One file of readings: what is read from .npy and .csv, and every way in which one is refused."""

import pickle
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful.runtime.errors import InputError, InputWarning
from handful.runtime.inputs import series as module
from handful.runtime.inputs import tables
from handful.runtime.inputs.series import read_array, read_recording
from handful.runtime.package.manifest import Channel, InputSpec

from ..each import each
from .refusal import refusal_in
from .small_series import write_npy

READ = "a .npy file of numbers, or a .csv file with a line for each reading"
FILL = "fill it in, or leave the line out"
PEN = InputSpec(
    kind="array",
    shape=(4, 3),
    whole="path",
    channels=tuple(
        Channel(name=name, kind="state" if name == "pen" else "place", text="")
        for name in ("x", "y", "pen")
    ),
)


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
        ("u, x\n1, 2\n\n3e2, 4", [[1, 2], [300, 4]]),
        ("\ufeffu;x\r\n1,5;2\r\n3;4,25\r\n", [[1.5, 2], [3, 4.25]]),  # a decimal comma
        ("1\t2\n3\t4", [[1, 2], [3, 4]]),
        ("1  2\n3 4", [[1, 2], [3, 4]]),
        ("7\n8\n9", [[7], [8], [9]]),
    ],
)
def test_csv_files(text: str, wanted: list[list[float]], tmp_path: Path) -> None:
    for name in ("x.csv", "x.tsv", "X.CSV"):
        (tmp_path / name).write_text(text, newline="")
        assert read_array(tmp_path / name).tolist() == wanted


ROWS, THREE = [[1, 2], [3, 4]], [[1, 2, 1], [3, 4, 0]]


@each(
    ("text", "wanted"),
    [
        (",a,b\n0,1,2\n1,3,4\n", ROWS),  # a data frame's index
        (",0,1\n0,1,2\n1,3,4\n", ROWS),
        ("Unnamed: 0,a,b\n7,1,2\n8,3,4\n", ROWS),
        ('"a" "b"\n"1" 1 2\n"2" 3 4\n', ROWS),  # as R writes it
        ('"a","b"\n"1","2"\n"3","4"\n', ROWS),
        ("a,b\nm/s²,m/s²\n1,2\n3,4\n", ROWS),  # units
        ("a,b\n(px),[px]\n1,2\n3,4\n", ROWS),
        ("# a,b\n1,2\n3,4\n", ROWS),
        ("a,b\n1,2\n# 9,9\n3,4\n", ROWS),
        ("sep=;\na;b\n1;2\n3;4\n", ROWS),
        ("a,b\n1,2,\n3,4,\n", ROWS),  # one more separator in every line
        ("a,b\n1,2\n3,4\n,\n,\n", ROWS),  # a spreadsheet's end
        ("timestamp,a,b\n10,1,2\n20,3,4\n", ROWS),
        ("Time (ms);a;b\n1,5;1;2\n2,5;3;4\n", ROWS),
        ("date,a,b\n2026-01-31T12:00:00.5,1,2\n2026-01-31 12:00:01,3,4\n", ROWS),
        ("time,a,b\n12:00:00.5,1,2\n12:00:01,3,4\n", ROWS),
        ("a\tb\r1\t2\r3\t4\r", ROWS),  # the ends of lines of old
    ],
)
def test_what_programs_write_around_the_numbers(
    text: str, wanted: list[list[float]], tmp_path: Path
) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"):
        (tmp_path / "x.csv").write_bytes(text.encode(encoding))
        assert read_array(tmp_path / "x.csv").tolist() == wanted, encoding


@each(
    ("text", "said"),
    [
        ("0,1\n.5,2\n3,4\n", "has 0, 1 in line 1, taken as names of its columns, as data frames"),
        ("Run 7\nRate: 50\n\na,b\n.5,2\n3,4\n", ": lines 1 to 2, before the table, passed over"),
        (
            "\n".join(f"{i},{i * i}" for i in range(8)),
            "has a first column that counts its readings",
        ),
    ],
)
def test_what_is_guessed_is_said(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.warns(InputWarning) as caught:
        found = read_array(tmp_path / "x.csv").tolist()
    assert [said in str(warning.message) for warning in caught] == [True]
    assert found == [[0.5, 2], [3, 4]] or len(found) == 8


@each(
    ("text", "wanted"),
    [
        ("x,y,pen\n1,2,1\n3,4,0", THREE),
        ("pen,x,y\n1,1,2\n0,3,4", THREE),
        ("timestamp,x,y,pen\n5,1,2,1\n6,3,4,0", THREE),
        ("Y (px);Pen;X [px]\n2;1;1\n4;0;3", THREE),
        ("id,x,y,pressure,pen,label\n9,1,2,.5,1,ring\n9,3,4,.5,0,ring", THREE),  # text beside them
        ("pen x y\n1 1 1 2\n2 0 3 4", THREE),  # R's names of rows
        ("1,2,1\n3,4,0", THREE),
        ("a,b,c\n1,2,1\n3,4,0", "has the columns a, b, c, taken in this order as x, y, pen"),
        (
            "timestamp,x,y\n5,1,2\n6,3,4",
            "has no column pen: it has timestamp, x, y, wanted x, y, pen",
        ),
        ("x,y,z\n1,2,1\n3,4,0", "has no column pen: it has x, y, z, wanted x, y, pen"),
        ("x,x,y,pen\n1,1,2,1", "has 2 columns 'x' in line 1, wanted one"),
        ("1,2,1,9\n3,4,0,9", "has 4 columns, wanted 3: x, y, pen"),
        ("x,y,pen\n1,2,abc\n3,4,0", "has 'abc' in line 2, wanted a number"),
        ("x,y,pen\nabc,def,ghi\n3,4,0", "has 'abc' in line 2, wanted a number"),
    ],
)
def test_columns_are_taken_by_name(
    text: str, wanted: str | list[list[float]], tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(text)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found: Any = read_recording(tmp_path / "x.csv", PEN).values.tolist()
        except InputError as error:
            said, found = [], str(error)
    words = "".join(str(warning.message) for warning in said)
    if isinstance(wanted, str):
        assert (words or found) == f"{tmp_path}/x.csv {wanted}"
    else:
        assert (found, words) == (wanted, "")


@each(
    ("header", "rows", "times", "unit"),
    [
        ("t,a", "5,1\n7,2", [0, 2], None),
        ("time_ms,a", "5,1\n7,2", [0, 2], 1e-3),
        ("Timestamp [µs],a", "5,1\n5,2", [0, 0], 1e-6),
        ("seconds_elapsed,a", "5,1\n7,2", [0, 2], 1),
        ("time,seconds_elapsed,a", "90,5,1\n95,7,2", [0, 2], 1),
        ("time,a\nms,g", "5,1\n7,2", [0, 2], 1e-3),
        ("date,a", "2026-01-31T12:00:59,1\n2026-01-31T12:01:01Z,2", [0, 2], 1),
        ("t,a", "5,1\n4,2", "has a time in line 3 that is before the one above it", None),
        ("date,a", "2026-01-31,1\nnoon,2", "has 'noon' in line 3, wanted a time", None),
    ],
)
def test_a_column_of_times(
    header: str, rows: str, times: Any, unit: float | None, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(f"{header}\n{rows}\n")
    spec = InputSpec(kind="array", shape=(4, 1), rate=50.0)
    try:
        found = read_recording(tmp_path / "x.csv", spec)
    except InputError as error:
        words = str(error).removeprefix(f"{tmp_path}/x.csv ")
    else:
        assert found.values.tolist() == [[1], [2]]
        assert found.times is not None
        assert (found.times.tolist(), found.unit) == (times, unit)
        return
    assert words == times


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
    ("x.csv", b"\xff\xfe1,2", "…/x.csv is not text in UTF-16", READ),
    ("x.csv", b"1,2\n\n3", "…/x.csv has 1 field in line 3, wanted 2 as in most lines", READ),
    ("x.csv", b"1\n3,4\n5,6", "…/x.csv has 1 field in line 1, wanted 2 as in most lines", READ),
    ("x.csv", b"1,2\n3,", "…/x.csv has '' in line 2, wanted a number", FILL),
    ("x.csv", b"a,b\n1,2\n3,\x1b[2J", "…/x.csv has '\\x1b[2J' in line 3, wanted a number", FILL),
    ("x.csv", b"1,2\n\n3,nan\n", "…/x.csv has a value that is not finite in line 3",
     "leave the line out, or look at what wrote it"),
    ("x.csv", b"1,2\n1e999,4\n", "…/x.csv has a value that is not finite in line 2",
     "leave the line out, or look at what wrote it"),
    # a first line like any other
    *(("x.csv", line + b"\n1,2,3\n4,5,6\n", f"…/x.csv has {bad!r} in line 1, wanted a number", FILL)
      for line, bad in ((b"1,,3", ""), (b",2,3", ""), (b"NA,NA,NA", "NA"), (b"abc,2,3", "abc"),
                        (b",,", ""), (b"1_0,2,3", "1_0"))),
    ("x.csv", b"x,y\n1,2\n,\n3,4\n", "…/x.csv has '' in line 3, wanted a number", FILL),
    ("x.csv", "x,y\n1,2\n".encode("utf-16-le") + b"\0\0", "…/x.csv holds bytes that are 0,"
     " wanted text", READ),
    ("x.csv", b'1,2\n"3,4\n5,6\n', "…/x.csv has a quotation in line 2 that does not end before a"
     ' separator', 'text that holds " has it twice, within quotation marks'),
    ("x.csv", b"x;y\n1.5;2\n1,5;2\n", "…/x.csv has numbers with a comma and others with a point",
     "write all fractions alike, and nothing between thousands"),
    ("x.csv", b",x\n3,1\n9,2\n", "…/x.csv has a first column without a name that does not count the"
     " readings", "name it as a channel, or remove it"),
    ("x.csv", b"1\x00,2\x00", "…/x.csv holds bytes that are 0, wanted text", READ),
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
    monkeypatch.setattr(tables, "MAX_VALUES", 5)
    for text in ("1,2\n" * 3, '"1",2\n' * 3, "1 2\n" * 3, "x,y\n" + '"1",2\n' * 3, "1\n" * 6):
        (tmp_path / "x.csv").write_text(text)
        words, hint = refusal_in(tmp_path, lambda: read_array(tmp_path / "x.csv"), InputError)
        assert words == "…/x.csv has more than 5 numbers", text
        assert hint == "save larger recordings as .npy"
    monkeypatch.setattr(tables, "MAX_LINE", 6)
    (tmp_path / "x.csv").write_text("1,2,3,4")
    words, _ = refusal_in(tmp_path, lambda: read_array(tmp_path / "x.csv"), InputError)
    assert words == "…/x.csv has more than 6 characters in line 1"


def test_numbers_are_counted_while_they_are_read(tmp_path: Path) -> None:
    for unit in (b"1\n", b"11,", b"1,2,3\n", b'"\n",', b'a"b,"c\n'):
        (tmp_path / "x.csv").write_bytes(unit * (16_000_000 // len(unit)))
        tracemalloc.start()
        with pytest.raises(InputError):
            read_array(tmp_path / "x.csv")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 90_000_000, unit  # twice the file, and the numbers that are kept


def peak_of_reading(path: Path, unit: bytes, count: int) -> int:
    """Bytes that reading so many lines takes at most."""
    path.write_bytes(unit * count)
    tracemalloc.start()
    assert read_array(path).shape == (count, 1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_a_reading_more_takes_little_more_than_its_number(tmp_path: Path) -> None:
    """A file of 64 MB once took 3.5 GB, 110 bytes a line: strings and lists were kept of each."""
    for unit in (b"1\n", b"1\r\n", b'"1"\n'):
        few, many = (peak_of_reading(tmp_path / "x.csv", unit, n) for n in (10_000, 40_000))
        # its bytes, a double, the number of its line; lists grow by an eighth ahead
        assert (many - few) / 30_000 < 2 * (len(unit) + 8 + 4), unit


AS_PROGRAMS_WRITE = {  # each holds (1300.5, -2), (900.25, 3)
    "bars": "x|y\n1300.5|-2\n900.25|3\n",
    "thousands in quotation marks": 'x,y\n"1,300.50",-2\n900.25,3\n',
    "thousands with points": "x;y\n1.300,50;-2\n900,25;3\n",
    "thousands with blanks": "x;y\n1 300,50;-2\n900,25;3\n",
    "thousands with narrow blanks": "x;y\n1\u202f300,5;-2\n900,25;3\n",
    "thousands with apostrophes": "x;y\n1'300.5;-2\n900.25;3\n",
    "a printed minus": "x,y\n1300.5,−2\n900.25,3\n",
    "names again": "x,y\n1300.5,-2\nx,y\n900.25,3\n",
    "rows counted, without names": "1,1300.5,-2\n2,900.25,3\n",
}


@each("name", AS_PROGRAMS_WRITE)
def test_numbers_as_programs_and_people_write_them(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(AS_PROGRAMS_WRITE[name], encoding="utf-8")
    assert PEN.channels is not None
    spec = replace(PEN, shape=(4, 2), channels=PEN.channels[:2])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = read_recording(tmp_path / "x.csv", spec).values
    assert found.tolist() == [[1300.5, -2.0], [900.25, 3.0]]
    assert len(said) == (name in ("names again", "rows counted, without names"))


@each("first", ["", "NA", "-", "n/a"])
def test_a_first_reading_with_a_missing_value_is_no_line_of_units(
    first: str, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(f"x,y,pen\n{first},1,1\n1,2,0\n3,4,1\n")
    words, hint = refusal_in(tmp_path, lambda: read_recording(tmp_path / "x.csv", PEN), InputError)
    assert (words, hint) == (f"…/x.csv has '{first}' in line 2, wanted a number", FILL)
    (tmp_path / "x.csv").write_text("x,y,pen\nmm,mm,1\n1,2,0\n3,4,1\n")
    assert read_recording(tmp_path / "x.csv", PEN).values.tolist() == [[1, 2, 0], [3, 4, 1]]


def test_times_of_day_are_times(tmp_path: Path) -> None:
    spec = replace(PEN, rate=50.0, whole="time")
    text = "time,x,y,pen\n23:59:58.5,1,2,1\n23:59:59,3,4,0\n"
    (tmp_path / "x.csv").write_text(text)
    found = read_recording(tmp_path / "x.csv", spec)
    assert (found.times is not None and found.times.tolist(), found.unit) == ([0, 0.5], 1.0)
    for later in ("00:00:01", "25:00:00", "noon"):  # the next day's is before the one above it
        (tmp_path / "x.csv").write_text(f"{text}{later},5,6,0\n")
        with pytest.raises(InputError, match="line 4"):
            read_recording(tmp_path / "x.csv", spec)


def test_true_and_false_are_one_and_zero(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("x,pen\n1,True\n2,false\n")
    assert read_array(tmp_path / "x.csv").tolist() == [[1, 1], [2, 0]]


def test_a_group_of_three_may_be_a_fraction_and_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('x,y\n"1,300",2\n')
    words, _ = refusal_in(tmp_path, lambda: read_array(tmp_path / "x.csv"), InputError)
    assert words == "…/x.csv has '1,300' in line 2, wanted a number"
