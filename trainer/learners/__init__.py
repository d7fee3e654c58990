"""The learners there are: a plain dict, one file each."""

from __future__ import annotations

from .baseline import Baseline
from .baseline_pp import BaselinePP
from .classifier import Classifier
from .form import Learner, Outcome, Stage, Support, Tensors, adapt
from .leo import LEO
from .logistic import Logistic
from .maml import MAML
from .means import Means
from .nearest import Nearest
from .prototypical import Prototypical
from .ridge import Ridge

__all__ = ["LEARNERS", "Learner", "Outcome", "Stage", "Support", "Tensors", "adapt"]

LEARNERS: dict[str, type[Learner]] = {
    "baseline": Baseline,
    "baseline_pp": BaselinePP,
    "classifier": Classifier,
    "leo": LEO,
    "logistic": Logistic,
    "maml": MAML,
    "means": Means,
    "nearest": Nearest,
    "prototypical": Prototypical,
    "ridge": Ridge,
}
