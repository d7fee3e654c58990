"""Manifests that make no policy of the package `bandit`: how each is made, how it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ENTRY = {
    "data": "cart", "split": "meta_test", "way": 1, "shot": 20, "given": None, "episodes": 10,
    "persons": None, "accuracy": None, "mean_squared_error": None, "mean_return": -3.0,
    "interval": 1.0, "transductive": False, "compared": [],
}  # fmt: skip
COMPARED = {
    "name": "chance", "accuracy": 0.5, "mean_squared_error": None, "mean_return": None,
    "difference": 0.1, "interval": 0.1,
}  # fmt: skip
SURE = {
    "way": 2, "shot": 1, "classes": 9, "queries": 9, "others": 0.5, "temperature": 1.0,
    "calibration_error": 0.1,
    "thresholds": [{"false_accepts": 0.1, "score": 1.0, "known_kept": 0.5}],
    "sets": [{"coverage": 0.9, "probability": 0.1, "size": 2.0}],
}  # fmt: skip

Change = Callable[[dict[str, Any]], object]


def measured(**change: Any) -> Change:
    """With one measurement, altered so."""
    return lambda content: content.update(evaluation=[{**ENTRY, **change}])


def answers(*shape: Any) -> Change:
    """With answers of another shape."""
    return lambda content: content["graphs"]["predict"]["outputs"][0].update(shape=[*shape])


def targets(*shape: Any) -> Change:
    """With a step that reads targets of another shape."""
    return lambda content: content["graphs"]["step"]["inputs"][2].update(shape=[*shape])


def drawn(content: dict[str, Any]) -> None:
    content["stages"][0]["noise"] = ["z"]
    noise = {"name": "z", "dtype": "float32", "shape": [1]}
    content["graphs"]["start"]["inputs"].append(noise)


def named(content: dict[str, Any]) -> None:
    content["classes"] = ["up", "down"]
    content["limits"]["way"] = {"min": 2, "max": 2}


ALONE = "wants `mean_return` alone, the task is policy"
CASES: dict[str, tuple[Change, str]] = {
    "a mean without a deviation": (
        answers("Q", 3),
        "`graphs.predict.outputs` has `outputs` of 3 numbers, wanted an even number",
    ),
    "targets of two actions": (
        targets("S", 3),
        "`graphs.step.inputs` has 'support_y': float32 ['S', 3], wanted float32 ['S', 2]",
    ),
    "targets of classes": (targets("S", "N"), "wanted float32 ['S', 2]"),
    "answers of classes": (
        lambda content: content["graphs"]["predict"]["outputs"][0].update(name="logits"),
        "`graphs.predict.outputs` is logits, wanted outputs",
    ),
    "noise": (drawn, "`stages[0].noise` is given, wanted none: the task is policy"),
    "classes": (named, "`classes` is given, wanted null: the task is policy"),
    "confidence": (
        lambda content: content.update(confidence=[SURE]),
        "`confidence` has entries, wanted none: the task is policy",
    ),
    "an accuracy": (measured(mean_return=None, accuracy=0.5), f"`evaluation[0]` {ALONE}"),
    "an accuracy beside a return": (measured(accuracy=0.5), f"`evaluation[0]` {ALONE}"),
    "an accuracy to compare with": (
        measured(compared=[COMPARED]),
        f"`evaluation[0].compared[0]` {ALONE}",
    ),
    "ways": (measured(way=5), "`evaluation[0].way` is 5, wanted 1: the task is policy"),
    "no rollout": (measured(shot=0), "`evaluation[0].shot` is 0, wanted 1 or more"),
    "a return beyond all": (
        measured(mean_return=-2e30),
        "`evaluation[0].mean_return` is -2e+30, wanted -1e+30 to 1e+30",
    ),
    "a least number of readings": (
        lambda content: content["limits"].update(shot={"min": 1, "max": None}),
        "`limits.shot` is 1 to None, wanted low to high, from 0",
    ),
}
