"""Warnings where examples have nothing in them, or are far from what a package was trained on."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from handful.runtime.inputs.examples import KINDS, in_pieces
from handful.runtime.package.manifest import InputSpec, Manifest, Seen

from .arrays import Array, Floats
from .errors import EmptyWarning, InputWarning

# Of the width between the percentiles, on either side. On an Omniglot package, of unseen
# characters none lies further out, of invented ones 0.5 %, of photographs 89 %.
MARGIN = 0.5
LEAST_WIDTH = 0.1  # of the largest number: where examples were standardised the width is rounding


MOST_NAMED = 5  # examples in one warning


def warn_of_empty(
    found: Array, spec: InputSpec, name: Callable[[int], str], meaning: str, level: int = 0
) -> None:
    """An EmptyWarning that names the examples with nothing in them, which `found` [B] says.

    `name` is what the example at a place is called, `meaning` what follows from it, `level` the
    `stacklevel`, or 0 for the application's own line.
    """
    places = np.flatnonzero(found)
    if not len(places):
        return
    names = [name(int(at)) for at in places[:MOST_NAMED]]
    if len(places) > MOST_NAMED:
        names.append(f"{len(places) - MOST_NAMED} more")
    has = "has nothing in it" if len(places) == 1 else "have nothing in them"
    words = f"{join_words(names)} {has}: {KINDS[spec.kind].nothing}; {meaning}"
    warnings.warn(words, EmptyWarning, level or _level())


def join_words(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


class Watch:
    """Warns once for each loaded package, however many calls and threads use it."""

    def __init__(self, manifest: Manifest) -> None:
        """`manifest` says what was seen, or nothing: then there are no warnings."""
        self._seen, self._name = manifest.input.seen, manifest.name
        self._lock = threading.Lock()
        self._warned = False

    def look(self, batches: Iterable[Floats], what: str) -> None:
        """Warn if half of the examples in batches [B, ...], or more, are far from what was seen."""
        seen = self._seen
        if seen is None or self._warned:
            return
        flat = [piece.reshape(len(piece), -1) for x in batches for piece in in_pieces(x)]
        if not flat:
            return
        mean: Array = np.concatenate([x.mean(axis=1, dtype=np.float64) for x in flat])
        deviation: Array = np.concatenate([x.std(axis=1, dtype=np.float64) for x in flat])
        if 2 * find_far(mean, deviation, seen).sum() < len(mean):
            return
        with self._lock:
            first, self._warned = not self._warned, True
        if first:
            warnings.warn(self._words(what, mean, deviation, seen), InputWarning, _level())

    def _words(self, what: str, mean: Array, deviation: Array, seen: Seen) -> str:
        found = f"values with mean {np.median(mean):.3g} and deviation {np.median(deviation):.3g}"
        trained = (
            f"{seen.mean[0]:.3g} to {seen.mean[1]:.3g} and"
            f" {seen.deviation[0]:.3g} to {seen.deviation[1]:.3g}"
        )
        return (
            f"{what} unlike what package {self._name} was trained on: {found}, where it saw"
            f" {trained}; its answers may mean nothing"
        )


def find_far(mean: Array, deviation: Array, seen: Seen) -> Array:
    """Which examples lie further outside what was seen than MARGIN times its width: bool [B]."""
    outside = np.zeros(len(mean), bool)
    for values, (low, high) in ((mean, seen.mean), (deviation, seen.deviation)):
        width = max(high - low, LEAST_WIDTH * max(abs(low), abs(high)))
        outside |= (values < low - MARGIN * width) | (values > high + MARGIN * width)
    return outside


def _level() -> int:
    """`stacklevel` of the application's own line, the first outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith(f"{__package__}."):
        level, frame = level + 1, frame.f_back
    return level
