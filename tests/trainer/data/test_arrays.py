"""Arrays in .npz files: types, grouping, names, and what is wrong with bad ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.trainer.data import DataConfig, DataError, load_data
from handful.trainer.data.sources.arrays import FORM, load_arrays

from ...each import each

ALL_TRAIN = {"train": [0, 1], "val": [], "test": []}


def write(folder: Path, split: Any = ALL_TRAIN, **arrays: Any) -> DataConfig:
    """The arrays in a file, with a split file that trains on the first two classes."""
    np.savez(folder / "data.npz", **arrays)
    (folder / "split.json").write_text(json.dumps(split))
    return DataConfig(source=str(folder / "data.npz"), split=str(folder / "split.json"))


def refusal(config: DataConfig) -> tuple[str, str | None]:
    with pytest.raises(DataError) as error:
        load_arrays(config, "meta_train")
    return str(error.value).replace(str(Path(config.source).parent), "…"), error.value.hint


@each("dtype", [np.int16, np.uint16, np.int64])
def test_integers_are_the_numbers_they_are(tmp_path: Path, dtype: Any) -> None:
    x = np.array([[[300, 2]], [[7, 40000]]]).astype(dtype)  # int16 wraps around
    data = load_data(write(tmp_path, x=x, y=np.array([0, 1])), "meta_train")
    assert data.x.dtype == torch.float32
    assert data.x.tolist() == x.tolist()
    assert (data.input.kind, data.input.shape, data.input.scale) == ("array", (1, 2), 1.0)


@each("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_grouped_by_label_in_the_order_of_the_file(tmp_path: Path, dtype: Any) -> None:
    x = np.array([[0.5, 1], [2, 3], [4, 5], [6, 7]], dtype)
    data = load_data(write(tmp_path, x=x, y=np.array([9, 2, 9, 2], np.int16)), "meta_train")
    assert data.classes == ("2", "9")
    assert data.counts.tolist() == [2, 2]
    torch.testing.assert_close(data.x, torch.tensor([[2, 3], [6, 7], [0.5, 1], [4, 5.0]]))
    assert (data.input.kind, data.input.shape, data.input.invert) == ("array", (2,), False)


def test_pictures_and_text_labels(tmp_path: Path) -> None:
    x = np.arange(3 * 2 * 4 * 3, dtype=np.uint8).reshape(3, 2, 4, 3)
    config = write(tmp_path, x=x, y=np.array(["emu", "cat", "emu"]))
    data = load_arrays(config, "meta_train")
    assert data.classes == ("cat", "emu")
    np.testing.assert_array_equal(data.x, x[[1, 0, 2]])
    assert data.x.dtype == torch.uint8
    assert (data.input.kind, data.input.shape, data.input.colour) == ("image", (2, 4, 3), "rgb")
    torch.testing.assert_close(data.as_float(data.x)[0, 0, 0], torch.tensor([24, 25, 26]) / 255)


def test_an_index_file_names_the_classes(tmp_path: Path) -> None:
    index = {
        "classes": ["ant", "bee", "cat"],
        "class_split": {"train": ["cat"], "val": ["ant"], "test": ["bee"]},
    }
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    config = write(tmp_path, index, x=x, y=np.array([2, 0, 1]))
    assert load_arrays(config, "meta_train").classes == ("cat",)
    assert load_arrays(config, "meta_train").x.tolist() == [[0, 1]]
    assert load_arrays(config, "meta_test").x.tolist() == [[4, 5]]


def test_caltech(shared_data: Path) -> None:
    folder = shared_data / "caltech101"
    config = DataConfig(
        source=str(folder / "caltech101_embeddings.npz"),
        split=str(folder / "caltech101_index.json"),
        array="mobilenet_v1_025_128",
        labels="label",
    )
    sizes = []
    for part in ("meta_train", "meta_val", "meta_test"):
        data = load_arrays(config, part)
        sizes.append((len(data.classes), len(data.x)))
    index = json.loads((folder / "caltech101_index.json").read_text())
    assert [classes for classes, _ in sizes] == [58, 15, 20]
    assert sum(examples for _, examples in sizes) == 5790
    assert data.x.dtype == torch.float32
    assert list(data.classes) == index["class_split"]["test"]
    assert int(data.counts[0]) == sum(
        file.startswith(f"{data.classes[0]}/") for file in index["files"]
    )


def test_a_label_without_a_name(tmp_path: Path) -> None:
    index = {"classes": ["ant", "bee"], "class_split": {"train": ["ant"], "val": [], "test": []}}
    config = write(tmp_path, index, x=np.zeros((2, 3)), y=np.array([0, 2]))
    wanted = "…/data.npz `y` has label 2, …/split.json names classes 0 to 1"
    assert refusal(config) == (wanted, None)


def test_a_class_that_is_named_twice(tmp_path: Path) -> None:
    index = {"classes": ["ant", "bee", "ant"], "class_split": ALL_TRAIN}
    config = write(tmp_path, index, x=np.zeros((2, 3)), y=np.array([0, 2]))
    assert refusal(config) == ("`classes` in …/split.json has ant twice", None)


LABELS = np.array([0, 1])
BAD_ARRAYS: dict[str, tuple[dict[str, Any], tuple[str, str | None]]] = {
    "no such array": (
        {"images": np.zeros((2, 3)), "y": LABELS},
        (
            "no array `x` in …/data.npz, there are: images, y",
            "data.array names the examples, data.labels their labels",
        ),
    ),
    "no labels": (
        {"x": np.zeros((2, 3))},
        (
            "no array `y` in …/data.npz, there are: x",
            "data.array names the examples, data.labels their labels",
        ),
    ),
    "objects": (
        {"x": np.array([[1], None], dtype=object), "y": LABELS},
        (
            "…/data.npz `x` holds Python objects, wanted numbers or text",
            "they would be unpickled, which can run any code; save a plain array",
        ),
    ),
    "truths": (
        {"x": np.zeros((2, 3), bool), "y": LABELS},
        ("…/data.npz `x` is bool [2, 3], wanted another type or shape", FORM),
    ),
    "pixels without channels": (
        {"x": np.zeros((2, 8, 8), np.uint8), "y": LABELS},
        ("…/data.npz `x` is uint8 [2, 8, 8], wanted another type or shape", FORM),
    ),
    "numbers, not vectors": (
        {"x": np.zeros(2), "y": LABELS},
        ("…/data.npz `x` is float64 [2], wanted another type or shape", FORM),
    ),
    "no examples": (
        {"x": np.zeros((0, 3)), "y": LABELS[:0]},
        ("…/data.npz `x` is float64 [0, 3], wanted at least one example", FORM),
    ),
    "not a number": (
        {"x": np.array([[0.0, 1.0], [np.nan, 1.0]]), "y": LABELS},
        ("…/data.npz `x` has a value that is not finite in row 1", None),
    ),
    "too large for float32": (
        {"x": np.array([[1e39, 1.0], [0.0, 1.0]]), "y": LABELS},
        ("…/data.npz `x` has a value that is not finite in row 0", None),
    ),
    "float labels": (
        {"x": np.zeros((2, 3)), "y": LABELS.astype(float)},
        ("…/data.npz `y` is float64 [2], wanted [M] integers or text", None),
    ),
    "one-hot labels": (
        {"x": np.zeros((2, 3)), "y": np.eye(2, dtype=int)},
        ("…/data.npz `y` is int64 [2, 2], wanted [M] integers or text", None),
    ),
    "too few labels": (
        {"x": np.zeros((3, 3)), "y": LABELS},
        ("…/data.npz `y` has 2 labels for 3 examples", None),
    ),
}


@each("case", BAD_ARRAYS)
def test_bad_arrays_are_named(tmp_path: Path, case: str) -> None:
    arrays, wanted = BAD_ARRAYS[case]
    assert refusal(write(tmp_path, **arrays)) == wanted


def test_bad_files_are_named(tmp_path: Path) -> None:
    config = DataConfig(source=str(tmp_path / "data.npz"), split="random")
    assert refusal(config) == ("no file …/data.npz", None)
    (tmp_path / "data.npz").write_bytes(b"not an archive")
    message, _ = refusal(config)
    assert message.startswith("…/data.npz is not a whole npz archive: ")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "data.npz")
    assert refusal(config) == ("…/data.npz is a single array, wanted an npz archive", "np.savez")


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    config = write(tmp_path, x=np.zeros((20, 30)), y=np.arange(20))
    file = tmp_path / "data.npz"
    data = bytearray(file.read_bytes())
    data[600] ^= 0xFF  # inside x: its checksum no longer holds
    file.write_bytes(bytes(data))
    message, _ = refusal(config)
    assert message.startswith("…/data.npz `x` cannot be read: Bad CRC-32 ")
