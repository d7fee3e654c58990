"""The one form of every learner, and what is asked of it."""

from .learner import Embedding, Learner, Outcome
from .stage import Noise, Stage, Support, Tensors
from .task import cross_entropy

__all__ = [
    "Embedding",
    "Learner",
    "Noise",
    "Outcome",
    "Stage",
    "Support",
    "Tensors",
    "cross_entropy",
]
