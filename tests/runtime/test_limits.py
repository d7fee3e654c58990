"""A package's limit on the examples in all, for classes and for regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import SupportSetError


def limited(packages: Any, edit: Any, folder: Any, name: str, support: dict[str, int]) -> Any:
    path = packages.copy(name, folder)
    edit(path, lambda manifest: manifest["limits"].update(support=support))
    return handful.load(path)


def refused(call: Any) -> tuple[str, str | None]:
    with pytest.raises(SupportSetError) as error:
        call()
    return str(error.value), error.value.hint


def test_examples_in_all(
    packages: Any, edit: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = limited(packages, edit, tmp_path, "head", {"min": 3, "max": 5})
    x = np.tile(255 * np.eye(6, dtype=np.uint8)[..., None], (6, 1, 1, 1))
    assert refused(lambda: learner.adapt(x, list("ababab"))) == (
        "6 examples in all, this package takes 3 to 5",
        "leave some examples out",
    )
    assert refused(lambda: learner.adapt(x[:2], list("ab"))) == (
        "2 examples in all, this package takes 3 to 5",
        "add examples",
    )
    monkeypatch.setattr(learner._engine, "embed", None)  # too many are refused before the work
    assert refused(lambda: learner.adapt(x, list("ababab")))[1] == "leave some examples out"
    monkeypatch.undo()
    task = learner.adapt(x[:5], list("ababa"))
    assert task.counts == {"a": 3, "b": 2}
    assert refused(lambda: task.add(x[:1], ["a"]))[0] == (
        "6 examples in all, this package takes 3 to 5"
    )


def test_examples_of_a_regression(packages: Any, edit: Any, tmp_path: Any) -> None:
    learner = limited(packages, edit, tmp_path, "line", {"min": 2, "max": 3})
    x = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    assert refused(lambda: learner.adapt(x, [1.0, 2.0, 3.0, 4.0])) == (
        "4 examples, this package takes 2 to 3",
        "leave some examples out",
    )
    assert refused(lambda: learner.adapt(x[:1], [1.0])) == (
        "1 example, this package takes 2 to 3",
        "add examples",
    )
    assert learner.adapt(x[:3], [1.0, 2.0, 3.0]).predict(x).shape == (4, 1)
