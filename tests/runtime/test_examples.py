"""Wrong examples, labels and support sets: each is refused, in these words."""

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from PIL import Image

import handful
from handful.runtime.errors import (
    AdaptError,
    HandfulError,
    InputError,
    SessionError,
    SupportSetError,
)
from handful.runtime.inputs.examples import KINDS, to_batch
from handful.runtime.ort import one_onnxruntime, onnxruntime
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.evaluate import Episodes, evaluate

from ..each import each

# examples of one level tell here what was done to them: a warning of each is no news
pytestmark = pytest.mark.filterwarnings("ignore::handful.runtime.errors.EmptyWarning")
ONE = np.zeros((6, 6, 1), np.uint8)
TWO = np.zeros((2, 6, 6, 1), np.uint8)
SHAPE = (
    "the layout is HWC; pictures of any size are given as paths, as PIL.Image,"
    " or as uint8 [h, w, 3]"
)
SCALED = "uint8 pixels are brought into range by the package; float examples are taken as they are"
ORDER = "the first that can run a node runs it: ['CUDAExecutionProvider', 'CPUExecutionProvider']"
PAIR = "a name, or a pair of a name and a dict of options"
CONVERT = "convert with .astype(np.uint8) for pixels 0 to 255, or .astype(np.float32)"


def at(value: float) -> Any:
    batch = np.zeros((2, 6, 6, 1), np.float32)
    batch[1, 3, 3, 0] = value
    return batch


QUERIES: list[tuple[Any, str, str | None]] = [
    (np.zeros((3, 3), np.uint8), "query has shape [3, 3], wanted [6, 6, 1] or a batch of them",
     SHAPE),
    (np.zeros((2, 6, 6, 3), np.float32),
     "query has shape [2, 6, 6, 3], wanted [6, 6, 1] or a batch of them", SHAPE),
    ([ONE, ONE[:5]], "query 1 has shape [5, 6, 1], wanted [6, 6, 1] or a batch of them", SHAPE),
    (np.float32(0), "query has shape [], wanted [6, 6, 1] or a batch of them", SHAPE),
    (np.zeros((6, 6, 1), np.int64), "query has dtype int64, wanted uint8 or float32", CONVERT),
    (np.zeros((6, 6, 1), bool), "query has dtype bool, wanted uint8 or float32", CONVERT),
    (np.full((6, 6, 1), "x"), "query has dtype <U1, wanted uint8 or float32", CONVERT),
    (at(np.nan), "query 1 has values that are not finite", "look for NaN in the source"),
    (at(np.inf), "query 1 has values that are not finite", "look for NaN in the source"),
    (at(np.nan)[1], "query has values that are not finite", "look for NaN in the source"),
    (at(255.0), "query 1 has values from 0 to 255, wanted 0 to 1", SCALED),
    (at(-0.5), "query 1 has values from -0.5 to 0, wanted 0 to 1", SCALED),
]  # fmt: skip


@each(("query", "words", "hint"), QUERIES)
def test_queries(head: handful.Learner, query: Any, words: str, hint: str | None) -> None:
    task = head.adapt(TWO, ["a", "b"])
    with pytest.raises(InputError) as error:
        task.predict(query)
    assert str(error.value) == words
    assert error.value.hint == hint


SUPPORTS: list[tuple[Any, Any, str, str | None]] = [
    (TWO, ["a", "a"], "1 class, this package takes 2 or more", "add classes"),
    ([], [], "no examples", "give at least one example of each class"),
    ({}, None, "no examples", "give at least one example of each class"),
    (TWO, None, "no labels", "give a label for each example, or {label: [examples]}"),
    (TWO, ["a"], "2 examples and 1 labels", "as many labels as examples"),
    (TWO, "ab", "labels is str, wanted a list with a label for each example", None),
    (TWO, 3, "labels is int, wanted a list with a label for each example", None),
    (TWO, ["a", 1], "label 1 is 1 of type int, wanted a string",
     "labels are strings: str(label) for each"),
    (TWO, [None, "a"], "label 0 is None of type NoneType, wanted a string",
     "labels are strings: str(label) for each"),
    ({1: [ONE]}, None, "label is 1 of type int, wanted a string",
     "labels are strings: str(label) for each"),
    ({"a": [ONE], "b": [ONE]}, ["a", "b"], "labels beside a dict of examples",
     "give {label: [examples]}, or a list of examples and a list of labels"),
]  # fmt: skip


@each(("x", "labels", "words", "hint"), SUPPORTS)
def test_support_sets(
    head: handful.Learner, x: Any, labels: Any, words: str, hint: str | None
) -> None:
    with pytest.raises(SupportSetError) as error:
        head.adapt(x, labels)
    assert str(error.value) == words
    assert error.value.hint == hint


def test_an_example_of_a_class_is_named(head: handful.Learner) -> None:
    with pytest.raises(InputError) as error:
        head.adapt({"a": [ONE], "b": [ONE, ONE[:2]]})
    words = "example of 'b' 1 has shape [2, 6, 1], wanted [6, 6, 1] or a batch of them"
    assert str(error.value) == words


@pytest.mark.parametrize(
    ("labels", "words", "hint"),
    [
        ("abcd", "4 classes, this package takes 2 to 3", "leave some classes out"),
        ("abaa", "3 examples of 'a', this package takes 1 to 2", "leave some examples out"),
        ("abcc", None, None),
    ],
)
def test_limits(
    packages: Any, edit: Any, tmp_path: Any, labels: str, words: str | None, hint: str | None
) -> None:
    folder = packages.copy("head", tmp_path)
    limits = {
        "way": {"min": 2, "max": 3},
        "shot": {"min": 1, "max": 2},
        "support": {"min": 1, "max": None},
    }
    edit(folder, lambda content: content.update(limits=limits))
    learner, x = handful.load(folder), np.zeros((4, 6, 6, 1), np.uint8)
    if words is None:
        assert learner.adapt(x, list(labels)).counts == {"a": 1, "b": 1, "c": 2}
        return
    with pytest.raises(SupportSetError) as error:
        learner.adapt(x, list(labels))
    assert (str(error.value), error.value.hint) == (words, hint)


def test_changes_that_leave_no_task(head: handful.Learner) -> None:
    task = head.adapt(TWO, ["a", "b"])
    calls: list[tuple[Callable[[], object], str, str]] = [
        (lambda: task.remove("c"), "no class 'c' in the task", "its classes: a, b"),
        (lambda: task.remove("a"), "1 class, this package takes 2 or more", "add classes"),
        (lambda: task.add([], []), "no examples", "give at least one example to add"),
    ]
    for call, words, hint in calls:
        with pytest.raises(SupportSetError) as error:
            call()
        assert (str(error.value), error.value.hint) == (words, hint)


def test_samples_need_noise_and_a_generator(packages: Any, head: handful.Learner) -> None:
    rng = np.random.default_rng(0)
    both = "give both: samples=10, rng=np.random.default_rng(0)"
    plain = handful.load(packages("prototypes"))
    x = np.eye(4, dtype=np.float32)[:2]
    for call, words, hint in (
        (lambda: head.adapt(TWO, ["a", "b"], samples=3), "samples alone", both),
        (lambda: head.adapt(TWO, ["a", "b"], rng=rng), "rng alone", both),
        (lambda: head.adapt(TWO, ["a", "b"], samples=0, rng=rng),
         "samples is 0, wanted a whole number, 1 to 1000", None),
        (lambda: plain.adapt(x, ["a", "b"], samples=3, rng=rng),
         "package prototypes has no noise: all samples would be the same", "adapt without samples"),
        (lambda: plain.adapt(x, ["a", "b"]).uncertainty(x), "the task has no samples",
         "adapt with samples=10, rng=np.random.default_rng(0)"),
    ):  # fmt: skip
        with pytest.raises(AdaptError) as error:
            call()
        assert (str(error.value), error.value.hint) == (words, hint)


def test_regression_has_no_classes(packages: Any) -> None:
    learner = handful.load(packages("line"))
    x = np.eye(2, dtype=np.float32)
    wrong: Any = [1, 2, 3]
    task = learner.adapt(x, [[1], [2]])
    for call, words in (
        (lambda: task.remove("a"), "remove on a regression task"),
        (lambda: task.predict_proba(x), "predict_proba on a regression task"),
        (lambda: task.logits(x), "logits on a regression task"),
        (lambda: learner.adapt({"a": x}), "no targets"),
        (lambda: learner.adapt(x, np.array([1, np.nan])), "targets are not all finite numbers"),
        (lambda: learner.adapt(x, ["a", "b"]), "targets are not all finite numbers"),
        (lambda: learner.adapt(x, [[1, 2], [3, 4]]), "targets have shape [2, 2], wanted [S, 1]"),
        (lambda: learner.adapt(x, wrong), "2 examples and 3 targets"),
    ):
        with pytest.raises(HandfulError) as error:
            call()
        assert str(error.value) == words


def test_an_answer_that_is_not_finite_is_an_error(packages: Any) -> None:
    learner = handful.load(packages("prototypes"))
    task = learner.adapt(np.eye(4, dtype=np.float32)[:2], ["a", "b"])
    with pytest.raises(AdaptError) as error:
        task.predict(np.full(4, 1e30, np.float32))
    assert str(error.value) == "graph predict gave logits with values that are not finite"
    assert error.value.hint == "look for examples far outside what the package was trained on"


@each(
    ("settings", "words", "hint"),
    [
        ({"threads": 0}, "threads is 0, wanted a whole number, 1 to 1024", None),
        ({"threads": 1025}, "threads is 1025, wanted a whole number, 1 to 1024", None),
        ({"threads": 1.5}, "threads is 1.5, wanted a whole number, 1 to 1024", None),
        ({"threads": True}, "threads is True, wanted a whole number, 1 to 1024", None),
        ({"threads": "2"}, "threads is '2', wanted a whole number, 1 to 1024", None),
        ({"threads": None}, "threads is None, wanted a whole number, 1 to 1024", None),
        ({"providers": []}, "providers is [], wanted a list with one name at least", ORDER),
        ({"providers": "CPUExecutionProvider"},
         "providers is 'CPUExecutionProvider', wanted a list with one name at least", ORDER),
        ({"providers": 5}, "providers is 5, wanted a list with one name at least", ORDER),
        ({"providers": {"CPUExecutionProvider"}},
         "providers is {'CPUExecutionProvider'}, wanted a list with one name at least", ORDER),
        ({"providers": [5]}, f"providers[0] is 5, wanted {PAIR}", None),
        ({"providers": ["CPUExecutionProvider", ("CPUExecutionProvider",)]},
         f"providers[1] is ('CPUExecutionProvider',), wanted {PAIR}", None),
        ({"providers": [("CPUExecutionProvider", 5)]},
         f"providers[0] is ('CPUExecutionProvider', 5), wanted {PAIR}", None),
        ({"providers": ["CPUExecutionProvider", ("CPUExecutionProvider", {})]},
         "providers names 'CPUExecutionProvider' twice", None),
        ({"session_options": 3}, "session_options is 3, wanted an onnxruntime.SessionOptions",
         None),
        ({"threads": 2, "session_options": object()}, "threads=2 beside session_options",
         "set intra_op_num_threads and inter_op_num_threads in the options"),
    ],
)  # fmt: skip
def test_settings(packages: Any, settings: Any, words: str, hint: str | None) -> None:
    with pytest.raises(SessionError) as error:
        handful.load(packages("head"), **settings)
    assert (str(error.value), error.value.hint) == (words, hint)


def test_a_provider_that_is_not_there(packages: Any) -> None:
    with pytest.raises(SessionError) as error:
        handful.load(packages("head"), providers=["NoSuchExecutionProvider"])
    available = ", ".join(onnxruntime.get_available_providers())
    words = f"provider 'NoSuchExecutionProvider' is not to be had; available: {available}"
    assert str(error.value) == words
    hint = "CUDA needs `pip uninstall -y onnxruntime && pip install onnxruntime-gpu`"
    assert error.value.hint == hint


def test_several_threads_and_own_options_give_the_same_answers(packages: Any) -> None:
    x = np.eye(6, dtype=np.float32).reshape(1, 6, 6, 1) * np.ones((2, 1, 1, 1), np.float32)
    expected = handful.load(packages("head")).adapt(x, ["a", "b"]).logits(x)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings: list[dict[str, Any]] = [{"threads": 2}, {"session_options": options}]
    for setting in settings:
        logits = handful.load(packages("head"), **setting).adapt(x, ["a", "b"]).logits(x)
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_two_onnxruntimes_in_one_environment(tmp_path: Any) -> None:
    (tmp_path / "onnxruntime-1.31.1.dist-info").mkdir()
    one_onnxruntime(str(tmp_path))
    (tmp_path / "onnxruntime_gpu-1.31.1.dist-info").mkdir()
    with pytest.raises(SessionError) as error:
        one_onnxruntime(str(tmp_path))
    words = "onnxruntime and onnxruntime-gpu are both installed, into one folder: the last one wins"
    assert str(error.value) == words
    assert error.value.hint == (
        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
    )


def test_a_graph_that_fails_says_on_what(packages: Any) -> None:
    graph = handful.load(packages("prototypes"))._engine.graphs["means"]
    feeds = {"support_x": np.zeros((2, 4), np.float32), "support_y": np.zeros((3, 2), np.float32)}
    with pytest.raises(AdaptError) as error:
        graph.run(feeds)
    assert str(error.value).startswith(
        "graph means failed on support_x [2, 4], support_y [3, 2]: [ONNXRuntimeError] : "
    )
    assert error.value.hint == "`handful verify` tells whether the package is whole"


def test_episodes_that_do_not_fit(packages: Any) -> None:
    learner = handful.load(packages("prototypes"))
    x = np.zeros((3, 4), np.float32)
    good = np.array([[0, 1]])
    for parts, words in (
        ((good, good[:, :1], good, good),
         "episodes have shapes [[1, 2], [1, 1], [1, 2], [1, 2]], "
         "wanted [E, S] twice, [E, Q] twice"),
        ((good, good, good + 2, good), "episodes have indices from 2 to 3, wanted 0 to 2"),
        ((good * 1.0, good, good, good),
         "episodes are not four arrays of integers with two axes"),
    ):  # fmt: skip
        with pytest.raises(SupportSetError) as error:
            evaluate(learner, x, Episodes(*parts))
        assert str(error.value) == words


def test_the_table_has_each_kind_that_a_manifest_may_name() -> None:
    kinds = get_args(get_type_hints(InputSpec)["kind"])
    assert sorted(KINDS) == sorted(kinds)
    endings = [ending for kind in KINDS.values() for ending in kind.files.suffixes]
    assert len(endings) == len(set(endings))  # so that a file's name says its kind


@pytest.mark.parametrize("name", sorted(KINDS))
def test_objects_of_another_kind_are_refused(name: str) -> None:
    """Alone and in a list, before anything is made of them."""
    spec = InputSpec(kind=name, shape=(4,), rate=8000)  # type: ignore[arg-type]
    objects = {
        "image": Image.new("RGB", (4, 4)),
        "audio": handful.Sound(np.zeros(4, np.float32), 8000),
    }
    for other in objects.keys() - {name}:
        for given in (objects[other], [np.zeros(4, np.float32), objects[other]]):
            with pytest.raises(InputError) as error:
                to_batch(given, spec, "query")
            assert str(error.value) == (
                f"the package takes {KINDS[name].takes}, not {KINDS[other].takes}"
            )
            assert error.value.hint == "give adapt and predict what it was trained on"
