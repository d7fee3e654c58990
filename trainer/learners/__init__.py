"""The learners there are: a plain dict, one file each."""

from __future__ import annotations

from .form import Learner, Outcome, Stage, Support, Tensors, adapt
from .leo import LEO
from .maml import MAML
from .matching import Matching
from .meta_lstm import MetaLSTM
from .nearest import Nearest
from .prototypical import Prototypical
from .relation import Relation
from .reptile import Reptile
from .siamese import Siamese

__all__ = ["LEARNERS", "Learner", "Outcome", "Stage", "Support", "Tensors", "adapt"]

LEARNERS: dict[str, type[Learner]] = {
    "leo": LEO,
    "maml": MAML,
    "matching": Matching,
    "nearest": Nearest,
    "prototypical": Prototypical,
    "relation": Relation,
    "siamese": Siamese,
    "meta-lstm": MetaLSTM,
    "reptile": Reptile,
}
