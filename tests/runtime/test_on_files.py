"""Adapting and predicting on files: every bad one is named, and nothing is written too early."""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handful.runtime.errors import (
    HandfulError,
    InputError,
    InputWarning,
    SupportSetError,
    TaskFileError,
)
from handful.runtime.inputs.folders import Unread
from handful.runtime.inputs.pictures import read_image
from handful.runtime.learner import load
from handful.runtime.tools.on_files import adapt_folder, add_folder, predict_files

from .refusal import refusal_in


def picture(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((9, 12), level, np.uint8)
    pixels[4] += 9  # a line, so that it is no blank
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, level in (("dark", 30), ("light", 190)):
        for i in (0, 1):
            picture(tmp_path / "photos" / label / f"{i}.png", level + 30 * i)
    return tmp_path / "photos"


def test_from_a_folder_to_answers(packages: Any, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "task.npz"
    task = adapt_folder(packages("head"), photos, out)
    assert task.counts == {"dark": 2, "light": 2}
    new = picture(tmp_path / "new.png", 35)
    (answer,) = predict_files(out, [new], package=packages("head"))
    assert answer.file == str(new)
    assert answer.label in task.classes
    assert answer.score == max((answer.probabilities or {}).values())


def test_all_pictures_that_cannot_be_predicted_on_are_named(
    packages: Any, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "task.npz"
    adapt_folder(packages("head"), photos, out)
    (tmp_path / "bad.png").write_bytes(b"bad")
    new = [tmp_path / name for name in ("bad.png", "none.png", "a\0b")]
    files = [picture(tmp_path / "new.png", 35), *new]
    words, hint = refusal_in(
        tmp_path, lambda: predict_files(out, files, package=packages("head")), InputError
    )
    assert words == (
        "3 of 4 pictures cannot be read:\n"
        "  …/bad.png is not a picture that can be read\n"
        "  no file …/none.png\n"
        "  …/a\\x00b cannot be the name of a file"
    )
    assert hint == "mend them, or leave them out"
    unread: list[Unread] = []
    (answer,) = predict_files(out, files, package=packages("head"), unread=unread)
    assert answer.file == str(tmp_path / "new.png")
    assert [file.file for file in unread] == [str(new[0]), str(new[1]), f"{tmp_path}/a\\x00b"]
    assert unread[1].error == f"no file {tmp_path}/none.png"


def test_arguments_in_another_order_are_named(packages: Any, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "task.npz"
    adapt_folder(packages("head"), photos, out)
    new, package = picture(tmp_path / "new.png", 35), packages("head")
    for call, words, hint in (
        (lambda: predict_files(new, [out]), "new.png is no task file, …/task.npz is one", "first"),
        (lambda: predict_files(package, [new]), "is a package, wanted a task file", "adapt"),
        (lambda: predict_files(photos, [new]), "is a folder, wanted a task file", "first"),
        (lambda: add_folder(photos, out, out, force=True), "is no task file, …", "first"),
        (
            lambda: adapt_folder(photos, package, tmp_path / "t.npz"),
            "…/photos is no package, ",
            "first",
        ),
        (lambda: predict_files(tmp_path / "no.npz", [new]), "no file no.npz", "handful adapt"),
    ):
        with pytest.raises(HandfulError) as error:
            call()
        assert words in str(error.value).replace(str(tmp_path), "…"), words
        assert hint in str(error.value.hint), words


def test_a_folder_stands_for_the_files_in_it(packages: Any, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "task.npz"
    adapt_folder(packages("head"), photos, out)
    picture(photos / "0.JPG", 30)
    picture(photos / ".hidden.png", 30)
    picture(photos / "light" / "deep" / "a.png", 30)
    (photos / "light" / "notes.txt").write_text("passed over")
    (photos / "dark" / "circle").symlink_to(photos)
    picture(tmp_path / "elsewhere" / "b.jfif.png", 30).rename(tmp_path / "elsewhere" / "b.pnm")
    (photos / "light" / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.warns(InputWarning) as warned:
        answers = predict_files(out, [photos / "dark" / "1.png", photos], package=packages("head"))
    assert [str(one.message).replace(str(tmp_path), "…") for one in warned] == [
        "1 file in …/photos passed over, not named as pictures: notes.txt",
        "1 folder in …/photos passed over, linked to what is looked at already:"
        " …/photos/dark/circle",
    ]
    assert [answer.file.removeprefix(f"{photos}/") for answer in answers] == [
        *("dark/1.png", "0.JPG", "dark/0.png", "dark/1.png"),
        *("light/0.png", "light/1.png", "light/deep/a.png", "light/linked/b.pnm"),
    ]
    (tmp_path / "empty").mkdir()
    words, hint = refusal_in(
        tmp_path,
        lambda: predict_files(out, [tmp_path / "empty"], package=packages("head")),
        SupportSetError,
    )
    assert words == "no pictures in …/empty"
    assert hint == (
        "files whose names end with .png, .apng, .jpg, .jpeg, .jpe, .jfif, .mpo, .bmp, .gif, .webp,"
        " .tif, .tiff, .ppm, .pgm, .pbm, .pnm"
    )


def test_what_pillow_only_warns_of_is_read_in_silence(
    packages: Any, photos: Path, tmp_path: Path
) -> None:
    """Warnings are errors in these tests."""
    file = photos / "dark" / "2.jpg"
    pixels = np.full((12, 9), 100, np.uint8)
    pixels[6] += 30
    Image.fromarray(pixels).save(file)
    data = file.read_bytes()
    odd = b"\xff\xe2" + struct.pack(">H", 10) + b"MPF\0junk"  # metadata of a picture of several
    file.write_bytes(data[:2] + odd + data[2:])
    with pytest.raises(InputError, match="malformed MPO"):
        read_image(file, load(packages("head")).input)
    task = adapt_folder(packages("head"), photos, tmp_path / "task.npz")
    assert task.counts == {"dark": 3, "light": 2}
    (answer,) = predict_files(tmp_path / "task.npz", [file], package=packages("head"))
    assert answer.label == "dark"


def test_a_file_name_stays_on_its_line(packages: Any, photos: Path, tmp_path: Path) -> None:
    adapt_folder(packages("head"), photos, tmp_path / "task.npz")
    odd = picture(tmp_path / "a.png", 30).rename(tmp_path / os.fsdecode(b"caf\xe9\t\n.png"))
    (answer,) = predict_files(tmp_path / "task.npz", [odd], package=packages("head"))
    assert answer.file == f"{tmp_path}/caf\\udce9\\t\\n.png"


def test_nothing_is_written_before_all_is_read(packages: Any, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "task.npz"
    picture(photos / "dark" / "more" / "1.png", 3)
    words, hint = refusal_in(
        tmp_path, lambda: adapt_folder(packages("head"), photos, out), SupportSetError
    )
    assert words == "…/photos/dark/more is a folder inside a class, wanted a picture file"
    assert hint == "move its pictures up, or make it a class"
    assert not out.exists()


def test_a_link_that_leads_nowhere_is_not_written_over(
    packages: Any, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "task.npz"
    out.symlink_to("nowhere.npz")
    words, hint = refusal_in(
        tmp_path, lambda: adapt_folder(packages("head"), photos, out), TaskFileError
    )
    assert words == "…/task.npz exists"
    assert hint == "name another file, or replace it with --force"
    assert out.is_symlink()
