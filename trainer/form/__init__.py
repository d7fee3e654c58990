"""The one form of every learner, and what is asked of it."""

from __future__ import annotations

from .learner import Embedding, Learner, Outcome, Variant, adapt, part
from .stage import Noise, Stage, Support, Tensors
from .task import cross_entropy

__all__ = [
    "Embedding", "Learner", "Noise", "Outcome", "Stage", "Support", "Tensors", "Variant", "adapt",
    "cross_entropy", "part",
]  # fmt: skip
