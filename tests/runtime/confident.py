"""Packages with measured confidence, with numbers that can be followed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import handful

from . import edit

RATES = (0.01, 0.1, 0.5)
COVERAGES = (0.9, 0.99)


def entry(way: int, shot: int, **values: Any) -> dict[str, Any]:
    """Thresholds −1, −4, −9 and sets 0.5, 0.25, the temperature 1, unless `values` says more."""
    scores = values.pop("scores", (-1.0, -4.0, -9.0))
    least = values.pop("least", (0.5, 0.25))
    return {
        "way": way,
        "shot": shot,
        "classes": 30,
        "queries": 1000,
        "others": 0.0,
        "temperature": 1.0,
        "calibration_error": 0.01,
        "thresholds": [
            {"false_accepts": rate, "score": score, "known_kept": 0.9}
            for rate, score in zip(RATES, scores, strict=True)
        ],
        "sets": [
            {"coverage": coverage, "probability": probability, "size": 1.5}
            for coverage, probability in zip(COVERAGES, least, strict=True)
        ],
        **values,
    }


def grid(**values: Any) -> list[dict[str, Any]]:
    """The same for 2 and 8 classes with 1 and 4 examples each."""
    return [entry(way, shot, **values) for way in (2, 8) for shot in (1, 4)]


def sure(folder: Path, entries: list[dict[str, Any]]) -> handful.Learner:
    """The package in the folder, with these entries of `confidence`."""
    edit.manifest(folder, lambda content: content.update(confidence=entries))
    return handful.load(folder)
