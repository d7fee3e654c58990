"""Thresholds from other things, on Caltech-101: unknown pictures accepted, known ones kept.

`python benchmarks/others.py FOLDER`, FOLDER holding caltech101_embeddings.npz and its index. The
package is class means of EfficientNet-Lite0's embeddings, in the metric of `handful photos`, made
without the backbone; tasks and answers are those of the runtime. In each task the test classes
are divided into its own, seven that the other pictures are drawn from, and those of the unknown
queries; in the second setting the other pictures are of the 58 training classes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tables import write_table

import handful
from handful.runtime.arrays import Array, Floats
from handful.runtime.package.manifest import InputSpec
from handful.trainer.commands.photos import HEAD
from handful.trainer.data import LabelledSet
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.learners.ridge import Ridge

WAY, OTHER_CLASSES, KNOWN, UNKNOWN = 5, 7, 5, 40  # queries: of each class, and in all
RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
SETTINGS = (  # shots, other pictures, whether they are of the training classes
    (5, 20, False),
    (5, 20, True),
    (5, 10, False),
    (1, 20, False),
)


class Drawn(NamedTuple):
    """One task: its examples by class, queries of its classes, other pictures, unknown queries."""

    support: dict[str, Floats]
    known: Floats
    others: Floats
    unknown: Floats


def classes_of(folder: Path) -> tuple[dict[str, Floats], dict[str, list[str]]]:
    """The embeddings of each class, and the classes of each part."""
    index = json.loads((folder / "caltech101_index.json").read_text())
    with np.load(folder / "caltech101_embeddings.npz") as arrays:
        x, label = arrays["efficientnet_lite0_224"].astype(np.float32), arrays["label"]
    by_class = {name: x[label == i] for i, name in enumerate(index["classes"])}
    return by_class, index["class_split"]


def package(by_class: dict[str, Floats], names: Sequence[str], folder: Path) -> handful.Learner:
    """Class means in the metric of `handful photos`, of embeddings."""
    x = torch.from_numpy(np.concatenate([by_class[name] for name in names]))
    counts = torch.tensor([len(by_class[name]) for name in names])
    data = LabelledSet(x, counts, tuple(names), InputSpec(kind="array", shape=(x.shape[1],)))
    learner = Ridge(HEAD, data.input, WAY)
    params = learner.init(torch.Generator().manual_seed(0))
    source = Source(learner=learner, params=params, test=data, training={}, licence="CC-BY-4.0")
    export(source, folder)
    return handful.load(folder)


def draw(
    by_class: dict[str, Floats],
    parts: dict[str, list[str]],
    setting: tuple[int, int, bool],
    rng: np.random.Generator,
) -> Drawn:
    """A task of the test classes."""
    shot, count, elsewhere = setting
    names = rng.permutation(parts["test"]).tolist()
    own, more, left = names[:WAY], names[WAY : WAY + OTHER_CLASSES], names[WAY + OTHER_CLASSES :]
    mixed = {name: rng.permutation(by_class[name]) for name in own}

    def some(of: Sequence[str], many: int) -> Floats:
        pool = np.concatenate([by_class[name] for name in of])
        return pool[rng.permutation(len(pool))[:many]]

    return Drawn(
        {name: x[:shot] for name, x in mixed.items()},
        np.concatenate([x[shot : shot + KNOWN] for x in mixed.values()]),
        some(parts["train"] if elsewhere else more, count),
        some(left, UNKNOWN),
    )


def by_largest(scores: Array, rate: float) -> float:
    """The threshold on the largest logit alone: the quantile that exchangeable scores have."""
    ordered = np.sort(scores)
    place = (1 - rate) * (len(ordered) + 1) - 1
    return float(np.interp(place, np.arange(len(ordered)), ordered))


def acceptance_rates(learner: handful.Learner, drawn: Drawn) -> Array:
    """[rates, 2, 2]: by the rule and by the largest logit, shares of unknown and known."""
    task = learner.adapt(drawn.support)
    given = task.with_negatives(drawn.others)
    largest = [task.logits(x).max(axis=1) for x in (drawn.unknown, drawn.known)]
    scores = task.logits(drawn.others).max(axis=1)
    found = []
    for rate in RATES:
        answers = [given.predict(list(x), unknown=rate) for x in (drawn.unknown, drawn.known)]
        rule = [float(np.mean([label is not None for label in of])) for of in answers]
        least = by_largest(scores, rate)
        found.append([rule, [float((x > least).mean()) for x in largest]])
    return np.array(found)


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    by_class, parts = classes_of(options.folder)
    lines = [
        "| 5-way | promised % | unknown accepted % | known kept % | by the largest logit alone:"
        " unknown | known |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        learner = package(by_class, parts["test"], Path(temporary) / "means")
        for setting in SETTINGS:
            shot, count, elsewhere = setting
            found = np.mean(
                [
                    acceptance_rates(
                        learner, draw(by_class, parts, setting, np.random.default_rng(seed))
                    )
                    for seed in range(options.episodes)
                ],
                axis=0,
            )
            name = f"{shot}-shot, {count} others of {'training' if elsewhere else 'test'} classes"
            for rate, values in zip(RATES, 100 * found.reshape(len(RATES), 4), strict=True):
                cells = " | ".join(f"{value:.1f}" for value in values)
                lines.append(f"| {name} | {100 * rate:g} | {cells} |")
                print(lines[-1], flush=True)
    text = "\n".join([f"{options.episodes} tasks a setting.", "", *lines])
    if not options.dry:
        title = "None of these, by other things: photographs"
        write_table("others", title, "python benchmarks/others.py FOLDER", text)


if __name__ == "__main__":
    main()
