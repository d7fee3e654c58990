"""Files that cannot be read: all of them named at once, or left out and remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from handful.trainer.data import DataConfig, DataError, load_data
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.splits import PARTS
from handful.trainer.settings.errors import BadFilesError
from handful.trainer.training.config import RunConfig, from_dict
from handful.trainer.training.data import RunData, read_data

from .test_folder import flat

SMALL = {"way": 2, "queries": 1, "validation_way": 2, "validation_queries": 1}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty classes of four pictures, and in one of each part a file that is none."""
    for c in range(20):
        for k in range(4):
            flat(tmp_path / f"c{c:02}" / f"{k}.png", 5 * c + k)
    for part in PARTS:
        (tmp_path / load_data(data(tmp_path), part).classes[0] / "bad.png").write_text("none")
    return tmp_path


def data(folder: Path) -> DataConfig:
    return DataConfig(source=str(folder), split="random", rotations=False, image_size=4)


def config(folder: Path) -> RunConfig:
    settings = {"source": str(folder), "split": "random", "rotations": False, "image_size": 4}
    return from_dict(
        {"learner": {"name": "nearest"}, "data": settings, "meta": SMALL}, where="here"
    )


def bad_files(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.glob("*/bad.png"))


def test_those_of_all_parts_are_named_at_once(pictures: Path) -> None:
    with pytest.raises(BadFilesError) as caught:
        read_data(config(pictures), None)
    first, *lines = str(caught.value).splitlines()
    assert first == "3 of 83 pictures cannot be read:"
    assert sorted(lines) == [
        f"  {pictures / file} is not a picture that can be read" for file in bad_files(pictures)
    ]
    assert caught.value.hint == "mend or remove them, or leave them out with --skip-bad"
    bad = pictures / bad_files(pictures)[0]
    bad.rename(bad.with_suffix(".heic"))
    with pytest.raises(BadFilesError) as caught:
        read_data(config(pictures), None)
    assert f"{bad.with_suffix('.heic')} is a file of HEIC, which is not read" in str(caught.value)
    assert "--skip-bad; convert it to JPEG or PNG: magick IN OUT.jpg" in str(caught.value.hint)


def test_they_are_left_out_when_that_is_asked_and_again_later(pictures: Path) -> None:
    files = bad_files(pictures)
    data: RunData = read_data(config(pictures), None, skip_bad=True)
    assert data.record.left_out == tuple(files)
    assert data.remarks == (f"left out, since they cannot be read: {', '.join(files)}",)
    flat(pictures / files[0], 7)  # mended since: it was not trained on, and is not from now on
    again = read_data(config(pictures), data.record)
    assert isinstance(again.train, LabelledSet)
    assert isinstance(data.train, LabelledSet)
    assert again.train.x.equal(data.train.x)
    assert again.remarks == ()
    (pictures / files[0]).with_name("worse.png").write_text("none")
    with pytest.raises(BadFilesError, match=r"worse.png is not a picture"):
        read_data(config(pictures), data.record)


def test_a_class_of_bad_files_alone_is_refused(pictures: Path) -> None:
    folder = (pictures / bad_files(pictures)[0]).parent
    for file in folder.iterdir():
        file.write_text("none")
    with pytest.raises(DataError) as caught:
        read_data(config(pictures), None, skip_bad=True)
    assert str(caught.value) == (
        f"class {folder.name} in {pictures} has no examples that can be read"
    )
