"""A folder of images: what is read, in which order, and what is wrong with bad ones."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handful.runtime.inputs.examples import KINDS
from handful.runtime.inputs.folders import LABELS, class_folders
from handful.runtime.inputs.pictures import read_image
from handful.trainer.data import DataConfig, DataError, load_data
from handful.trainer.data.layout import lay_out
from handful.trainer.data.sources.pictures import load_folder


def save(path: Path, pixels: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def flat(path: Path, value: int, size: tuple[int, int] = (6, 4)) -> Path:
    return save(path, np.full(size, value))


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Three classes of plain grey pictures: cat 10 and 11, dog 20, emu 30."""
    folder = tmp_path / "animals"
    for name, value in (("dog/a", 20), ("cat/2", 11), ("cat/1", 10), ("emu/a", 30)):
        flat(folder / f"{name}.png", value)
    (folder / "all.json").write_text(
        json.dumps({"train": ["emu", "cat"], "val": ["dog"], "test": []})
    )
    return folder


def config(folder: Path, **changes: Any) -> DataConfig:
    settings = {"split": str(folder / "all.json"), "image_size": 4, **changes}
    return DataConfig(source=str(folder), **settings)


def test_classes_are_sub_folders_and_a_split_takes_some(animals: Path) -> None:
    data = load_data(config(animals), "meta_train")
    assert data.classes == ("emu", "cat")
    assert data.counts.tolist() == [1, 2]
    assert data.x.shape == (3, 4, 4, 1)
    assert data.x[:, 0, 0, 0].tolist() == [30, 10, 11]


def test_colour_and_crop(tmp_path: Path) -> None:
    row = np.repeat([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], 2, axis=0)  # [2, 4, 3]
    save(tmp_path / "a" / "x.png", row)
    for name in "bcde":  # the random split of five classes: three, one and one
        save(tmp_path / name / "x.png", row)
    data = load_folder(config(tmp_path, image_size=2, colour="rgb", split="random"), "meta_test")
    assert data.x.tolist() == [[[[0, 255, 0], [0, 0, 255]]] * 2]
    assert data.input.shape == (2, 2, 3)
    assert data.input.colour == "rgb"
    assert data.input.invert is False


def test_training_sees_what_the_runtime_will_see(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in "abcde":
        save(tmp_path / name / "x.png", rng.integers(0, 256, (37, 53, 3)))
    data = load_folder(config(tmp_path, image_size=16, colour="rgb", split="random"), "meta_train")
    for row, name in zip(data.as_float(data.x), data.classes, strict=True):
        seen = read_image(tmp_path / name / "x.png", data.input)
        np.testing.assert_allclose(row.numpy(), seen, atol=1e-6)


def test_resized_to_more_than_is_cut_out(tmp_path: Path) -> None:
    rings = np.zeros((8, 8), np.uint8)
    rings[2:6, 2:6] = 200  # the middle half
    for name in "abcde":
        save(tmp_path / name / "x.png", rings)
    settings = config(tmp_path, image_size=2, resize=4, interpolation="box", split="random")
    data = load_folder(settings, "meta_test")
    assert data.x.tolist() == [[[[200], [200]]] * 2]
    assert (data.input.shape, data.input.resize) == ((2, 2, 1), 4)
    assert data.input.interpolation == "box"
    with pytest.raises(DataError) as error:
        load_folder(config(tmp_path, image_size=8, resize=4, split="random"), "meta_test")
    assert str(error.value) == ("data.resize is 4, pictures of 8 pixels a side cannot be cut out")
    assert error.value.hint == "wanted 8 at least, or no data.resize"


def test_hidden_files_and_files_beside_the_classes_are_no_images(animals: Path) -> None:
    (animals / "README.md").write_text("about animals")
    (animals / ".cache").mkdir()
    (animals / "cat" / ".DS_Store").write_bytes(b"x")
    (animals / "cat" / "Thumbs.db").write_bytes(b"x")
    assert load_folder(config(animals), "meta_train").counts.tolist() == [1, 2]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        load_folder(config(tmp_path / "none"), "meta_train")
    assert str(error.value) == f"no folder {tmp_path / 'none'}"
    assert error.value.hint == LABELS


def test_images_that_lie_loose(tmp_path: Path) -> None:
    flat(tmp_path / "1.png", 1)
    with pytest.raises(DataError) as error:
        load_folder(config(tmp_path), "meta_train")
    assert str(error.value) == f"no sub-folders in {tmp_path}"
    assert error.value.hint == "one sub-folder a class, named as the class"


def test_an_empty_class(animals: Path) -> None:
    (animals / "fox").mkdir()
    with pytest.raises(DataError) as error:
        load_folder(config(animals), "meta_train")
    assert str(error.value) == f"no pictures in {animals / 'fox'}"
    assert error.value.hint == "add one at least, or remove the folder"


def test_pictures_beside_the_classes_and_folders_inside_them_are_refused(animals: Path) -> None:
    flat(animals / "1.png", 1)
    flat(animals / "cat" / "old" / "1.png", 1)
    with pytest.raises(DataError) as error:
        load_folder(config(animals), "meta_val")
    assert str(error.value) == (
        f"2 things are wrong in {animals}:\n"
        f"  1.png lies in {animals} itself, wanted it in a sub-folder\n"
        f"  {animals / 'cat' / 'old'} is a folder inside a class, wanted a picture file"
    )
    assert error.value.hint == f"{LABELS}, with nothing but its pictures in it"


def test_training_takes_a_folder_as_a_device_does(animals: Path) -> None:
    (animals / "cat" / "Thumbs.db").write_bytes(b"x")
    files = KINDS["image"].files
    found = [(row.label, row.file) for row in lay_out(config(animals), files).files]
    classes = class_folders(animals, files)
    assert found == [(label, file) for label in classes for file in classes[label]]


def test_all_files_that_are_no_pictures(animals: Path) -> None:
    for name in ("cat/3.png", "emu/notes.txt"):
        (animals / name).write_text("not a picture")
    with pytest.raises(DataError) as error:
        load_folder(config(animals), "meta_train")
    assert str(error.value) == (
        "2 of 5 pictures cannot be read:\n"
        f"  {animals / 'emu' / 'notes.txt'} is not a picture that can be read\n"
        f"  {animals / 'cat' / '3.png'} is not a picture that can be read"
    )
    assert error.value.hint == "mend or remove them, or leave them out with --skip-bad"


def test_a_file_that_is_no_picture(animals: Path) -> None:
    (animals / "cat" / "3.png").write_text("not a picture")
    with pytest.raises(DataError) as error:
        load_folder(config(animals), "meta_train")
    assert str(error.value) == f"{animals / 'cat' / '3.png'} is not a picture that can be read"
    assert error.value.hint == "mend or remove them, or leave them out with --skip-bad"


def test_a_truncated_picture(animals: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64))
    file = save(animals / "cat" / "3.png", noise)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(DataError) as error:
        load_folder(config(animals), "meta_train")
    assert str(error.value).startswith(f"{file} cannot be decoded: ")


def test_without_pillow(animals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(DataError) as error:
        load_folder(config(animals), "meta_train")
    assert str(error.value) == "reading pictures needs Pillow, which is not installed"
    assert error.value.hint == "in a clone of handful: pip install '.[train]'"
