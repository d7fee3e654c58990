"""What the commands found, as plain text: tables whose columns are as wide as they must be."""

import codecs
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from handful.runtime.package.manifest import (
    Bounds,
    Comparison,
    Confidence,
    InputSpec,
    Manifest,
    TaskName,
)

if TYPE_CHECKING:
    from .bench import Bench
    from .inspect import Description
    from .on_files import Answer
    from .rollouts import Acted
    from .verify import Report

ERROR = "mean squared error"
MEASURED_AS = {  # what the tables call what is measured of each kind of task
    "classification": "accuracy %",
    "regression": ERROR,
    "policy": "mean return",
}
MEASURED_AS = {  # what the tables call what is measured of each kind of task
    "classification": "accuracy %", "regression": ERROR, "policy": "mean return",
}  # fmt: skip
SHOWN = (0.01, 0.05)  # rates of false accepts, in `inspect` and on the card
MOST_OPERATORS = 5  # of a graph, in `inspect`; its JSON has all
# what is written where an encoding has no such character
PLAIN = {"→": "->", "−": "-", "±": "+/-", "×": "x", "…": "...", "·": "*", "≤": "<=", "≥": ">="}


def format_description(package: "Description") -> str:
    """A package: what it takes, what it runs, what it reached."""
    manifest = package.manifest
    size = ", ".join(map(str, manifest.input.shape))
    parts = [
        f"{manifest.name}: {manifest.learner}, {manifest.task}, {package.bytes} bytes",
        f"input   {manifest.input.kind} [{size}]{_at_rate(manifest)}",
        *([f"classes {', '.join(manifest.classes)}"] if manifest.classes else []),
        *([f"reading {read}"] if (read := reading(manifest.input)) else []),
        f"limits  {_limits(manifest)}",
        f"order   {' → '.join(package.order)}",
        *([f"embed   {manifest.precision}"] if manifest.precision != "float32" else []),
        f"licence {manifest.licence}",
        "",
        table(
            ("graph", "bytes", "nodes", "parameters", "operators"),
            ((g.name, g.bytes, g.nodes, g.parameters, _most(g.operators)) for g in package.graphs),
        ),
    ]
    for data in dict.fromkeys(f"{e.data}, {e.split}" for e in manifest.evaluation):
        measured = [e for e in manifest.evaluation if f"{e.data}, {e.split}" == data]
        parts += ["", f"measured on {data}:", accuracies(measured)]
    if manifest.confidence:
        classes = manifest.confidence[0].classes
        parts += ["", f"confidence, on {classes} meta-validation classes and queries of others:"]
        parts += [format_confidence(manifest.confidence)]
    return "\n".join(parts)


def _at_rate(manifest: Manifest) -> str:
    """The rate of audio or of a series, and how long an example is."""
    rate = manifest.input.rate
    return "" if rate is None else f" at {rate} Hz: {manifest.input.shape[0] / rate:g} s"


def reading(spec: InputSpec) -> str:
    """What a reading of a series is, and what becomes of a recording; "" where nothing is said."""
    channels = ", ".join(
        channel.name + (f" ({channel.text})" if channel.text else "")
        for channel in spec.channels or ()
    )
    places = " and ".join(c.name for c in spec.channels or () if c.kind == "place")
    ways = {"time": "at even times", "path": f"at even steps along the path of {places}"}
    taken = (
        f"a recording is one example, read at {spec.shape[0]} places {ways[spec.whole]}"
        if (spec.whole)
        else ""
    )
    return "; ".join(filter(None, (channels, taken)))


def _limits(manifest: Manifest) -> str:
    limits = manifest.limits
    if manifest.task != "classification":  # neither a function nor a policy has ways
        what = "readings" if manifest.task == "policy" else "examples"
        return f"{what} {_bounds(limits.shot)}"
    most = limits.support.max
    support = f", at most {most} examples in all" if most else ""
    return f"way {_bounds(limits.way)}, shot {_bounds(limits.shot)}{support}"


def _bounds(bounds: Bounds) -> str:
    return f"{bounds.min} or more" if bounds.max is None else f"{bounds.min} to {bounds.max}"


def _most(operators: dict[str, int]) -> str:
    most = [f"{name} {count}" for name, count in list(operators.items())[:MOST_OPERATORS]]
    return ", ".join([*most, "…"] if len(operators) > len(most) else most)


def format_confidence(entries: Sequence[Confidence]) -> str:
    """A line for each size: how far probabilities are off, and what is kept at two rates."""
    rates = [i for i, t in enumerate(entries[0].thresholds) if t.false_accepts in SHOWN]
    names = [f"kept at {100 * entries[0].thresholds[i].false_accepts:g} %" for i in rates]
    return table(
        ("way", "shot", "temperature", "calibration error %", *names),
        (
            (
                e.way,
                e.shot,
                f"{e.temperature:.2f}",
                f"{100 * e.calibration_error:.2f}",
                *(f"{100 * e.thresholds[i].known_kept:.1f}" for i in rates),
            )
            for e in entries
        ),
    )


def format_answers(answers: "Iterable[Answer | Acted]") -> str:
    """A line for each picture: label and score, or `-` twice for none of the classes, and file.

    Of a policy the means of its actions, then their deviations, and the file.
    """
    return "\n".join("\t".join([*_said(answer), answer.file]) for answer in answers)


def _said(answer: "Answer | Acted") -> list[str]:
    from .rollouts import Acted  # needs numpy

    if isinstance(answer, Acted):
        return [f"{value:.4g}" for value in (*answer.mean, *answer.deviation)]
    return ["-" if answer.label is None else answer.label, probability(answer)]


def probability(answer: "Answer") -> str:
    """Of an answer's label; `-` where it is none of the classes, which has none."""
    return "-" if answer.score is None else f"{answer.score:.3f}"


def format_verification(report: "Report") -> str:
    """One line: what was compared, and how far apart it was."""
    line = (
        f"{report.name}: {report.files} files, {report.bytes} bytes, "
        f"{len(report.differences)} golden vectors, worst difference {report.worst:.1e}"
    )
    if report.tolerances:
        most = max(report.tolerances.values())
        line += f" ({len(report.tolerances)} magnify rounding, up to {most:.1e} is allowed)"
    golden = {"pictures": report.pictures, "sounds": report.sounds, "series": report.series}
    for kind, found in golden.items():
        if found:
            line += f"; {len(found)} golden {kind}, worst difference {max(found.values()):.1e}"
    return line


def format_bench(measured: "Bench") -> str:
    """A line for each measurement."""
    words = {
        name: "unknown" if value is None else f"{value:.3f}" if isinstance(value, float) else value
        for name, value in asdict(measured).items()
    }
    return pairs(words.items())


class Measured(Protocol):
    """An accuracy: of the trainer, or in a manifest."""

    @property
    def way(self) -> int: ...  # noqa: D102
    @property
    def shot(self) -> int: ...  # noqa: D102
    @property
    def given(self) -> int | None: ...  # noqa: D102
    @property
    def persons(self) -> int | None: ...  # noqa: D102
    @property
    def episodes(self) -> int: ...  # noqa: D102
    @property
    def accuracy(self) -> float | None: ...  # noqa: D102
    @property
    def mean_return(self) -> float | None: ...  # noqa: D102
    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def interval(self) -> float: ...  # noqa: D102
    @property
    def transductive(self) -> bool: ...  # noqa: D102
    @property
    def compared(self) -> tuple[Comparison, ...]: ...  # noqa: D102


def value(measured: Measured | Comparison) -> str:
    """The mean alone."""
    return _number(measured, measured.value)


def _number(measured: Measured | Comparison, number: float, *, sign: str = "") -> str:
    """In percent where an accuracy was measured; an error, or a difference of two, as it is."""
    if measured.accuracy is not None:
        return f"{100 * number:{sign}.2f}"
    return f"{number:{sign}.5f}" if measured.mean_return is None else f"{number:{sign}.2f}"


def accuracies(results: Sequence[Measured]) -> str:
    """A line for each size of task; below, where it was measured, what each has to beat."""
    task = task_of(results[0]) if results else "classification"
    sizes = {"classification": ("way", "shot"), "regression": ("shot",), "policy": ("rollouts",)}
    name = MEASURED_AS[task]

    def size(result: Measured) -> tuple[int | str, ...]:
        return (result.way, shots(result)) if task == "classification" else (shots(result),)

    rows = [(*size(r), over(r), mean(r), "transductive" if r.transductive else "") for r in results]
    measured = table((*sizes[task], "episodes", name, ""), rows)
    compared = [
        (*size(r), comparison.name, value(comparison), difference(comparison))
        for r in results
        for comparison in r.compared
    ]
    if not compared:
        return measured
    ahead = f"the learner is {'below' if task == 'regression' else 'above'} it by"
    head = (*sizes[task], "on the same episodes", name, ahead)
    return f"{measured}\n\n{table(head, compared)}"


def task_of(measured: Measured | Comparison) -> TaskName:
    """Of which kind of task it was measured: each has a measure of its own."""
    if measured.accuracy is not None:
        return "classification"
    return "regression" if measured.mean_return is None else "policy"


def shots(result: Measured) -> int | str:
    """Examples of a class, and of how many classes where it is not of all: `5 of 4 classes`."""
    return result.shot if result.given is None else f"{result.shot} of {result.given} classes"


def over(result: Measured) -> int | str:
    """What the mean is over: episodes, and of how many persons where each has its own mean."""
    return result.episodes if result.persons is None else f"{result.episodes} of {result.persons}"


def mean(result: Measured) -> str:
    """As `98.47 ± 0.20`, in percent; an error as `0.01230 ± 0.00040`, in squared units."""
    return f"{value(result)} ± {_number(result, result.interval)}"


def difference(comparison: Comparison) -> str:
    """As `−0.31 ± 0.07`, in percent; a typographic minus is as wide as the plus."""
    signed = _number(comparison, comparison.difference, sign="+").replace("-", "−")
    return f"{signed} ± {_number(comparison, comparison.interval)}"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Numbers to the right, words to the left."""
    body = list(rows)
    cells = [list(head), *[[str(cell) for cell in row] for row in body]]
    widths = [max(columns(row[i]) for row in cells) for i in range(len(head))]
    right = [bool(body) and isinstance(body[0][i], int | float) for i in range(len(head))]
    lines = (
        "  ".join(
            f"{_room(cell, width)}{cell}" if number else f"{cell}{_room(cell, width)}"
            for cell, width, number in zip(row, widths, right, strict=True)
        )
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def columns(text: str) -> int:
    """How many columns of a terminal the text takes: signs of East Asia two, marks on others none.

    By Unicode's East Asian width (UAX #11).
    """
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(c) in ("W", "F")
        else 1
        for c in text
    )


def _room(text: str, width: int) -> str:
    """The blanks that fill it up to a width."""
    return " " * (width - columns(text))


def pairs(rows: Iterable[tuple[str, Any]]) -> str:
    """Names, and what there is to say of each."""
    lines = list(rows)
    width = max((columns(name) for name, _ in lines), default=0)
    return "\n".join(f"{name}{_room(name, width)}  {value}" for name, value in lines)


def use_any_encoding() -> None:
    """Let stdout and stderr write all text, whatever their encoding: what it lacks in other signs.

    A terminal or a file may have a code page of 256 characters, or ASCII alone.
    """
    codecs.register_error("handful", _in_other_signs)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # None, closed, or somebody's own
            stream.reconfigure(errors="handful")  # type: ignore[union-attr]


def _in_other_signs(error: UnicodeError) -> tuple[str, int]:
    """`->` for an arrow, `\\u732b` for a character without any likeness."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    text = "".join(PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return text, error.end
