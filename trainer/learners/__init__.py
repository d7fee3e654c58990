"""The learners there are: a plain dict, one file each."""

from __future__ import annotations

from .baseline import Baseline
from .baseline_pp import BaselinePP
from .classifier import Classifier
from .form import Embedding, Learner, Outcome, Stage, Support, Tensors, adapt
from .leo import LEO
from .logistic import Logistic
from .maml import MAML
from .matching import Matching
from .means import Means
from .meta_lstm import MetaLSTM
from .nearest import Nearest
from .proto_maml import ProtoMAML
from .prototypical import Prototypical
from .relation import Relation
from .reptile import Reptile
from .ridge import Ridge
from .siamese import Siamese

__all__ = ["LEARNERS", "Embedding", "Learner", "Outcome", "Stage", "Support", "Tensors", "adapt"]

LEARNERS: dict[str, type[Learner]] = {
    "baseline": Baseline,
    "baseline-pp": BaselinePP,
    "classifier": Classifier,
    "leo": LEO,
    "logistic": Logistic,
    "maml": MAML,
    "matching": Matching,
    "means": Means,
    "meta-lstm": MetaLSTM,
    "nearest": Nearest,
    "proto-maml": ProtoMAML,
    "prototypical": Prototypical,
    "relation": Relation,
    "reptile": Reptile,
    "ridge": Ridge,
    "siamese": Siamese,
}
