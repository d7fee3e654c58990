"""What a package's manifest promises of how sure its answers are, beside what is found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.confidence import Sizes, softmax
from handful.runtime.tools.text import SHOWN, table
from handful.trainer.sizes import TaskSize

from .confidence import Asked, calibration_error


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A rate of false accepts that was promised, what it is, and what is kept of known queries."""

    promised: float
    false_accepts: float
    known_kept: float


@dataclass(frozen=True, kw_only=True)
class Sure:
    """How sure answers are: the calibration error of their probabilities, and each rate."""

    calibration_error: float
    rates: tuple[Kept, ...]


def promises(sizes: Sizes, one: Asked, shots: Array) -> Sure:
    """The runtime's own rules on the logits of tasks with these shots [N].

    Raises an AdaptError where the package's thresholds do not go on to so many classes.
    """
    probabilities = softmax(one.known, sizes.temperature(shots)).astype(np.float64)
    kept = []
    for threshold in sizes.first.thresholds:
        rate = threshold.false_accepts
        needed = sizes.thresholds(rate, shots)
        known, unknown = (
            float((sizes.score(logits) > needed[logits.argmax(axis=1)]).mean())
            for logits in (one.known, one.unknown)
        )
        kept.append(Kept(promised=rate, false_accepts=unknown, known_kept=known))
    return Sure(calibration_error=calibration_error(probabilities, one.y), rates=tuple(kept))


def as_text(measured: Iterable[tuple[TaskSize, Sure | None]]) -> str:
    """A line for each size where it was measured, with what two rates came to; "" where none."""
    rows, names = [], dict[str, None]()
    for size, sure in measured:
        if sure is None:
            continue
        cells = {"calibration error %": f"{100 * sure.calibration_error:.2f}"}
        for rate in sure.rates:
            if rate.promised in SHOWN:
                promised = f"{100 * rate.promised:g} %"
                cells[f"false accepts at {promised}"] = f"{100 * rate.false_accepts:.1f}"
                cells[f"known kept at {promised}"] = f"{100 * rate.known_kept:.1f}"
        rows.append((size.way, size.shot, *cells.values()))
        names |= dict.fromkeys(cells)
    return table(("way", "shot", *names), rows) if rows else ""
