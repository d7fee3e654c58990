"""Splits by class: disjoint, complete, repeatable, and named exactly when wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from handful.runtime.package.manifest import InputSpec
from handful.trainer.data import DataError, LabelledSet
from handful.trainer.data.splits import PARTS, Part, choose, random_split, read_split, split

from ...each import each

CLASSES = ("ant", "bee", "cat", "dog")


def listed(path: Path, content: Any) -> Path:
    path = path / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_random_split_is_64_16_20_and_leaves_nothing_out() -> None:
    parts: list[Part] = ["meta_train", "meta_val", "meta_test"]
    assert tuple(parts) == PARTS
    indices = [random_split(100, part, 3) for part in parts]
    assert list(map(len, indices)) == [64, 16, 20]
    assert sorted(index for part in indices for index in part) == list(range(100))
    assert indices[0] == sorted(indices[0]) == random_split(100, "meta_train", 3)
    assert indices[0] != random_split(100, "meta_train", 4)


@each(
    "content",
    [
        {"meta_train": ["dog", "ant"], "meta_val": ["bee"], "meta_test": ["cat"]},
        {"train": ["dog", "ant"], "val": ["bee"], "test": ["cat"]},
        {"meta_train": [3, 0], "meta_val": [1], "meta_test": [2]},
        {"classes": [], "class_split": {"train": ["dog", "ant"], "val": ["bee"], "test": ["cat"]}},
    ],
)
def test_the_forms_of_a_listed_split(tmp_path: Path, content: Any) -> None:
    path = listed(tmp_path, content)
    assert read_split(path, CLASSES, "meta_train") == [3, 0]
    assert read_split(path, CLASSES, "meta_val") == [1]
    assert read_split(path, CLASSES, "meta_test") == [2]


def test_an_index_file_numbers_its_own_classes(tmp_path: Path) -> None:
    names = ["dog", "fox", "cat", "bee", "ant"]  # in another order, and one that we do not have
    index = {"classes": names, "class_split": {"train": [0, 4], "val": [3], "test": [2]}}
    path = listed(tmp_path, index)
    assert read_split(path, CLASSES, "meta_train") == [3, 0]
    assert read_split(path, CLASSES, "meta_test") == [2]
    index["class_split"] = {"train": [1], "val": [], "test": []}
    with pytest.raises(DataError) as error:
        read_split(listed(tmp_path, index), CLASSES, "meta_train")
    assert str(error.value) == (
        f"split file {path} lists 1 in meta_train, the data have no such class"
    )
    assert error.value.hint == "the data have, for one, ant"


BAD: dict[str, tuple[Any, str]] = {
    "not an object": (
        ["ant"],
        "split file … is not an object of meta_train, meta_val, meta_test",
    ),
    "no list": ({"train": ["ant"], "val": []}, "split file … has no list meta_test"),
    "unknown class": (
        {"train": ["ant"], "val": ["fox"], "test": []},
        "split file … lists fox in meta_val, the data have no such class",
    ),
    "unknown number": (
        {"train": [4], "val": [], "test": []},
        "split file … lists 4 in meta_train, the data have no such class",
    ),
    "true, which is no number": (
        {"train": [True], "val": [], "test": []},
        "split file … lists True in meta_train, the data have no such class",
    ),
    "a class twice in a part": (
        {"train": ["ant", 0], "val": [], "test": []},
        "split file … lists 0 twice in meta_train",
    ),
    "a class in two parts": (
        {"train": ["ant", "bee"], "val": ["cat"], "test": ["bee"]},
        "split file … has class bee in meta_test and in meta_train",
    ),
    "not JSON": (
        "{",
        "split file … is not JSON: Expecting property name enclosed in double quotes:"
        " line 1 column 2 (char 1)",
    ),
}


@each("case", BAD)
def test_bad_split_files_are_named(tmp_path: Path, case: str) -> None:
    content, wanted = BAD[case]
    path = listed(tmp_path, content)
    with pytest.raises(DataError) as error:
        read_split(path, CLASSES, "meta_train")
    assert str(error.value) == wanted.replace("…", str(path))


def test_a_split_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_split(tmp_path / "none.json", CLASSES, "meta_train")
    assert str(error.value) == f"no split file {tmp_path / 'none.json'}"
    assert error.value.hint == (
        'data.split is "random" or a JSON file; Omniglot has "vinyals" and "lake"'
    )


@each("how", ["vinyals", "lake"])
def test_the_splits_of_omniglot_are_for_omniglot(how: str) -> None:
    with pytest.raises(DataError) as error:
        choose(CLASSES, how, "meta_train", 0)
    assert str(error.value) == f"the split {how} is Omniglot's"
    assert error.value.hint == 'set data.split = "random"'


def test_split_takes_the_classes_and_refuses_an_empty_part(tmp_path: Path) -> None:
    spec = InputSpec(kind="array", shape=(1,))
    x = torch.arange(4.0)[:, None]
    data = LabelledSet(x, torch.ones(4, dtype=torch.int64), CLASSES, spec)
    path = listed(tmp_path, {"train": ["dog", "ant"], "val": ["bee"], "test": []})
    chosen = split(data, str(path), "meta_train", 0)
    assert chosen.classes == ("dog", "ant")
    assert chosen.x.tolist() == [[3], [0]]
    with pytest.raises(DataError) as error:
        split(data, str(path), "meta_test", 0)
    assert str(error.value) == f"the split {path} leaves no classes for meta_test, the data have 4"
    assert error.value.hint == (
        "a part needs as many classes as a task has: add classes, or set data.split"
    )
