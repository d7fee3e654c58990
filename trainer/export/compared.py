"""The card's comparison: what a package's accuracy has to beat, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from handful.runtime.package.manifest import Comparison, Evaluation
from handful.runtime.tools.text import ERROR, difference, value
from handful.trainer.evaluation.result import INNER_STEPS
from handful.trainer.markdown import markdown_table
from handful.trainer.sizes import TaskSize

IN_FLOAT32 = "this package with `embed` in float32"


def is_step(name: str) -> bool:
    """Whether a comparison is with the learner itself after fewer inner steps."""
    return name.endswith(INNER_STEPS)


def is_start(name: str) -> bool:
    """Whether it is with the learner before any inner step."""
    return is_step(name) and name.startswith("0 of ")


def comparison(evaluation: Sequence[Evaluation]) -> list[str]:
    """Paragraphs of Markdown: a table for each data set, then what it says in words."""
    data = dict.fromkeys((e.data, e.split) for e in evaluation if e.compared)
    paragraphs = []
    for name, split in data:
        measured = [e for e in evaluation if (e.data, e.split) == (name, split) and e.compared]
        names = list(dict.fromkeys(c.name for e in measured for c in e.compared))
        paragraphs += [
            f"On the same episodes of {name}, {split}: {_measure(measured)}, and in brackets by how"
            f" much the package is {_better(measured)} it, ± the 95 % interval of the paired"
            " difference.",
            _table(names, measured),
            *_verdicts(names, measured),
        ]
    return paragraphs


def _measure(measured: Sequence[Evaluation]) -> str:
    return "accuracy %" if measured[0].accuracy is not None else ERROR


def _better(measured: Sequence[Evaluation]) -> str:
    return "above" if measured[0].accuracy is not None else "below"


def _worse(measured: Sequence[Evaluation]) -> str:
    return "below" if measured[0].accuracy is not None else "above"


def _table(names: Sequence[str], measured: Sequence[Evaluation]) -> str:
    rows = [
        ("**this package**", *(f"**{value(e)}**" for e in measured)),
        *((name, *(_cell(_by_name(e, name)) for e in measured)) for name in names),
    ]
    return markdown_table(("compared with", *map(_size, measured)), rows)


def _cell(other: Comparison | None) -> str:
    return "" if other is None else f"{value(other)} ({difference(other)})"


def _verdicts(names: Sequence[str], measured: Sequence[Evaluation]) -> list[str]:
    """A sentence for each rule that the package does not beat, and on inner steps that are idle."""
    sentences = []
    for name in names:
        below, level = (_where(measured, name, holds) for holds in (_is_below, _is_level))
        if is_start(name):
            if below:
                sentences.append(f"The inner steps cost accuracy at {_listed(below)}.")
            if level:
                sentences.append(
                    f"The inner steps gain nothing beyond the interval at {_listed(level)}."
                )
        elif name == IN_FLOAT32:
            sentences += (
                [f"The lower precision costs accuracy at {_listed(below)}."] if below else []
            )
        elif not is_step(name) and (below or level):
            where = [
                *([f"it is {_worse(measured)} at {_listed(below)}"] if below else []),
                *([f"it is level, within the interval, at {_listed(level)}"] if level else []),
            ]
            sentences.append(f"This package does not beat {name}: {'; '.join(where)}.")
    return [" ".join(sentences)] if sentences else []


def _where(
    measured: Sequence[Evaluation], name: str, holds: Callable[[Comparison], bool]
) -> list[str]:
    pairs = ((e, _by_name(e, name)) for e in measured)
    return [_size(e) for e, other in pairs if other is not None and holds(other)]


def _is_below(other: Comparison) -> bool:
    return other.difference < -other.interval


def _is_level(other: Comparison) -> bool:
    return abs(other.difference) <= other.interval


def _by_name(evaluation: Evaluation, name: str) -> Comparison | None:
    return next((c for c in evaluation.compared if c.name == name), None)


def _size(evaluation: Evaluation) -> str:
    return str(TaskSize(evaluation.way, evaluation.shot, 1))


def _listed(sizes: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(sizes[:-1]), sizes[-1]]))
