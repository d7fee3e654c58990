"""A labelled set: rows, classes, rotations, and tasks that it cannot fill."""

import pytest
import torch

from handful.runtime.package.manifest import InputSpec
from handful.trainer.data import DataError, LabelledSet
from handful.trainer.data.labelled import label_examples, require
from handful.trainer.episodes import TaskSize

VECTOR = InputSpec(kind="array", shape=(1,))
PICTURE = InputSpec(
    kind="image", shape=(2, 2, 1), layout="HWC", range=(-1.0, 1.0), colour="grey",
    scale=2 / 255, offset=-1.0, resize=2, interpolation="lanczos",
)  # fmt: skip


def letters() -> LabelledSet:
    groups = {
        "a": torch.tensor([[0.0], [1]]),
        "b": torch.tensor([[2.0]]),
        "c": torch.tensor([[3.0], [4], [5]]),
    }
    return label_examples(groups, VECTOR, where="letters")


def test_rows_of_a_class() -> None:
    data = letters()
    assert data.classes == ("a", "b", "c")
    assert data.counts.tolist() == [2, 1, 3]
    assert data.start.tolist() == [0, 2, 3]
    assert data.labels.tolist() == [0, 0, 1, 2, 2, 2]
    assert data.x.flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_take_keeps_the_order_asked_for() -> None:
    data = letters().take([2, 0])
    assert data.classes == ("c", "a")
    assert data.counts.tolist() == [3, 2]
    assert data.x.flatten().tolist() == [3, 4, 5, 0, 1]
    assert letters().take([]).x.shape == (0, 1)


def test_pixels_become_floats_and_floats_stay() -> None:
    data = LabelledSet(
        torch.tensor([0, 51, 102, 255], dtype=torch.uint8).reshape(1, 2, 2, 1),
        torch.tensor([1]),
        ("a",),
        PICTURE,
    )
    torch.testing.assert_close(
        data.as_float(data.x).flatten(), torch.tensor([-1.0, -0.6, -0.2, 1.0])
    )
    floats = torch.tensor([0.25])
    assert letters().as_float(floats) is floats


def test_features_take_the_place_of_examples() -> None:
    data = letters().with_features(torch.zeros(6, 7, 2))
    assert (data.input.kind, data.input.shape) == ("array", (7, 2))
    assert data.classes == ("a", "b", "c")


def test_quarter_turns_are_classes() -> None:
    x = torch.tensor([1, 2, 3, 4], dtype=torch.uint8).reshape(1, 2, 2, 1)
    data = label_examples({"a": x, "b": x + 4}, PICTURE, where="here").rotate()
    assert data.classes == ("a@0", "a@90", "a@180", "a@270", "b@0", "b@90", "b@180", "b@270")
    assert data.counts.tolist() == [1] * 8
    turned = [[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]]
    assert data.x.reshape(8, 4)[:4].tolist() == turned


def test_only_squares_are_turned() -> None:
    with pytest.raises(DataError) as error:
        letters().rotate()
    assert str(error.value) == "rotations need square images, found examples of shape [1]"
    assert error.value.hint == "set data.rotations = false"


def test_no_classes_and_no_examples() -> None:
    with pytest.raises(DataError) as error:
        label_examples({}, VECTOR, where="here")
    assert str(error.value) == "no classes in here"
    with pytest.raises(DataError) as error:
        label_examples({"a": torch.ones(1, 1), "b": torch.ones(0, 1)}, VECTOR, where="here")
    assert str(error.value) == "class b in here has no examples"


def test_classes_of_different_shapes() -> None:
    with pytest.raises(DataError) as error:
        label_examples({"a": torch.ones(1, 4), "b": torch.ones(2, 3)}, VECTOR, where="here")
    assert str(error.value) == (
        "class b in here has examples of shape [3], wanted [4] as in class a"
    )


def test_tasks_that_the_set_cannot_fill() -> None:
    require(letters(), TaskSize(3, 1, 0), where="letters")
    with pytest.raises(DataError) as error:
        require(letters(), TaskSize(5, 1, 0), where="letters")
    assert str(error.value) == "letters has 3 classes, a task needs 5"
    assert error.value.hint == "lower way, or give the split more classes"
    with pytest.raises(DataError) as error:
        require(letters(), TaskSize(2, 1, 1), where="letters", prefix="--")
    assert str(error.value) == "class b of letters has 1 examples, a task needs 1 + 1"
    assert error.value.hint == "lower --shot or --queries, or leave the class out"
