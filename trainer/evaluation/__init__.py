"""Accuracy or error over episodes, with its interval, compared with what it has to beat."""

from __future__ import annotations

from .accuracy import Result, Yardsticks, embed_set, evaluate, check_fits, summarise
from .yardsticks import Features

__all__ = ["Features", "Result", "Yardsticks", "embed_set", "evaluate", "check_fits", "summarise"]
