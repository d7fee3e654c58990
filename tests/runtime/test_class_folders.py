"""A folder with one sub-folder a class: what belongs to it, and all that is wrong at once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handful.runtime.errors import InputError, SupportSetError
from handful.runtime.inputs.examples import KINDS, files_of, read_folder
from handful.runtime.inputs.folders import ONE_LINE, files_below, label_of, quote_path
from handful.runtime.inputs.pictures import HEIC, read_image
from handful.runtime.package.manifest import InputSpec

from ..each import each
from .refusal import refusal_in

GREY = InputSpec(
    kind="image", shape=(2, 2, 1), layout="HWC", range=(0.0, 1.0), colour="grey",
    scale=1 / 255, resize=2, interpolation="box",
)  # fmt: skip
LEFT_BEHIND = (
    *(".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Picasa.ini", "._1.png", "Icon\r"),
    *("1.png:Zone.Identifier", "1.png\uf03aZone.Identifier", "Thumbs.db:encryptable"),
    *("1.png:Zone.Identifier:$DATA", "1.png:com.apple.quarantine", "ehthumbs_vista.db"),
    *("1.png~", "~$1.png", "IconCache.db", "autorun.inf"),
)
FOLDERS_LEFT_BEHIND = (
    *(".git", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"),
    *("lost+found", "#recycle", "@Recently-Snapshot", "RECYCLER", "FOUND.000", "LOST.DIR"),
    "__pycache__",
)
LABELS = "one sub-folder a class, named as the class"
LAYOUT = f"{LABELS}, with nothing but its pictures in it"


def picture(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 2), level, np.uint8)).save(path)
    return path


def refused(folder: Path) -> tuple[str, str | None]:
    return refusal_in(folder, lambda: files_of(folder, GREY), SupportSetError)


def test_classes_and_files_are_in_order_of_name(tmp_path: Path) -> None:
    wanted = {
        "A": [picture(tmp_path / "A" / "1.png")],
        "a": [picture(tmp_path / "a" / name) for name in ("10.png", "2.png", "B.png", "a.png")],
        "ö": [picture(tmp_path / "ö" / "1.png")],
    }
    classes = files_of(str(tmp_path), GREY)
    assert classes == wanted
    assert list(classes) == ["A", "a", "ö"]  # handwriting has classes that differ in case alone


def test_labels_do_not_depend_on_the_locale(tmp_path: Path) -> None:
    picture(tmp_path / "猫" / "1.png")
    code = (
        "import sys, handful; spec = handful.load('omniglot-leo').input;"
        " print(*map(ascii, handful.files_of(sys.argv[1], spec)))"
    )
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    printed = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **ascii_alone},
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    assert printed == "'\\u732b'\n"


def test_what_is_passed_over(tmp_path: Path) -> None:
    file = picture(tmp_path / "ka" / "1.png")
    for name in LEFT_BEHIND:
        (tmp_path / "ka" / name).write_bytes(b"x")
        (tmp_path / name).write_bytes(b"x")
    for name in FOLDERS_LEFT_BEHIND:
        (tmp_path / name).mkdir()
        (tmp_path / "ka" / name).mkdir()
    for name in ("README.md", "split.json", "labels"):
        (tmp_path / name).write_text("about the pictures")
    assert files_of(tmp_path, GREY) == {"ka": [file]}
    found = files_below(tmp_path / "ka", KINDS["image"].files)
    assert (found.files, found.list_passed_over(tmp_path)) == ([file], [])


def test_what_is_named_as_an_example(tmp_path: Path) -> None:
    """Every form that is read by its name is read in a folder; what must be converted is said."""
    for kind, names, others in (
        ("image", "a.JFIF a.jpe a.pnm a.apng a.mpo a.tif a.jpg", "a.heic a.HEIF a.cr2 a.svg a.txt"),
        ("audio", "a.wav a.WAVE", "a.mp3 a.m4a a.flac a.csv"),
        ("array", "a.npy a.csv a.TSV a.txt", "README.txt license.txt a.npz"),
    ):
        folder = tmp_path / kind
        folder.mkdir()
        for name in (*names.split(), *others.split()):
            (folder / name).write_bytes(b"x")
        found = files_below(folder, KINDS[kind].files)
        assert {file.name for file in found.files} == {*names.split()}, kind
        said = "\n".join(found.list_passed_over(folder))
        assert [name for name in others.split() if name not in said] == [], kind
    pictures = files_below(tmp_path / "image", KINDS["image"].files).list_passed_over(tmp_path)
    assert pictures[0].startswith(
        "2 pictures in … passed over, .heic and .heif files are not read: a.HEIF, a.heic; convert"
        " it to JPEG or PNG: magick IN OUT.jpg, on a Mac sips".replace("…", str(tmp_path))
    )


@each(
    ("kind", "begins"),
    [
        ("AVIF", b"\0\0\0\x18ftypavif"),
        ("SVG", b"<svg xmlns="),
        ("JXL", b"\xff\x0a"),
        ("JP2", b"\0\0\0\x0cjP  \r\n\x87\n"),
        ("PSD", b"8BPS\0\1"),
    ],
)
def test_a_file_of_another_kind_is_known_by_how_it_begins(
    kind: str, begins: bytes, tmp_path: Path
) -> None:
    (tmp_path / "IMG_1.jpg").write_bytes(begins + b"0" * 40)
    with pytest.raises(InputError) as error:
        read_image(tmp_path / "IMG_1.jpg", GREY)
    assert str(error.value) == f"{tmp_path}/IMG_1.jpg is a file of {kind}, which is not read"
    assert error.value.hint == "convert it to JPEG or PNG: magick IN OUT.jpg"


def test_a_heic_file_of_another_name_says_how_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(InputError) as error:
        read_image(tmp_path / "IMG_1.jpg", GREY)
    words = f"{tmp_path}/IMG_1.jpg is a file of HEIC, which is not read"
    assert (str(error.value), error.value.hint) == (words, HEIC)


@pytest.mark.parametrize("label", ["", " ", "a\nb", "a\tb", "a\u202eb", "a\ud800", "a\x85b"])
def test_what_cannot_be_a_label(label: str) -> None:
    with pytest.raises(SupportSetError, match=r"^label is .*, which cannot be a label$"):
        label_of(label)


def test_a_label_is_plain_text_in_its_composed_form() -> None:
    for label in ("猫", "👩\u200d🚀", "می\u200cخواهم", "a b", "\u3000x", "\u00e9cru"):
        assert label_of(label) == label
    assert label_of("e\u0301cru") == "\u00e9cru"


def test_links_are_followed(tmp_path: Path) -> None:
    picture(tmp_path / "elsewhere" / "ka" / "1.png")
    (tmp_path / "photos" / "ga").mkdir(parents=True)
    (tmp_path / "photos" / "ka").symlink_to(tmp_path / "elsewhere" / "ka")
    (tmp_path / "photos" / "ga" / "1.png").symlink_to(tmp_path / "elsewhere" / "ka" / "1.png")
    classes = files_of(tmp_path / "photos", GREY)
    assert {label: [file.name for file in files] for label, files in classes.items()} == {
        "ga": ["1.png"],
        "ka": ["1.png"],
    }


def test_a_label_is_in_its_composed_form(tmp_path: Path) -> None:
    picture(tmp_path / "e\u0301cru" / "1.png")  # as macOS may write it
    assert list(files_of(tmp_path, GREY)) == ["\u00e9cru"]
    picture(tmp_path / "\u00e9cru" / "1.png")
    words = "two folders in … are named \u00e9cru, in different Unicode forms"
    assert refused(tmp_path) == (words, "rename one, or put the files of both into one")


@pytest.mark.parametrize(
    ("name", "words"), [(b"a\tb", "a\\tb"), (b"a\nb", "a\\nb"), (b"caf\xe9", "caf\\udce9")]
)
def test_names_that_cannot_be_labels(tmp_path: Path, name: bytes, words: str) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/" + name)
    picture(tmp_path / os.fsdecode(name) / "1.png")
    assert refused(tmp_path) == (
        f"the folder {words} in … has a name that cannot be a label",
        f"rename it: {ONE_LINE}",
    )


def test_what_is_wrong_with_one_thing(tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert refused(none) == ("no folder …", LABELS)
    assert refused(picture(tmp_path / "file" / "1.png"))[0] == "… is a file, wanted a folder"
    none.mkdir()
    assert refused(none) == ("no sub-folders in …", LABELS)
    picture(none / "1.png")
    assert refused(none) == ("no sub-folders in …", LABELS)
    (none / "ka").mkdir()
    (none / "1.png").unlink()
    assert refused(none) == ("no pictures in …/ka", "add one at least, or remove the folder")
    picture(none / "ka" / "1.png")
    picture(none / "2.JPG".lower())
    assert refused(none) == ("2.jpg lies in … itself, wanted it in a sub-folder", LABELS)


def test_a_class_that_is_a_link_to_nowhere_is_not_left_out_unsaid(tmp_path: Path) -> None:
    picture(tmp_path / "ka" / "1.png")
    (tmp_path / "ga").symlink_to("/a drive/that is not there")
    assert refused(tmp_path) == ("…/ga is a link that leads nowhere", "mend the link, or remove it")


def test_all_that_is_wrong_is_listed_at_once(tmp_path: Path) -> None:
    picture(tmp_path / "ka" / "1.png")
    picture(tmp_path / "ka" / "old" / "1.png")
    (tmp_path / "ka" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "ka" / "pipe")
    (tmp_path / "ga").mkdir()
    picture(tmp_path / "2.PNG".lower())
    assert refused(tmp_path) == (
        "5 things are wrong in …:\n"
        "  2.png lies in … itself, wanted it in a sub-folder\n"
        "  no pictures in …/ga\n"
        "  …/ka/gone.png is no file, and no link to one\n"
        "  …/ka/old is a folder inside a class, wanted a picture file\n"
        "  …/ka/pipe is no file, and no link to one",
        LAYOUT,
    )


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    for i in range(25):
        (tmp_path / f"{i:02}").mkdir()
    lines = refused(tmp_path)[0].splitlines()
    assert lines[0] == "25 things are wrong in …:"
    assert lines[20:] == ["  no pictures in …/19", "  and 5 more"]


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "ka" / "1.png")
    real = os.scandir

    def locked(path: Any) -> Any:
        if Path(path).name == "ka":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", locked)
    assert refused(tmp_path) == ("cannot list …/ka: Permission denied", None)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "a\ud800b"])
def test_names_that_are_no_folders(name: str) -> None:
    with pytest.raises(SupportSetError) as error:
        files_of(name, GREY)
    assert str(error.value) == f"no folder {quote_path(name)}"


def test_all_unreadable_pictures_are_listed_at_once(tmp_path: Path) -> None:
    picture(tmp_path / "ka" / "1.png")
    for name in ("ka/2.png", "ga/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    assert refusal_in(tmp_path, lambda: read_folder(tmp_path, GREY), InputError) == (
        "2 of 3 pictures cannot be read:\n"
        "  …/ga/1.txt is not a picture that can be read\n"
        "  …/ka/2.png is not a picture that can be read",
        "mend them, or leave them out",
    )
    (tmp_path / "ga" / "1.txt").unlink()
    picture(tmp_path / "ga" / "1.png")
    assert refusal_in(tmp_path, lambda: read_folder(tmp_path, GREY), InputError) == (
        "…/ka/2.png is not a picture that can be read",
        "one of PNG, JPEG, BMP, GIF, WEBP, TIFF, PPM",
    )


def test_more_pictures_than_are_taken(tmp_path: Path) -> None:
    for label in ("ga", "ka"):
        picture(tmp_path / label / "1.png").write_bytes(b"never opened")
    assert refusal_in(tmp_path, lambda: read_folder(tmp_path, GREY, most=1), SupportSetError) == (
        "2 pictures in …, at most 1 are taken",
        "leave some of them out",
    )
