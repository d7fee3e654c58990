"""Accuracy or error over episodes, with its interval, compared with what it has to beat."""

from __future__ import annotations

from .accuracy import Result, Yardsticks, check_fits, embed_set, evaluate, summarise
from .yardsticks import Features

__all__ = ["Features", "Result", "Yardsticks", "check_fits", "embed_set", "evaluate", "summarise"]
