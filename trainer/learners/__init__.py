"""The learners there are: a plain dict, one file each; a user's own is found by its import path."""

from __future__ import annotations

import dataclasses

from handful.trainer.form import Learner
from handful.trainer.settings.errors import ConfigError, there_are
from handful.trainer.settings.import_path import import_class

from .baseline import Baseline, BaselinePP
from .classifier import Classifier
from .leo import LEO
from .logistic import Logistic
from .maml import MAML
from .matching import Matching
from .means import Means
from .meta_lstm import MetaLSTM
from .nearest import Nearest
from .places import Places
from .prior_means import PriorMeans
from .proto_maml import ProtoMAML
from .prototypical import Prototypical
from .relation import Relation
from .reptile import Reptile
from .ridge import Ridge
from .siamese import Siamese

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
    "places": Places,
    "proto-maml": ProtoMAML,
    "prior-means": PriorMeans,
    "prototypical": Prototypical,
    "relation": Relation,
    "reptile": Reptile,
    "ridge": Ridge,
    "siamese": Siamese,
}


def find_learner(name: str, *, where: str, trusted: bool = True) -> type[Learner]:
    """The class of that name; `package.module:Class` is imported, also from the current folder.

    Not `trusted`, it is looked for among the modules that are imported already.
    Raises a ConfigError that begins with `where` when there is none, or when it is not complete.
    """
    if ":" in name:
        kind = import_class(name, Learner, what="learner", where=where, trusted=trusted)  # type: ignore[type-abstract]
        _complete(kind, where)
        return kind
    if name not in LEARNERS:
        hint = there_are(name, LEARNERS, more=", or module:Class of your own")
        raise ConfigError(f"{where}: there is no learner {name}", hint=hint)
    return LEARNERS[name]


def _complete(kind: type[Learner], where: str) -> None:
    """Refuse a class without a name or settings, before anything is trained."""
    if not isinstance(getattr(kind, "name", None), str):
        raise ConfigError(
            f"{where}: {kind.__name__} has no name",
            hint='give the class a line name = "my-learner", which packages show',
        )
    if not dataclasses.is_dataclass(getattr(kind, "Config", None)):
        raise ConfigError(
            f"{where}: {kind.__name__} has no Config",
            hint="give the class its settings, a frozen dataclass: Config = MyConfig",
        )
