"""The order of the support set: the graphs see the examples as they were given, and may read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

import handful
from handful.runtime.task import Task

from . import edit

X = np.random.default_rng(5).standard_normal((6, 4)).astype(np.float32)
LABELS = ["a", "b", "a", "c", "b", "a"]
QUERIES = np.random.default_rng(6).standard_normal((3, 4)).astype(np.float32)


def by_rank(model: Any) -> None:
    """c_n becomes the mean of i · x_i over class n, i = 1, 2, … in the order of the support set."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array(0), "first"))
    for node in graph.node:
        node.input[:] = ["ranked" if name == "support_x" else name for name in node.input]
    before = [
        helper.make_node("ReduceSum", ["support_y", "one"], ["ones"], keepdims=1),
        helper.make_node("CumSum", ["ones", "first"], ["rank"]),
        helper.make_node("Mul", ["support_x", "rank"], ["ranked"]),
    ]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *rest])


@pytest.fixture
def ranking(packages: Any, tmp_path: Path) -> handful.Learner:
    folder = packages.copy("prototypes", tmp_path)
    edit.model(folder, "means", by_rank)
    return handful.load(folder)


def wanted(order: list[int]) -> Any:
    """Logits where the examples stand in this order, classes by first appearance."""
    labels = [LABELS[i] for i in order]
    ranked = X[order] * np.arange(1, len(order) + 1, dtype=np.float32)[:, None]
    rows = [
        [i for i, other in enumerate(labels) if other == label] for label in dict.fromkeys(labels)
    ]
    c = np.stack([ranked[of_class].mean(axis=0) for of_class in rows])
    return -((QUERIES[:, None] - c[None]) ** 2).sum(axis=-1)


def has_order(task: Task, order: list[int]) -> None:
    np.testing.assert_allclose(task.logits(QUERIES), wanted(order), rtol=1e-4)


def test_examples_reach_the_graphs_in_the_order_given(ranking: handful.Learner) -> None:
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]):
        has_order(ranking.adapt(X[order], [LABELS[i] for i in order]), order)
    assert not np.allclose(wanted([0, 1, 2, 3, 4, 5])[:, 0], wanted([5, 3, 1, 0, 2, 4])[:, 0])


def test_examples_by_class_come_class_after_class(ranking: handful.Learner) -> None:
    has_order(ranking.adapt({"b": X[[4, 1]], "a": X[[0, 5]], "c": X[[3]]}), [4, 1, 0, 5, 3])


def test_added_examples_come_last(ranking: handful.Learner) -> None:
    task = ranking.adapt(X[[2, 1]], ["a", "b"]).add(X[[0, 3]], ["a", "c"])
    has_order(task, [2, 1, 0, 3])


def test_removing_a_class_leaves_the_order_of_the_others(ranking: handful.Learner) -> None:
    has_order(ranking.adapt(X, LABELS).remove("a"), [1, 3, 4])


def test_a_saved_task_keeps_its_order(ranking: handful.Learner, tmp_path: Path) -> None:
    ranking.adapt(X[[3, 0, 1]], ["c", "a", "b"]).save(tmp_path / "task.npz")
    has_order(ranking.load_task(tmp_path / "task.npz").add(X[[5]], ["a"]), [3, 0, 1, 5])
