"""Accuracy over episodes, with its interval, compared with what it has to beat."""

from __future__ import annotations

from .accuracy import accuracy, embed_set, evaluate, fits
from .result import Result, summarise
from .yardsticks import Features

__all__ = ["Features", "Result", "accuracy", "embed_set", "evaluate", "fits", "summarise"]
