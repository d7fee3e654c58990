"""What a manifest says of how sure answers are: a whole grid of sizes, every number in bounds."""

from collections.abc import Sequence
from itertools import pairwise

from handful.runtime.errors import ManifestError

from .manifest import Bounds, Confidence, Manifest
from .measured import within

MAX_SIZES, MAX_RATES = 256, 32  # entries of `confidence`, and of each list in one
MAX_SCORE, MAX_TEMPERATURE = 1e30, 1e9


def check_confidence(manifest: Manifest) -> None:
    """Refuse what cannot be interpolated: a grid with gaps, entries that differ in their kind."""
    entries = manifest.confidence
    if entries and manifest.task == "regression":
        raise ManifestError("`confidence` has entries, wanted none: the task is regression")
    if len(entries) > MAX_SIZES:
        raise ManifestError(
            f"`confidence` has {len(entries)} entries, at most {MAX_SIZES} are read"
        )
    for i, entry in enumerate(entries):
        _entry(entry, manifest, f"confidence[{i}]")
        _alike(entry, entries[0], f"confidence[{i}]")
    ways, shots = (sorted({getattr(e, name) for e in entries}) for name in ("way", "shot"))
    if [(e.way, e.shot) for e in entries] != [(way, shot) for way in ways for shot in shots]:
        raise ManifestError(
            "`confidence` wants each way with each shot once, in the order of way, then shot"
        )


def _entry(entry: Confidence, manifest: Manifest, place: str) -> None:
    _inside(entry.way, manifest.limits.way, f"{place}.way", least=2)
    _inside(entry.shot, manifest.limits.shot, f"{place}.shot", least=1)
    if entry.classes <= entry.way:
        raise ManifestError(
            f"`{place}.classes` is {entry.classes}, wanted more than the {entry.way} of a task"
        )
    if entry.queries < 1:
        raise ManifestError(f"`{place}.queries` is {entry.queries}, wanted 1 or more")
    within(entry.others, f"{place}.others", 0, 1)
    within(entry.temperature, f"{place}.temperature", 1 / MAX_TEMPERATURE, MAX_TEMPERATURE)
    within(entry.calibration_error, f"{place}.calibration_error", 0, 1)
    for name, entries in (("thresholds", entry.thresholds), ("sets", entry.sets)):
        if not 0 < len(entries) <= MAX_RATES:
            raise ManifestError(
                f"`{place}.{name}` has {len(entries)} entries, wanted 1 to {MAX_RATES}"
            )
    for j, threshold in enumerate(entry.thresholds):
        inner = f"{place}.thresholds[{j}]"
        within(threshold.score, f"{inner}.score", -MAX_SCORE, MAX_SCORE)
        within(threshold.known_kept, f"{inner}.known_kept", 0, 1)
    for j, labels in enumerate(entry.sets):
        inner = f"{place}.sets[{j}]"
        within(labels.probability, f"{inner}.probability", 0, 1)
        within(labels.size, f"{inner}.size", 0, entry.way)
    _monotonous(
        [t.false_accepts for t in entry.thresholds],
        [t.score for t in entry.thresholds],
        f"{place}.thresholds",
        ("false_accepts", "score"),
    )
    _monotonous(
        [s.coverage for s in entry.sets],
        [s.probability for s in entry.sets],
        f"{place}.sets",
        ("coverage", "probability"),
    )


def _alike(entry: Confidence, first: Confidence, place: str) -> None:
    """All entries have one kind of score and the same rates, so that a value lies between two."""
    if entry.others != first.others:
        raise ManifestError(
            f"`{place}.others` is {entry.others!r}, wanted {first.others!r} as in the first entry"
        )
    for name, rate in (("thresholds", "false_accepts"), ("sets", "coverage")):
        rates, wanted = ([getattr(x, rate) for x in getattr(e, name)] for e in (entry, first))
        if rates != wanted:
            raise ManifestError(f"`{place}.{name}` wants the `{rate}` of the first entry")


def _monotonous(
    rates: Sequence[float], values: Sequence[float], place: str, names: tuple[str, str]
) -> None:
    """Rates between 0 and 1 in rising order, each with a value that is no larger than the last."""
    for rate in rates:
        if not 0 < rate < 1:
            raise ManifestError(f"`{place}` has a `{names[0]}` of {rate!r}, wanted between 0 and 1")
    rising = all(a < b for a, b in pairwise(rates))
    if not rising or any(a < b for a, b in pairwise(values)):
        raise ManifestError(f"`{place}` wants rising `{names[0]}` and no rising `{names[1]}`")


def _inside(value: int, bounds: Bounds, place: str, *, least: int) -> None:
    least = max(least, bounds.min)
    if value < least or (bounds.max is not None and value > bounds.max):
        wanted = f"{least} or more" if bounds.max is None else f"{least} to {bounds.max}"
        raise ManifestError(f"`{place}` is {value}, wanted {wanted}")
