"""What a manifest says that was measured: one mean an entry, within its bounds, in plain words."""

from handful.runtime.errors import ManifestError

from .manifest import Comparison, Evaluation, Manifest
from .strict import brief

MAX_EVALUATIONS, MAX_TEXT = 1000, 500  # entries of a list, characters for people
MAX_ERROR = 1e30  # of a mean squared error


def check_words(text: str, place: str) -> None:
    """A line for people: what a terminal shows as it is."""
    if not text.isprintable() or len(text) > MAX_TEXT:
        raise ManifestError(
            f"`{place}` is {brief(text)!r}, wanted up to {MAX_TEXT} characters that can be printed"
        )


def check_evaluation(manifest: Manifest) -> None:
    """Refuse a list that is too long, words that cannot be shown, numbers that cannot be."""
    evaluation, regression = manifest.evaluation, manifest.task == "regression"
    _short(evaluation, "evaluation")
    for i, entry in enumerate(evaluation):
        place = f"evaluation[{i}]"
        check_words(entry.data, f"{place}.data")
        check_words(entry.split, f"{place}.split")
        for name in ("way", "shot", "episodes"):
            if (value := getattr(entry, name)) < 1:
                raise ManifestError(f"`{place}.{name}` is {value}, wanted 1 or more")
        if regression and entry.way != 1:
            raise ManifestError(f"`{place}.way` is {entry.way}, wanted 1: the task is regression")
        _measure(entry, place, regression=regression)
        _short(entry.compared, f"{place}.compared")
        for j, comparison in enumerate(entry.compared):
            inner = f"{place}.compared[{j}]"
            check_words(comparison.name, f"{inner}.name")
            _measure(comparison, inner, regression=regression)
            most = MAX_ERROR if regression else 1
            within(comparison.difference, f"{inner}.difference", -most, most)


def _short(entries: tuple[object, ...], place: str) -> None:
    if len(entries) > MAX_EVALUATIONS:
        raise ManifestError(
            f"`{place}` has {len(entries)} entries, at most {MAX_EVALUATIONS} are read"
        )


def _measure(entry: Evaluation | Comparison, place: str, *, regression: bool) -> None:
    """One of the two means, the one of the task, and an interval."""
    names = ("accuracy", "mean_squared_error")
    wanted, other = reversed(names) if regression else names
    value = getattr(entry, wanted)
    if value is None or getattr(entry, other) is not None:
        task = "regression" if regression else "classification"
        raise ManifestError(f"`{place}` wants `{wanted}` alone, the task is {task}")
    most = MAX_ERROR if regression else 1
    within(value, f"{place}.{wanted}", 0, most)
    within(entry.interval, f"{place}.interval", 0, most)


def within(value: float, place: str, least: float, most: float) -> None:
    """Refuse a number that is not between the two."""
    if not least <= value <= most:
        raise ManifestError(f"`{place}` is {value!r}, wanted {least:g} to {most:g}")
