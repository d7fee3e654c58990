"""The learners there are: a plain dict, one file each."""

from __future__ import annotations

from .form import Learner, Outcome, Stage, Support, Tensors, adapt
from .leo import LEO
from .maml import MAML
from .meta_lstm import MetaLSTM
from .nearest import Nearest
from .prototypical import Prototypical
from .reptile import Reptile

__all__ = ["LEARNERS", "Learner", "Outcome", "Stage", "Support", "Tensors", "adapt"]

LEARNERS: dict[str, type[Learner]] = {
    "leo": LEO,
    "maml": MAML,
    "meta-lstm": MetaLSTM,
    "nearest": Nearest,
    "prototypical": Prototypical,
    "reptile": Reptile,
}
