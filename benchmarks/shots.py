"""Shipped packages beside the class means of what they embed, at 1 to 20 shots: results/shots.md.

`python benchmarks/shots.py PACKAGE[=DATA] …` measures 5-way tasks of meta-test classes through the
runtime, of at most CLASSES classes at even distances. DATA says where a package's data are now. A
package without `embed` is measured beside the class means of the package that its network is from:
PACKAGE:OTHER[=DATA]. A package that is measured again has its rows replaced, and others stay.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from tables import FOLDER, write_table

from handful.runtime.arrays import Array, Floats
from handful.runtime.package.decode import read_manifest
from handful.runtime.package.read import find
from handful.runtime.tools.text import difference, mean
from handful.trainer.commands.subjects import meta_training_sample
from handful.trainer.data import LabelledSet
from handful.trainer.episodes import TaskSize, as_episodes, rows_of
from handful.trainer.evaluation import Result, summarise
from handful.trainer.evaluation.packages import MeasuredPackage, embed_shared, package_accuracies
from handful.trainer.evaluation.yardsticks import nearest_mean, on_tasks
from handful.trainer.parts.features import unit_length
from handful.trainer.training.data import RecordedData
from handful.trainer.workers import Shape, Workers, workers

WAY, SHOTS, QUERIES, SEED = 5, (1, 2, 5, 10, 15, 20), 15, 0
CLASSES = 200
SQUARED, CENTRED = "class means, squared distance", "class means, centred, unit length"
RULE = "| --- | --- | --- | --- | --- |"
HEAD = f"| package | shot | accuracy % | ahead of {SQUARED} | of {CENTRED} |"


@dataclass(frozen=True)
class Subject:
    """A package, its meta-test examples, and the features that class means are taken of."""

    loaded: MeasuredPackage
    data: LabelledSet
    h: Floats  # [M, …], as the package adapts on them
    x: torch.Tensor  # [M, D]
    centre: torch.Tensor  # [D]

    def measure(self, shot: int, episodes: int, pool: Workers) -> Result:
        """The accuracy at so many shots, paired with that of both class means."""
        # Omniglot has 20 drawings of a character, 19 to adapt to and one to ask about
        queries = min(QUERIES, int(self.data.counts.min()) - shot)
        size = TaskSize(WAY, shot, queries)
        rows = rows_of(self.data, size, episodes=episodes, seed=SEED)
        tasks = as_episodes(rows)
        values = package_accuracies(
            self.loaded, self.h, tasks, every_step=False, tick=lambda: None, workers=pool
        )
        rivals: dict[str, Array] = {
            SQUARED: on_tasks(nearest_mean, self.x, size, rows),
            CENTRED: on_tasks(nearest_mean, unit_length(self.x - self.centre), size, rows),
        }
        return summarise(values[:, -1], size, against=rivals)


def subject(name: str, pool: Workers) -> Subject:
    """The package of an argument NAME, NAME=DATA or NAME:OTHER=DATA."""
    names, _, moved = name.partition("=")
    own, _, other = names.partition(":")
    loaded, data = open_package(own, moved)
    h = embed_shared(loaded, data.x.numpy(), pool)
    reader, read = open_package(other, moved) if other else (loaded, data)
    x = embed_shared(reader, read.x.numpy(), pool) if other else h
    recorded = RecordedData.of_package(reader.package.manifest.training, moved or None)
    meta_train = recorded.pictures("meta_train", package=reader.package.manifest.input)
    sample = embed_shared(reader, meta_training_sample(meta_train).numpy(), pool)
    return Subject(loaded, data, h, flat(x), flat(sample).mean(dim=0))


def open_package(name: str, moved: str) -> tuple[MeasuredPackage, LabelledSet]:
    """A package and its meta-test examples as a device meets them."""
    folder = find(name)
    manifest = read_manifest(folder)
    recorded = RecordedData.of_package(manifest.training, moved or None)
    data = recorded.pictures("meta_test", package=manifest.input)
    data = data.take(range(0, len(data.classes), -(-len(data.classes) // CLASSES)))
    return MeasuredPackage.load_for(folder, data.input), data


def flat(h: Floats) -> torch.Tensor:
    """One vector for each example; of several views of it their mean."""
    x = torch.from_numpy(np.asarray(h))
    return x.mean(dim=1) if x.ndim == 3 else x.flatten(1)


def table(of: Subject, episodes: int, pool: Workers) -> list[str]:
    """A line for each number of shots that the test classes have examples for."""
    lines = []
    fewest = int(of.data.counts.min())
    for shot in sorted({min(shot, fewest - 1) for shot in SHOTS}):
        result = of.measure(shot, episodes, pool)
        gains = [difference(rival) for rival in result.compared]
        cells = [of.loaded.package.name, str(shot), mean(result), *gains]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE[=DATA]")
    parser.add_argument("--episodes", type=int, default=300)
    asked = parser.parse_args()
    rows: dict[str, list[str]] = {}
    if (FOLDER / "shots.md").exists():
        for line in (FOLDER / "shots.md").read_text("utf-8").splitlines():
            if line.startswith("| ") and line not in (HEAD, RULE):
                rows.setdefault(line.split(" | ")[0].removeprefix("| "), []).append(line)
    with workers(Shape(1, threads=1)) as pool:
        for name in asked.packages:
            of = subject(name, pool)
            rows[of.loaded.package.name] = table(of, asked.episodes, pool)
    lines = [HEAD, RULE, *(line for _, of_one in sorted(rows.items()) for line in of_one)]
    command = f"python benchmarks/shots.py PACKAGE=DATA … --episodes {asked.episodes}"
    title = "Shipped packages and class means at 1 to 20 shots, 5-way, meta-test classes"
    write_table("shots", title, command, "\n".join(lines))


if __name__ == "__main__":
    main()
