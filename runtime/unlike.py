"""A warning where examples are far from what a package was trained on."""

from __future__ import annotations

import sys
import threading
import warnings

import numpy as np

from handful.runtime.package.manifest import Manifest, Seen

from .arrays import Array, Floats
from .errors import InputWarning

# Of the width between the percentiles, on either side. On an Omniglot package, of unseen
# characters none lies further out, of invented ones 0.5 %, of photographs 89 %.
MARGIN = 0.5
LEAST_WIDTH = 0.1  # of the largest number: where examples were standardised the width is rounding


class Watch:
    """Warns once for each loaded package, however many calls and threads use it."""

    def __init__(self, manifest: Manifest) -> None:
        """`manifest` says what was seen, or nothing: then there are no warnings."""
        self._seen, self._name = manifest.input.seen, manifest.name
        self._lock = threading.Lock()
        self._warned = False

    def look(self, x: Floats, what: str) -> None:
        """Warn if half of the examples x [B, ...], or more, are far from what was seen."""
        seen = self._seen
        if seen is None or self._warned or not x.size:
            return
        flat = x.reshape(len(x), -1)
        mean: Array = flat.mean(axis=1, dtype=np.float64)
        deviation: Array = flat.std(axis=1, dtype=np.float64)
        if 2 * far(mean, deviation, seen).sum() < len(x):
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


def far(mean: Array, deviation: Array, seen: Seen) -> Array:
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
