"""Is a package as sure as it says on meta-test classes: calibration, false accepts, sets.

`python benchmarks/unknown.py PACKAGE[=DATA] …` asks packages that say how sure they are (their
manifests' `confidence`) queries of a task's classes and as many of other test classes, and writes
results/unknown.md. DATA says where a package's data are now. All is computed by
the runtime's own rules, from thresholds that were measured on meta-validation classes. A package
that is measured again has its tables replaced, and others stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from tables import FOLDER, write_table

from handful.runtime.arrays import Array, Floats
from handful.runtime.confidence import Sizes, softmax
from handful.runtime.package.decode import read_manifest
from handful.runtime.package.read import find
from handful.runtime.support import Support, one_hot
from handful.runtime.task import Task, adapt
from handful.runtime.tools.evaluate import Episodes
from handful.trainer.data import LabelledSet
from handful.trainer.data.labelled import ONE_GROUP
from handful.trainer.episodes import TaskSize, draw_rows
from handful.trainer.evaluation.confidence import ask, promises, with_unknown
from handful.trainer.evaluation.packages import MeasuredPackage, embed_shared, package_logits
from handful.trainer.training.data import RecordedData
from handful.trainer.workers import Shape, Workers, workers

MEASURED = ((2, 1), (5, 1), (5, 5), (20, 1), (20, 5))  # sizes that thresholds were measured at
BETWEEN = ((3, 3), (7, 1), (12, 4), (40, 1), (40, 5))  # and others, the last two beyond them
UNEVEN = (1, 1, 2, 3, 5)  # shots of one task
RATES, COVERAGES = (0.01, 0.05, 0.2), (0.9, 0.95, 0.99)
QUERIES, ASKED, SEED = 5, 10_000, 1
LEGEND = (
    f"On meta-test classes, with thresholds of meta-validation classes: {ASKED} queries of a task's"
    " classes at each size and as many of other test classes, all of one seed. ECE: expected"
    " calibration error, 15 bins. *promised*: the share of unknown queries that gets a label, which"
    " should be the rate above it. *kept*: the share of known queries that does. *set*: how often"
    " the set of labels holds the right one, and how many it has; beside it how often the two"
    " likeliest do. A size with * was not measured at export; the values are read between those"
    " that were, or beyond them. *negatives*: 5-way 1-shot, that many examples of none of the"
    " classes given to the task, and where they and the unknown queries are from."
    " Packages without thresholds take them from other things: [others.md](others.md)."
)
NEGATIVES, RATE, TASKS = (0, 5, 20), 0.05, 300


class Subject(NamedTuple):
    """A package with its meta-test examples."""

    loaded: MeasuredPackage
    data: LabelledSet
    h: Floats  # [M, ...] embedded
    sizes: Sizes


def subject(name: str, pool: Workers) -> Subject:
    """The package of an argument NAME or NAME=DATA."""
    folder, _, moved = name.partition("=")
    package = find(folder)
    manifest = read_manifest(package)
    recorded = RecordedData.of_package(manifest.training, moved or None)
    data = recorded.pictures("meta_test", package=manifest.input)
    loaded = MeasuredPackage.load_for(package, data.input)
    return Subject(loaded, data, embed_shared(loaded, data.x.numpy(), pool), Sizes(manifest))


def row(of: Subject, way: int, shots: tuple[int, ...], label: str, pool: Workers) -> str:
    """A line of the table: tasks with these shots, one for each class."""
    size = TaskSize(way, max(shots), QUERIES)
    count = max(50, ASKED // (way * QUERIES))
    drawn, known = with_unknown(of.data, size, episodes=count, seed=SEED)
    kept = np.array([n * max(shots) + k for n in range(way) for k in range(shots[n])])
    drawn = replace(drawn, support=drawn.support[:, kept], support_y=drawn.support_y[:, kept])
    logits = package_logits(of.loaded, of.h, drawn, tick=lambda: None, workers=pool)
    return measure_rules(of.sizes, logits, drawn, known, np.array(shots), label)


def measure_rules(
    sizes: Sizes, logits: Floats, drawn: Episodes, known: int, shots: Array, label: str
) -> str:
    """What the runtime's rules come to, in percent."""
    one = ask(logits, drawn, known)
    sure = promises(sizes, one, shots)
    probabilities = softmax(one.known, sizes.temperature(shots)).astype(np.float64)
    right = probabilities.argmax(axis=1) == one.y
    cells = [label, f"{100 * right.mean():.2f}", f"{100 * sure.calibration_error:.2f}"]
    rates = [of_rate for of_rate in sure.rates if of_rate.promised in RATES]
    accepted = [f"{100 * of_rate.false_accepts:.1f}" for of_rate in rates]
    keeps = [f"{100 * of_rate.known_kept:.1f}" for of_rate in rates]
    for coverage in COVERAGES:
        chosen = probabilities >= sizes.probability(coverage, shots)
        chosen[np.arange(len(chosen)), probabilities.argmax(axis=1)] = True
        covered = chosen[np.arange(len(chosen)), one.y].mean()
        keeps.append(f"{100 * covered:.1f} ({chosen.sum(axis=1).mean():.2f})")
    two = np.argsort(probabilities, axis=1)[:, -2:]
    keeps.append(f"{100 * (two == one.y[:, None]).any(axis=1).mean():.1f}")
    return f"| {' | '.join([*cells, *accepted, *keeps])} |"


def table(of: Subject, pool: Workers) -> list[str]:
    """Every size that the test classes and the package allow."""
    promised = [f"{100 * rate:g} % promised" for rate in RATES]
    keeps = [f"kept at {100 * rate:g} %" for rate in RATES]
    sets = [f"set of {100 * coverage:g} %" for coverage in COVERAGES]
    head = ["size", "accuracy %", "ECE %", *promised, *keeps, *sets, "two likeliest"]
    lines = [f"| {' | '.join(head)} |", "| --- |" + " --- |" * (len(head) - 1)]
    largest = min(len(of.data.classes) - 1, 2 * of.sizes.ways[-1])
    most = int(of.data.counts.min()) - QUERIES
    for way, shot in (*MEASURED, *BETWEEN):
        if way <= largest and shot <= most:
            label = f"{way}-way {shot}-shot"
            measured = way in of.sizes.ways and shot in of.sizes.shots
            lines.append(row(of, way, (shot,) * way, label + " *" * (not measured), pool))
    lines.append(row(of, 5, UNEVEN, "5-way, shots 1, 1, 2, 3, 5 *", pool))
    return lines


def negatives(of: Subject) -> list[str]:
    """5-way 1-shot with examples of none of the classes, of the queries' classes or of others."""
    lines = ["| negatives | of | unknown among | false accepts at 5 % | kept at 5 % |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    within = (False, True) if of.data.members else (False,)
    for inside in within:
        data = of.data.with_drawing(ONE_GROUP) if inside else of.data
        for count in NEGATIVES:
            for same in (False, True) if count else (False,):
                accepts, keeps = np.mean(list(_with_negatives(of, data, count, same)), axis=0)
                origin = ("the unknown classes" if same else "other classes") if count else ""
                place = "the task's alphabet" if inside else "all classes"
                cells = (count, origin, place, f"{100 * accepts:.1f}", f"{100 * keeps:.1f}")
                lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _with_negatives(
    of: Subject, data: LabelledSet, count: int, same: bool
) -> Iterator[tuple[float, float]]:
    """Of each task the share of unknown queries that is accepted, and of known ones."""
    generator = torch.Generator().manual_seed(SEED)
    size = TaskSize(25, 1, QUERIES)  # 5 classes of the task, 10 unknown, 10 for other negatives
    rows = draw_rows(data, size, tasks=TASKS, generator=generator)
    learner = of.loaded.package
    for support, query in zip(rows.support.numpy(), rows.query.numpy(), strict=True):
        per_class = query.reshape(25, QUERIES)
        task = adapt(
            learner,
            Support(of.h[support[:5]], one_hot(np.arange(5), 5), tuple("abcde")),
            None,
            None,
        )
        unknown, others = per_class[5:15, :3].reshape(-1), per_class[5 if same else 15 :, 3:]
        if count:
            order = torch.randperm(20, generator=generator).numpy()[:count]
            task = task.with_embedded_negatives(of.h[others[:10].reshape(-1)[order]])
        yield _accepts(task, of.h[unknown]), _accepts(task, of.h[per_class[:5].reshape(-1)])


def _accepts(task: Task, query_x: Floats) -> float:
    logits = task._logits(query_x)
    return float(task._accepts(query_x, logits, logits[0].argmax(axis=1), RATE).mean())


def _written() -> dict[str, str]:
    """What the page has of each package."""
    page = FOLDER / "unknown.md"
    text = page.read_text("utf-8") if page.exists() else ""
    own = [part.partition("\n\n") for part in text.split("\n## ")[1:]]
    return {
        name: "\n".join(t for t in of.rstrip().split("\n") if t[:1] != "`").rstrip()
        for name, _, of in own
    }


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE[=DATA]")
    names = parser.parse_args().packages
    parts = _written()
    with workers(Shape(1, threads=1)) as pool:
        for name in names:
            of = subject(name, pool)
            tables = ["\n".join(table(of, pool))]
            tables += ["\n".join(negatives(of))] if of.data.members else []
            parts[of.loaded.package.name] = "\n\n".join(tables)
            print(parts[of.loaded.package.name], flush=True)
    text = "\n\n".join([LEGEND, *(f"## {name}\n\n{of}" for name, of in sorted(parts.items()))])
    title = "Calibration, false accepts and sets of labels on meta-test classes"
    write_table("unknown", title, "python benchmarks/unknown.py PACKAGE=DATA …", text)


if __name__ == "__main__":
    main()
