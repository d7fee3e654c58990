"""Adapting and predicting: what a user of the runtime calls."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.confidence import softmax
from handful.runtime.package.read import find
from handful.runtime.task import Task
from handful.runtime.tools.evaluate import Episodes, evaluate

from ..each import each
from .small_packages import RATE, head_weights

RNG = np.random.default_rng(3)
X: Any = RNG.standard_normal((7, 4)).astype(np.float32)  # a stack, whose answers are a list
LABELS = ["ka", "ga", "ka", "na", "ga", "ka", "na"]
IMAGES = RNG.integers(0, 256, (6, 6, 6, 1), np.uint8)


@pytest.fixture
def prototypes(packages: Any) -> handful.Learner:
    return handful.load(packages("prototypes"))


def same(a: Task, b: Task, queries: Any) -> None:
    assert a.classes == b.classes
    assert a.counts == b.counts
    np.testing.assert_array_equal(a.logits(queries), b.logits(queries))


def test_prototypes_by_hand(prototypes: handful.Learner) -> None:
    x = np.array([[0, 0, 0, 0], [2, 0, 0, 0], [0, 4, 0, 0]], np.float32)
    task = prototypes.adapt(x, ["near", "near", "far"])  # means (1, 0, 0, 0) and (0, 4, 0, 0)
    np.testing.assert_array_equal(task.logits(np.zeros(4, np.float32)), [-1, -16])
    assert task.classes == ("near", "far")
    assert task.counts == {"near": 2, "far": 1}
    assert task.predict([0.0, 3.0, 0.0, 0.0]) == "far"


def test_three_gradient_steps_by_hand(head: handful.Learner) -> None:
    task = head.adapt(IMAGES, ["a", "b", "b", "a", "c", "a"])
    h = (IMAGES.reshape(6, 36) / 255) @ head_weights()
    y = np.eye(3)[[0, 1, 1, 0, 2, 0]]
    w = np.zeros((3, 5))
    for _ in range(3):
        w = w - RATE * (softmax(h @ w.T) - y).T @ h / 6
    np.testing.assert_allclose(task.logits(IMAGES), h @ w.T, rtol=1e-4, atol=1e-6)


def test_a_list_a_batch_and_a_dict_are_the_same_task(prototypes: handful.Learner) -> None:
    by_class = {
        label: [x for x, other in zip(X, LABELS, strict=True) if other == label]
        for label in ("ka", "ga", "na")
    }
    batch = prototypes.adapt(X, LABELS)
    same(batch, prototypes.adapt(list(X), tuple(LABELS)), X)
    grouped = prototypes.adapt(by_class)
    assert grouped.classes == batch.classes
    np.testing.assert_allclose(grouped.logits(X), batch.logits(X), rtol=1e-5)


def test_single_and_batch_answers(prototypes: handful.Learner) -> None:
    task = prototypes.adapt(X, LABELS)
    assert task.predict(X) == [task.predict(x) for x in X]
    assert task.predict(X[:1]) == [task.predict(X[0])]
    assert task.predict_proba(X[0]).shape == (3,)
    np.testing.assert_allclose(task.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(softmax(task.logits(X)), task.predict_proba(X), rtol=1e-6)
    assert task.predict(X[:0]) == []
    assert task.predict_proba([]).shape == (0, 3)


def test_a_prediction_does_not_depend_on_the_others(head: handful.Learner) -> None:
    task = head.adapt(IMAGES, list("abcabc"))
    alone = np.stack([task.logits(image) for image in IMAGES])
    np.testing.assert_allclose(task.logits(IMAGES), alone, rtol=1e-4, atol=1e-6)


def test_renaming_and_reordering_classes_permutes_the_answers(head: handful.Learner) -> None:
    task = head.adapt(IMAGES, list("aabbcc"))
    other = head.adapt(IMAGES[::-1], list("xxyyzz"))  # c → x, b → y, a → z
    np.testing.assert_allclose(
        other.logits(IMAGES), task.logits(IMAGES)[:, ::-1], rtol=1e-4, atol=1e-6
    )


@each("way", [2, 3, 20, 50])
def test_ways(prototypes: handful.Learner, way: int) -> None:
    x: Any = np.arange(way * 4, dtype=np.float32).reshape(way, 4)
    task = prototypes.adapt(x, [f"class {i}" for i in range(way)])
    assert task.predict(x) == [f"class {i}" for i in range(way)]


def test_uint8_is_scaled_and_the_channel_axis_may_be_missing(head: handful.Learner) -> None:
    task = head.adapt(IMAGES, list("abcabc"))
    floats = (IMAGES * np.float32(1 / 255)).astype(np.float32)
    same(task, head.adapt(floats, list("abcabc")), IMAGES)
    same(task, head.adapt(IMAGES[..., 0], list("abcabc")), floats.astype(np.float64))
    np.testing.assert_array_equal(task.logits(IMAGES[0, ..., 0]), task.logits(IMAGES[0]))


def test_add_equals_adapting_on_the_longer_set(head: handful.Learner) -> None:
    task = head.adapt(IMAGES[:3], list("aba"))
    before = task.logits(IMAGES)
    same(task.add(IMAGES[3:], list("bca")), head.adapt(IMAGES, list("ababca")), IMAGES)
    same(task.add({"c": [IMAGES[4]]}), head.adapt(IMAGES[[0, 1, 2, 4]], list("abac")), IMAGES)
    np.testing.assert_array_equal(task.logits(IMAGES), before)


def test_remove_equals_adapting_on_the_shorter_set(head: handful.Learner) -> None:
    task = head.adapt(IMAGES, list("abcabc"))
    same(task.remove("a"), head.adapt(IMAGES[[1, 2, 4, 5]], list("bcbc")), IMAGES)
    same(task.remove("a").add(IMAGES[:1], ["a"]).remove("a"), task.remove("a"), IMAGES)


def test_a_saved_task_is_the_same_task(head: handful.Learner, tmp_path: Any) -> None:
    task = head.adapt(IMAGES, ["か", "b 2", "é", "か", "b 2", "é"])
    task.save(tmp_path / "task.npz")
    loaded = head.load_task(tmp_path / "task.npz")
    same(loaded, task, IMAGES)
    same(loaded.add(IMAGES, list("xyxyxy")), task.add(IMAGES, list("xyxyxy")), IMAGES)
    assert os.listdir(tmp_path) == ["task.npz"]
    first = (tmp_path / "task.npz").read_bytes()
    loaded.save(tmp_path / "task.npz")
    assert (tmp_path / "task.npz").read_bytes() == first


def test_samples_draw_noise_and_give_a_mean_and_a_spread(
    head: handful.Learner, tmp_path: Any
) -> None:
    task = head.adapt(IMAGES, list("abcabc"), samples=8, rng=np.random.default_rng(5))
    again = head.adapt(IMAGES, list("abcabc"), samples=8, rng=np.random.default_rng(5))
    other = head.adapt(IMAGES, list("abcabc"), samples=8, rng=np.random.default_rng(6))
    np.testing.assert_array_equal(task.predict_proba(IMAGES), again.predict_proba(IMAGES))
    assert np.abs(task.predict_proba(IMAGES) - other.predict_proba(IMAGES)).max() > 0.01
    engine = head._engine
    h = engine.embed(IMAGES * np.float32(1 / 255))
    each = np.stack([softmax(engine.predict(state, h)) for state in task._states])
    np.testing.assert_allclose(task.predict_proba(IMAGES), each.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(task.uncertainty(IMAGES), each.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(np.exp(task.logits(IMAGES)), each.mean(axis=0), rtol=1e-5)
    task.save(tmp_path / "task.npz")
    same(head.load_task(tmp_path / "task.npz"), task, IMAGES)
    three = head.adapt(IMAGES[:3], list("abc"), samples=8, rng=np.random.default_rng(5))
    same(three.add(IMAGES[3:], list("abc")), task, IMAGES)


def test_regression(packages: Any, tmp_path: Any) -> None:
    learner = handful.load(packages("line"))
    x = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    task = learner.adapt(x, np.array([1.0, 2.0, 4.0]))
    v = np.zeros(2)
    for _ in range(4):
        v = v - 0.1 * x.T @ (x @ v - [1, 2, 4])
    np.testing.assert_allclose(task.outputs(x), (x @ v)[:, None], rtol=1e-5)
    assert task.outputs(x[0]).shape == (1,)
    np.testing.assert_array_equal(np.array(task.predict(x)), task.outputs(x))
    more = task.add(x[:1], [[1.5]])
    longer = learner.adapt(x[[0, 1, 2, 0]], np.array([1, 2, 4, 1.5]))
    np.testing.assert_array_equal(more.outputs(x), longer.outputs(x))
    task.save(tmp_path / "task.npz")
    loaded = learner.load_task(tmp_path / "task.npz")
    np.testing.assert_array_equal(loaded.predict(x), task.predict(x))


def test_threads_share_a_learner_and_a_task(packages: Any) -> None:
    learner = handful.load(packages("head"))
    expected = handful.load(packages("head")).adapt(IMAGES, list("abcabc")).logits(IMAGES)
    answers: list[Any] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()  # the first run builds the sessions: all threads come at once
        for _ in range(20):
            answers.append(learner.adapt(IMAGES, list("abcabc")).logits(IMAGES))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 160
    for logits in answers:
        np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize("name", ["omniglot-leo", "omniglot-maml"])
def test_a_pool_of_threads_adapts_as_one_does(name: str) -> None:
    folder = find(name)
    with np.load(folder / "conformance.npz") as golden:
        x, queries = golden["support_x"], golden["query_x"]
    tasks = [np.roll(x, t, axis=0) for t in range(len(x))]

    def answers(learner: handful.Learner, examples: Any) -> Any:
        return learner.adapt(examples, list("aabbccdde")).logits(queries)

    alone = handful.load(folder)
    expected = [answers(alone, examples) for examples in tasks]
    shared = handful.load(folder)  # whose sessions the threads build
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda examples: answers(shared, examples), tasks))
    np.testing.assert_array_equal(together, expected)
    assert len({logits.tobytes() for logits in expected}) == len(tasks)  # all different


def test_learners_and_tasks_cannot_be_changed(prototypes: handful.Learner) -> None:
    task = prototypes.adapt(X, LABELS)
    with pytest.raises(AttributeError, match="cannot assign to field 'learner'"):
        task.learner = prototypes  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        task._support.x[0] = 0


def test_a_task_does_not_follow_the_array_it_was_made_from(prototypes: handful.Learner) -> None:
    x = X.copy()
    task = prototypes.adapt(x, LABELS)
    before = task.add(X[:1], ["ka"]).logits(X)
    x[:] = 0  # and the caller may still write to it
    np.testing.assert_array_equal(task.add(X[:1], ["ka"]).logits(X), before)


def test_evaluate_counts_right_answers(prototypes: handful.Learner) -> None:
    x = np.zeros((4, 4), np.float32)
    x[:, 0] = [0, 10, 1, 9]
    classes = np.array([[0, 1], [0, 1]])
    episodes = Episodes(
        support=np.array([[0, 1], [0, 1]]),
        support_y=classes,
        query=np.array([[2, 3], [2, 3]]),
        query_y=np.array([[0, 1], [0, 0]]),  # the second episode's last query is mislabelled
    )
    done: list[int] = []
    accuracy = evaluate(prototypes, x, episodes, progress=done.append)
    np.testing.assert_array_equal(accuracy.per_episode, [1, 0.5])
    assert (accuracy.accuracy, accuracy.episodes, done) == (0.75, 2, [1, 2])
    assert accuracy.interval == pytest.approx(12.706 * 0.25)  # Student's t of two values


def test_the_runtime_needs_numpy_and_onnxruntime_only(packages: Any) -> None:
    code = f"""
import sys, handful, numpy as np
x = np.eye(4, dtype=np.float32)
assert handful.load({str(packages("prototypes"))!r}).adapt(x, list("abab")).predict(x[0]) == "a"
print([name for name in ("torch", "onnx", "click", "PIL", "zipfile") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
