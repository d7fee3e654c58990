"""What a user meets at the prompt: public names, what objects say of themselves, types."""

from __future__ import annotations

import subprocess
import sys
import typing

import numpy as np

import handful

from ..each import each


def pictures(count: int) -> np.ndarray[typing.Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).random((count, 28, 28, 1), np.float32) ** 12


def test_dir_shows_the_public_names_and_each_is_there() -> None:
    assert dir(handful) == sorted([*handful.__all__, "__version__"])
    assert set(dir(handful.runtime)) == set(handful.__all__)
    for name in dir(handful):
        assert getattr(handful, name).__doc__


def test_completion_costs_no_import() -> None:
    code = "import handful, sys; dir(handful); sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@each("kind", [handful.Learner, handful.Task, handful.Listener, handful.Windows])
def test_a_class_shows_no_names_that_are_not_said(kind: type) -> None:
    for name in (name for name in dir(kind) if not name.startswith("_")):
        assert getattr(kind, name).__doc__, name


def test_a_task_says_its_package_classes_and_counts() -> None:
    learner = handful.load("omniglot-prototypical")
    assert repr(learner) == "Learner(omniglot-prototypical: image [28, 28, 1] → 2 or more classes)"
    task = learner.adapt(pictures(3), ["ka", "ga", "ka"])
    assert repr(task) == "Task(omniglot-prototypical: 'ka' 2, 'ga' 1)"
    assert repr(task.with_negatives(pictures(2))).endswith("'ga' 1, 2 negatives)")
    many = learner.adapt(pictures(40), [f"a class of number {i}" for i in range(40)])
    assert repr(many).endswith(", … 20 more classes, 40 examples in all)")
    sensor = handful.load("sensor-maml").adapt([[0.0, 0.0], [1.0, 0.5]], [[0.0], [1.0]])
    assert repr(sensor) == "Task(sensor-maml: 2 examples)"


@each("method", [handful.Learner.adapt, handful.Task.predict, handful.Task.predict_set])
def test_answers_are_typed_by_what_is_asked(method: typing.Callable[..., object]) -> None:
    answers = [typing.get_type_hints(o)["return"] for o in typing.get_overloads(method)]
    assert len(answers) >= 2
    if method is not handful.Learner.adapt:
        assert len(set(map(str, answers))) == len(answers)
