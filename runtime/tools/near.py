"""Examples that are nearly the same: of two classes, or twice of one."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import InputWarning

SAME_CLASS, OTHER_CLASS = 0.08, 0.18  # of the usual distance
COPY = 1e-12  # of the squared lengths, which is rounding
MOST_EXAMPLES = 5000  # that are compared; of more, those at even steps
BLOCK = 256  # rows of distances at a time
MOST_LISTED = 5  # pairs of either kind


class Origin(NamedTuple):
    """Where an example is from."""

    name: str  # its file often
    source: str  # the same for windows of a recording, which are alike by nature


def warn_of_near(
    x: Array, labels: Sequence[str], origins: Sequence[Origin], *, since: int = 0
) -> None:
    """An InputWarning for each of the nearest pairs, and one for how many more there are.

    Pairs of one class and source are left out, and those of the first `since` examples, which were
    looked at before.
    """
    names, sources = [origin.name for origin in origins], [origin.source for origin in origins]
    pairs = [pair for pair in near_pairs(x, labels) if pair.second >= since]
    other = [pair for pair in pairs if labels[pair.first] != labels[pair.second]]
    alike = [pair for pair in pairs if labels[pair.first] == labels[pair.second]]
    same = [pair for pair in alike if sources[pair.first] != sources[pair.second]]
    for pair in other[:MOST_LISTED]:
        _warn(
            f"{names[pair.first]} and {names[pair.second]} are nearly the same to this package, but"
            f" of the classes {labels[pair.first]} and {labels[pair.second]}"
        )
    if len(other) > MOST_LISTED:
        _warn(f"{len(other) - MOST_LISTED} more pairs of two classes are nearly the same")
    for pair in same[:MOST_LISTED]:
        _warn(
            f"{names[pair.first]} and {names[pair.second]}, both of {labels[pair.first]}, are"
            " nearly the same: together they teach little more than one"
        )
    if len(same) > MOST_LISTED:
        _warn(f"{len(same) - MOST_LISTED} more pairs of one class are nearly the same")


@dataclass(frozen=True)
class Near:
    """Two examples, by their places in the support set, and their share of the usual distance."""

    first: int
    second: int
    share: float


def near_pairs(x: Array, labels: Sequence[str]) -> list[Near]:
    """The pairs of examples x [S, ...] that are nearly the same, the nearest first.

    Two examples are compared by the distance of their embeddings, as a share of the usual one: the
    median over all pairs that are not copies. The limits were chosen so that examples that differ
    are left alone: in 300 tasks of each of five sizes (2- and 5-way 1-shot, 5- and 20-way 5-shot,
    5-way 20-shot) no two examples of one class came closer than 0.089, and no two of two classes
    closer than 0.195. These were the training classes of strokes, the closest, of words, and of
    Omniglot by two packages, and the validation classes of Caltech-101 by EfficientNet-Lite0.
    Copies have 0. A movement with 1 % of noise has 0.03 (the median of 300), a character shifted by
    a pixel 0.17 by the embedding of LEO, a photograph without its outermost two pixels 0.20, and
    one that was saved again at JPEG quality 70 0.30: of copies that were altered many are not
    found.
    """
    if not len(x):  # named classes without an example
        return []
    chosen = np.arange(0, len(x), -(-len(x) // MOST_EXAMPLES) or 1)
    flat = x.reshape(len(x), -1)[chosen].astype(np.float64)
    flat -= flat.mean(axis=0)  # so that rounding is small beside the distances
    index = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    classes = np.array([index[label] for label in labels])[chosen]
    lengths = (flat * flat).sum(axis=1)
    usual = _usual_distance(flat)
    found: list[Near] = []
    for at in range(0, len(flat), BLOCK):
        squared = _squared_distances(flat[at : at + BLOCK], flat, lengths[at : at + BLOCK], lengths)
        share = np.sqrt(squared) / usual if usual else np.where(squared > 0, np.inf, 0.0)
        same = classes[at : at + BLOCK, None] == classes
        near = share <= np.where(same, SAME_CLASS, OTHER_CLASS)
        for i, j in zip(*np.nonzero(near), strict=True):
            if at + i < j:
                found.append(Near(int(chosen[at + i]), int(chosen[j]), float(share[i, j])))
    return sorted(found, key=lambda pair: (pair.share, pair.first, pair.second))


def _usual_distance(flat: Array) -> float:
    """The median distance of those that are not copies, over at most BLOCK · 2 examples."""
    some = flat[:: -(-len(flat) // (2 * BLOCK)) or 1]
    lengths = (some * some).sum(axis=1)
    distances = np.sqrt(
        _squared_distances(some, some, lengths, lengths)[np.triu_indices(len(some), 1)]
    )
    apart = distances[distances > 0]
    return float(np.median(apart)) if apart.size else 0.0


def _squared_distances(a: Array, b: Array, of_a: Array, of_b: Array) -> Array:
    """Squared distances [A, B] of rows with these squared lengths; of copies exactly 0."""
    lengths = of_a[:, None] + of_b
    squared = lengths - 2 * a @ b.T
    return np.where(squared <= COPY * lengths, 0.0, squared)


def _warn(text: str) -> None:
    warnings.warn(text, InputWarning, stacklevel=4)
