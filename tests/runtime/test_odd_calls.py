"""Odd arguments to every call: a typed error with full words, or the right answer."""

import enum
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.engine import check_finite
from handful.runtime.errors import AdaptError, HandfulError, InputError, SupportSetError

from ..each import each
from .odd_objects import Hostile

X = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1), np.uint8)
AB = ["a", "b", "a", "b"]
FILLED = "fill it in with .filled(value), or leave the examples with masked values out"
ARRAY = "give a numpy array, or what numpy.asarray makes one of"
SHAPE = (
    "the layout is HWC; pictures of any size are given as paths, as PIL.Image,"
    " or as uint8 [h, w, 3]"
)
STRINGS = "labels are strings: str(label) for each"
WANTED = "wanted [6, 6, 1] or a batch of them"


class Colour(str, enum.Enum):  # noqa: UP042  # StrEnum has another __str__
    RED = "red"
    BLUE = "blue"


@pytest.fixture
def task(head: handful.Learner) -> handful.Task:
    return head.adapt(X, AB)


def masked() -> Any:
    return np.ma.MaskedArray(X / np.float32(255), mask=np.zeros(X.shape, bool))


def nested() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


def endless() -> Any:
    while True:
        yield "a"


EXAMPLES: list[tuple[Any, str]] = [
    (None, f"example has shape [], {WANTED}"),
    (3, f"example has shape [], {WANTED}"),
    ("photo.png", "no file photo.png"),
    (b"\x89PNG", f"example has shape [], {WANTED}"),
    ({1, 2}, f"example has shape [], {WANTED}"),
    ((x for x in X), f"example has shape [], {WANTED}"),
    (object(), f"example has shape [], {WANTED}"),
    ([None, None], f"example has shape [2], {WANTED}"),
    ([{}], f"example has shape [1], {WANTED}"),
    (["a.png", "b.png"], "no file a.png"),
    (X[..., :0], f"example has shape [4, 6, 6, 0], {WANTED}"),
    (X[None], f"example has shape [1, 4, 6, 6, 1], {WANTED}"),
    (X.astype(complex), "example has dtype complex128, wanted uint8 or float32"),
    (X.astype(object), "example has dtype object, wanted uint8 or float32"),
    (X.astype("datetime64[s]"), "example has dtype datetime64[s], wanted uint8 or float32"),
    (X.astype(np.uint16), "example has dtype uint16, wanted uint8 or float32"),
    (X.view([("grey", np.uint8)]), "example has dtype [('grey', 'u1')], wanted uint8 or float32"),
    (np.full(X.shape, 1e300), "example 0 has values that are not finite"),
    (np.full(X.shape, -np.inf, np.float16), "example 0 has values that are not finite"),
    (masked(), "example is a masked array, whose mask no graph would see"),
    (masked()[0], "example is a masked array, whose mask no graph would see"),
    ([X[0], masked()[1]], "example 1 is a masked array, whose mask no graph would see"),
    (Hostile(), "example of type Hostile is not an array: not detached"),
    ([X[0], Hostile()], "example 1 of type Hostile is not an array: not detached"),
    ([[[1, 2], [3]]],
     "example 0 of type list is not an array: setting an array element with a sequence. The "
     "requested array has an inhomogeneous shape after 1 dimensions. The detected shape was (2,) + "
     "inhomogeneous part."),
]  # fmt: skip


@each(("examples", "words"), EXAMPLES)
def test_examples_and_queries(
    head: handful.Learner, task: handful.Task, examples: Any, words: str
) -> None:
    with pytest.raises(InputError) as error:
        head.adapt(examples, AB)
    assert str(error.value) == words
    for call in (task.predict, task.predict_proba, task.logits):
        if not hasattr(examples, "send"):  # a generator, which was not read before either
            with pytest.raises(InputError) as error:
                call(examples)
            assert str(error.value) == words.replace("example", "query", 1)


def test_a_list_within_itself_is_refused(head: handful.Learner) -> None:
    with pytest.raises(InputError):
        head.adapt(nested(), AB)


LABELS: list[tuple[Any, str]] = [
    ({"a", "b"}, "labels is set, wanted a list with a label for each example"),
    (frozenset("ab"), "labels is frozenset, wanted a list with a label for each example"),
    ({"a": 0, "b": 1}, "labels is dict, wanted a list with a label for each example"),
    ({"a": 0}.items(), "labels is dict_items, wanted a list with a label for each example"),
    (bytearray(b"abab"), "labels is bytearray, wanted a list with a label for each example"),
    (np.array("a"), "labels is ndarray, wanted a list with a label for each example"),
    (object(), "labels is object, wanted a list with a label for each example"),
    (iter(["a"]), "4 examples and 1 labels"),
    (endless(), "4 examples and 100001 labels"),
    ([b"a", *"bab"], "label 0 is b'a' of type bytes, wanted a string"),
    ([*"aba", ["b"]], "label 3 is ['b'] of type list, wanted a string"),
    ([*"aba", np.nan], "label 3 is nan of type float, wanted a string"),
    ([True] * 4, "label 0 is True of type bool, wanted a string"),
    (np.arange(4), f"label 0 is {np.int64(0)!r} of type int64, wanted a string"),
    (np.array([["a"], ["b"]] * 2),
     "label 0 is array(['a'], dtype='<U1') of type ndarray, wanted a string"),
    ([Hostile()] * 4, "label 0 is an object of type Hostile of type Hostile, wanted a string"),
    ([["x" * 10**6]] * 4, f"label 0 is ['{'x' * 55}... of type list, wanted a string"),
]  # fmt: skip


@each(("labels", "words"), LABELS)
def test_labels(head: handful.Learner, labels: Any, words: str) -> None:
    with pytest.raises(SupportSetError) as error:
        head.adapt(X, labels)
    assert str(error.value) == words


GROUPED: list[tuple[Any, type[HandfulError], str, str | None]] = [
    ({"a": [X[0]], "b": [X[1]], "c": []}, SupportSetError, "no examples of 'c'",
     "give one at least, or leave the class out"),
    ({"a": X[:1], "b": X[:0]}, SupportSetError, "no examples of 'b'",
     "give one at least, or leave the class out"),
    ({("a", "b"): [X[0]]}, SupportSetError,
     "label is ('a', 'b') of type tuple, wanted a string", STRINGS),
    ({None: [X[0]]}, SupportSetError, "label is None of type NoneType, wanted a string", STRINGS),
    ({"a": None, "b": [X[0]]}, InputError, f"example of 'a' has shape [], {WANTED}",
     SHAPE),
    ({"a": {"b": X}}, InputError, f"example of 'a' has shape [], {WANTED}",
     SHAPE),
    ({"a": masked()}, InputError, "example of 'a' is a masked array, whose mask no graph would see",
     FILLED),
    ({"a": Hostile()}, InputError, "example of 'a' of type Hostile is not an array: not detached",
     ARRAY),
]  # fmt: skip


@each(("examples", "kind", "words", "hint"), GROUPED)
def test_examples_by_class(
    head: handful.Learner,
    task: handful.Task,
    examples: Any,
    kind: type[HandfulError],
    words: str,
    hint: str | None,
) -> None:
    for call in (head.adapt, task.add):
        with pytest.raises(HandfulError) as error:
            call(examples)
        assert (type(error.value), str(error.value), error.value.hint) == (kind, words, hint)


TARGETS: list[tuple[Any, str]] = [
    ({1.0, 2.0}, "targets are not all finite numbers"),
    ([[1], [2, 3]], "targets are not all finite numbers"),
    ([1e300, 0], "targets are not all finite numbers"),
    ([1j, 2j], "targets are not all finite numbers"),
    (Hostile(), "targets are not all finite numbers"),
    (np.ma.MaskedArray([1.0, 2.0], mask=[False, True]),
     "targets are a masked array, whose mask is not seen"),
    (1.0, "targets have shape [], wanted [S, 1]"),
    (np.zeros((2, 0)), "targets have shape [2, 0], wanted [S, 1]"),
    (np.zeros((2, 1, 1)), "targets have shape [2, 1, 1], wanted [S, 1]"),
]  # fmt: skip


@each(("targets", "words"), TARGETS)
def test_targets(packages: Any, targets: Any, words: str) -> None:
    with pytest.raises(SupportSetError) as error:
        handful.load(packages("line")).adapt(np.eye(2, dtype=np.float32), targets)
    assert str(error.value) == words


SAMPLES: list[tuple[Any, Any, str, str | None]] = [
    (3, 3, "rng is 3, wanted a numpy.random.Generator", "rng=np.random.default_rng(0)"),
    (3, np.random.RandomState(0),
     "rng is RandomState(MT19937) at 0x…, wanted a numpy.random.Generator",
     "rng=np.random.default_rng(0)"),
    (3, Hostile(), "rng is an object of type Hostile, wanted a numpy.random.Generator",
     "rng=np.random.default_rng(0)"),
    (1.0, np.random.default_rng(0), "samples is 1.0, wanted a whole number, 1 to 1000", None),
    (True, np.random.default_rng(0), "samples is True, wanted a whole number, 1 to 1000", None),
    ("3", np.random.default_rng(0), "samples is '3', wanted a whole number, 1 to 1000", None),
    (1001, np.random.default_rng(0), "samples is 1001, wanted a whole number, 1 to 1000", None),
    (-1, np.random.default_rng(0), "samples is -1, wanted a whole number, 1 to 1000", None),
]  # fmt: skip


@each(("samples", "rng", "words", "hint"), SAMPLES)
def test_samples(
    head: handful.Learner, samples: Any, rng: Any, words: str, hint: str | None
) -> None:
    with pytest.raises(AdaptError) as error:
        head.adapt(X, AB, samples=samples, rng=rng)
    assert re.sub("0x[0-9A-F]+", "0x…", str(error.value)) == words
    assert error.value.hint == hint


@each("label", [3, None, ["a"], np.array(["a", "b"]), b"a", Hostile()])
def test_removing_what_is_no_label(task: handful.Task, label: Any) -> None:
    with pytest.raises(SupportSetError, match=r" wanted a string$"):
        task.remove(label)


def test_what_is_unusual_and_right(head: handful.Learner, task: handful.Task) -> None:
    wanted = task.logits(X)
    for examples, labels in (
        (tuple(X), iter(AB)),
        (X.copy()[:, ::-1][:, ::-1], np.array(AB)),
        (X, np.array(AB, object)),
        (np.asfortranarray(X), (label for label in AB)),
        ((X / np.float64(255)).astype(">f8"), AB),
        (list(X[..., 0]), tuple(AB)),
    ):
        same = head.adapt(examples, labels)
        assert same.classes == ("a", "b")
        np.testing.assert_allclose(same.logits(X), wanted, rtol=1e-5, atol=1e-6)
    grouped = head.adapt(OrderedDict(a=X[::2], b=X[1]), None)
    assert grouped.counts == {"a": 2, "b": 1}


def test_labels_of_a_kind_of_string_are_plain_strings(
    head: handful.Learner, tmp_path: Path
) -> None:
    task = head.adapt(X, [Colour.RED, Colour.BLUE, np.str_("か"), "e\u0301cru"])
    assert task.classes == ("red", "blue", "か", "\u00e9cru")
    assert {type(label) for label in task.classes} == {str}
    assert task.remove(Colour.RED).classes == ("blue", "か", "\u00e9cru")
    assert task.remove("e\u0301cru").classes == ("red", "blue", "か")
    assert task.add(X[:1], ["e\u0301cru"]).counts["\u00e9cru"] == 2
    task.save(tmp_path / "task.npz")
    assert head.load_task(tmp_path / "task.npz").classes == task.classes


def test_more_classes_than_any_package_takes(packages: Any) -> None:
    learner = handful.load(packages("prototypes"))
    x = np.zeros((10_001, 4), np.float32)
    with pytest.raises(SupportSetError) as error:
        learner.adapt(x, [str(i) for i in range(len(x))])
    assert str(error.value) == "10001 classes, at most 10000 are taken"
    with pytest.raises(SupportSetError) as error:
        learner.adapt({"a": np.zeros((100_001, 4), np.float32), "b": x})
    assert str(error.value) == "110002 examples, at most 100000 are taken"


def test_large_values_are_finite_though_their_squares_are_not() -> None:
    large = np.full(3, 1e30, np.float32)
    check_finite({"w": large}, "a graph")
    with pytest.raises(AdaptError, match="a graph gave w with values that are not finite"):
        check_finite({"w": np.append(large, np.float32(np.inf))}, "a graph")
