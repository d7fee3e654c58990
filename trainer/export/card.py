"""The model card of a package: README.md, written from the manifest alone.

It says in words whether the package beats what stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from handful.runtime.inputs.examples import KINDS
from handful.runtime.package.manifest import Comparison, Evaluation, Manifest
from handful.runtime.tools.text import (
    MEASURED_AS,
    SHOWN,
    difference,
    mean,
    over,
    shots,
    task_of,
    value,
)
from handful.trainer.data.backbones.named import BACKBONES
from handful.trainer.data.record import PACKAGED
from handful.trainer.episodes import TaskSize
from handful.trainer.evaluation.accuracy import INNER_STEPS
from handful.trainer.evaluation.returns import OF_ROLLOUTS

IN_FLOAT32 = "this package with `embed` in float32"
UNSTATED = "LicenseRef-unstated"  # whoever trained it has not said
PRECISIONS = {
    "float32": "",
    "float16": " The weights of `embed` are stored in 16 bits; all arithmetic is float32.",
    "int8": " The convolutions of `embed` are computed in 8 bits; all else is float32.",
}
KINDS_OF_CHANNEL = {
    "value": "a value",
    "place": "a coordinate",
    "state": "a state, on the way to the reading",
}
ENERGIES = ", log-mel energies"  # what ends the name of data that are energies of sounds
LINKS = {"CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/"}


def card(manifest: Manifest) -> str:
    """Markdown: what it is, what it was trained on, accuracy, sizes, limits, licence."""
    parts = [
        f"# {manifest.name}",
        f"A few-shot learner ({manifest.learner}) for devices, made by handful: onnxruntime adapts"
        f" it to {_learnt(manifest)}.",
        _use(manifest),
        *_readings(manifest),
        "## Accuracy",
        _accuracy(manifest),
        *_confidence(manifest),
        "## Contents",
        _contents(manifest),
        "## Training",
        _training(manifest),
        *_credit(manifest),
        f"## Licence\n\n{_licence(manifest)}",
    ]
    return "\n\n".join(parts) + "\n"


def _learnt(manifest: Manifest) -> str:
    if manifest.task == "regression":
        return "a new function from a handful of readings"
    if manifest.task == "policy":
        return "a new world, in which it is to act well, from a handful of rollouts of its own"
    if manifest.classes:
        return "another person, or another device, from a handful of labelled examples"
    return "new classes from a handful of labelled examples"


def _use(manifest: Manifest) -> str:
    labels, sizes = "labels", KINDS[manifest.input.kind].forms(manifest.input)
    if manifest.classes:
        first = manifest.classes[0]
        return (
            "```python\n"
            "import handful\n\n"
            f'learner = handful.load("{manifest.name}")\n'
            "learner.start().predict(example)  # as everybody's classifier\n"
            f"# any of the classes: {sizes}\n"
            f"task = learner.adapt({{{json.dumps(first, ensure_ascii=False)}: [one, two]}})\n"
            "task.predict(example)\n"
            "```\n\n"
            f"Classes: {', '.join(manifest.classes)}."
        )
    if manifest.task == "policy":
        width = int(manifest.targets or 0) - 1
        return (
            "```python\n"
            "import handful\n\n"
            f'task = handful.load("{manifest.name}").start()\n'
            f"action = task.act(observation, rng.standard_normal({width}))"
            f"  # {sizes}, float32 [{width}]\n"
            "# rewards [K, H] of K rollouts, observations and actions [K, H, …]\n"
            "gained = handful.advantages(rewards, observations=observations)\n"
            "task = task.add(handful.Rollout(observations, actions, gained))  # goes on, better\n"
            "```\n\n"
            "An action is a draw: the mean and deviation without noise are `task.act(observation)`."
        )
    if manifest.task == "regression":
        numbers = manifest.graphs[manifest.predict].outputs[0].shape[1]
        labels, sizes = "targets", f"{sizes}, targets [S, {numbers}]"
    return (
        "```python\n"
        "import handful\n\n"
        f"# {sizes}\n"
        f'task = handful.load("{manifest.name}").adapt(examples, {labels})\n'
        "task.predict(example)\n"
        "```"
    )


def _readings(manifest: Manifest) -> list[str]:
    """What a reading is, of a series; and what becomes of a recording."""
    spec = manifest.input
    if spec.kind != "array" or len(spec.shape) != 2:
        return []
    length, words = spec.shape[0], []
    if spec.channels:
        rows = [f"| {c.name} | {KINDS_OF_CHANNEL[c.kind]} | {c.text} |" for c in spec.channels]
        head = "| channel | it is | a number of it |\n| --- | --- | --- |"
        words += ["\n".join([f"A reading has these channels:\n\n{head}", *rows])]
    rate = f", {spec.rate:g} a second" if spec.rate else ""
    taken = f"A recording is cut into windows of {length} readings{rate}."
    if spec.whole:
        ways = {"time": "at even times", "path": "at even steps along the path of its places"}
        taken = (
            f"A recording, of any number of readings, is one example: it is read at {length} places"
            f" {ways[spec.whole]}."
        )
    columns = " Columns of a `.csv` file are found by these names." if spec.channels else ""
    return ["## Readings", *words, taken + columns]


def _accuracy(manifest: Manifest) -> str:
    if not manifest.evaluation:
        return "Not measured."
    rows = [
        f"| {e.data} | {e.split} | {e.way} | {shots(e)} | {over(e)} | {mean(e)} |"
        for e in manifest.evaluation
    ]
    name = MEASURED_AS[manifest.task]
    shot = "rollouts" if manifest.task == "policy" else "shot"
    head = f"| data | split | way | {shot} | episodes | {name} (95 % interval) |"
    measured = (
        "Measured on this package through the runtime; no prediction depends on other queries."
    )
    if any(e.persons for e in manifest.evaluation):
        measured += (
            " Episodes of one person are alike: a mean is of each person's mean, and its interval"
            " is over persons, none of whom it was trained on."
        )
    if any(e.data.endswith(ENERGIES) for e in manifest.evaluation):
        measured += " The energies of sounds enter it behind its front end."
    accuracies = "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows])
    return "\n\n".join([accuracies, measured, *comparison(manifest.evaluation)])


def _confidence(manifest: Manifest) -> list[str]:
    """The confidence that stands in the manifest, where it was measured."""
    if not manifest.confidence:
        return []
    first = manifest.confidence[0]
    kept = [t for t in first.thresholds if t.false_accepts in SHOWN]
    names = [f"known kept at {100 * t.false_accepts:g} % false accepts" for t in kept]
    lines = [
        f"| way | shot | calibration error % | {' | '.join(names)} |",
        "| --- | --- | --- |" + " --- |" * len(kept),
    ]
    for entry in manifest.confidence:
        shares = [t.known_kept for t in entry.thresholds if t.false_accepts in SHOWN]
        cells = [f"{100 * share:.1f} %" for share in shares]
        error = f"{100 * entry.calibration_error:.2f}"
        lines.append(f"| {entry.way} | {entry.shot} | {error} | {' | '.join(cells)} |")
    of = (
        f"on {first.classes} meta-validation classes, on queries of a task's classes and of the"
        " others; with classes that differ from these in kind the rates are others."
    )
    if manifest.classes:
        of = (
            "on persons of the meta-validation; there are no other classes, and a query without the"
            " answer for its own class stood for one of none: with other things the rates differ."
        )
    words = (
        "`task.predict(example, unknown=0.05)` answers `None` where an example is like none of the"
        f" classes; of examples of other classes 5 % are then still given a label. Measured {of}"
    )
    return ["## Confidence and unknown inputs", "\n".join(lines), words]


def _contents(manifest: Manifest) -> str:
    rows = [f"| {graph.file} | {graph.bytes} |" for graph in manifest.graphs.values()]
    way, shot = manifest.limits.way, manifest.limits.shot
    most = manifest.limits.support.max
    stages = "; ".join(
        f"{s.name}: {s.init}" + (f", {s.steps} × {s.step}" if s.step else "")
        for s in manifest.stages
    )
    sizes = (
        f"Classes in a task: {way.min} to {way.max or 'any number'};"
        f" examples a class: {shot.min} to {shot.max or 'any number'}"
    )
    if manifest.task != "classification":
        what = "Readings of rollouts" if manifest.task == "policy" else "Examples of a function"
        sizes = f"{what}: {shot.min} or more"
    return (
        "\n".join(["| file | bytes |", "| --- | --- |", *rows])
        + f"\n\nStages: {stages}. {sizes}"
        + (f", at most {most} in all." if most else ".")
        + PRECISIONS[manifest.precision]
    )


def _training(manifest: Manifest) -> str:
    training = manifest.training
    lines = []
    data = training.get("config", {}).get("data", {})
    if str(data.get("backbone")) in BACKBONES:
        lines.append(f"Frozen backbone: {data['backbone']}.")
    if training.get(PACKAGED) == {}:
        lines.append("Nothing was trained beside it: every class is new to the package.")
    if training.get("finished") is False:
        lines.append(
            "**The training had not finished** when this was exported:"
            f" {training['steps_left']} steps were left."
        )
    if "recipe" in training:
        command = f"handful train {training['recipe']} --out runs/{manifest.name}"
        # what was added afterwards no training gives back
        word = "Train one like it" if "added" in training else "Reproduce it"
        lines.append(f"{word}: `{command}`.")
    if "note" in training:
        lines.append(training["note"])
    if "step" in training:
        lines.append(f"Parameters of step {training['step']}, the best validated.")
        if training["step"] == 0:  # a person would read "trained" into the accuracy
            lines.append("Meta-training did not improve on its start: none of it is in them.")
    if "seconds" in training:
        lines.append(f"Training time: {training['seconds'] / 60:.0f} minutes.")
    if "versions" in training:
        versions = ", ".join(f"{k} {v}" for k, v in training["versions"].items())
        lines.append(f"Versions: {versions}.")
    lines.append("The whole configuration stands in manifest.json under `training`.")
    return "\n".join(lines)


def _credit(manifest: Manifest) -> list[str]:
    """Who made the data and the backbone, under which licence, and what was changed."""
    credit, lines = manifest.training.get("credit"), []
    if isinstance(credit, dict):
        lines = [
            f"Trained on {credit.get('data')} by {credit.get('authors')}"
            f" ({credit.get('source')}), licence {_link(credit.get('licence'))}."
            f" Changes: {credit.get('changes')}.",
            *([f"Please cite: {credit['cite']}."] if "cite" in credit else []),
        ]
    data = manifest.training.get("config", {}).get("data", {})
    if (named := BACKBONES.get(str(data.get("backbone")))) is not None:
        lines.append(
            f"The backbone is {named.source}, licence {named.licence}. Changes: {named.changes}."
        )
    return ["## Credit", "\n\n".join(lines)] if lines else []


def _link(licence: Any) -> str:
    return f"[{licence}]({LINKS[licence]})" if licence in LINKS else str(licence)


def _licence(manifest: Manifest) -> str:
    if manifest.licence == UNSTATED:
        return f"Not stated ({UNSTATED}): ask whoever made the package before you pass it on."
    return manifest.licence


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
    return MEASURED_AS[task_of(measured[0])]


def _better(measured: Sequence[Evaluation]) -> str:
    return "below" if measured[0].mean_squared_error is not None else "above"


def _table(names: Sequence[str], measured: Sequence[Evaluation]) -> str:
    rows = [
        ("**this package**", *(f"**{value(e)}**" for e in measured)),
        *((name, *(_cell(_by_name(e, name)) for e in measured)) for name in names),
    ]
    return markdown_table(("compared with", *map(_size, measured)), rows)


def _cell(other: Comparison | None) -> str:
    return "" if other is None else f"{value(other)} ({difference(other)})"


def _by_name(evaluation: Evaluation, name: str) -> Comparison | None:
    return next((c for c in evaluation.compared if c.name == name), None)


def _size(evaluation: Evaluation) -> str:
    if evaluation.mean_return is not None:
        return f"{evaluation.shot} rollouts"
    return str(TaskSize(evaluation.way, evaluation.shot, 1, evaluation.given))


def _verdicts(names: Sequence[str], measured: Sequence[Evaluation]) -> list[str]:
    """A sentence for each rule that the package does not beat, and on inner steps that are idle."""
    sentences = []
    cost = "accuracy" if measured[0].mean_return is None else "return"
    for name in names:
        below, level = (_where(measured, name, holds) for holds in (_is_below, _is_level))
        if is_start(name):
            if below:
                sentences.append(f"The inner steps cost {cost} at {_join(below)}.")
            if level:
                sentences.append(
                    f"The inner steps gain nothing beyond the interval at {_join(level)}."
                )
        elif name == IN_FLOAT32:
            sentences += [f"The lower precision costs accuracy at {_join(below)}."] if below else []
        elif not is_step(name) and (below or level):
            where = [
                *([f"it is {_worse(measured)} at {_join(below)}"] if below else []),
                *([f"it is level, within the interval, at {_join(level)}"] if level else []),
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


def is_start(name: str) -> bool:
    """Whether it is with the learner before any."""
    return is_step(name) and name.startswith("0 ")


def is_step(name: str) -> bool:
    """Whether a comparison is with the learner itself after other inner steps, or other rounds."""
    return name.endswith((INNER_STEPS, OF_ROLLOUTS))


def _join(sizes: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(sizes[:-1]), sizes[-1]]))


def _worse(measured: Sequence[Evaluation]) -> str:
    return "above" if measured[0].mean_squared_error is not None else "below"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; a bar inside a cell is escaped."""

    def line(cells: Iterable[Any]) -> str:
        return f"| {' | '.join(str(cell).strip().replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)])
