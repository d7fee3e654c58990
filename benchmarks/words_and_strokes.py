"""Runs on one data set beside each other and their yardsticks, on the same meta-test episodes.

`python benchmarks/words_and_strokes.py NAME RUN [RUN …]` measures runs of any learners on the data
NAME (`words` or `strokes`, from words_and_strokes_data.py), and writes the section NAME of
RESULTS.md; differences are paired. The runs are made by `handful train words-proto-maml --out RUN`
and the like; the sub-folder `pretrained` of a run is a run as well.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from results import section

from handful.runtime.arrays import Array
from handful.runtime.tools.statistics import compare, mean_of
from handful.trainer.commands.subjects import meta_training_sample, run_features
from handful.trainer.evaluation import Features, embed_set
from handful.trainer.evaluation.accuracy import measured
from handful.trainer.learners.proto_maml import ProtoMAML
from handful.trainer.sizes import TaskSize
from handful.trainer.training.data import RecordedData
from handful.trainer.training.folder import load_run

SIZES = (TaskSize(way=5, shot=1, queries=15), TaskSize(way=5, shot=5, queries=15))
EPISODES, SEED = 1000, 0


@dataclass(frozen=True)
class Measured:
    """A run's accuracies at one size of tasks."""

    after: Array  # [E, n + 1], after 0 to n inner steps
    against: dict[str, Array]  # the yardsticks on its own features, [E] each


def results_of(run: Path) -> list[Measured]:
    """The run's learner at each size, beside the yardsticks on its features."""
    recorded = RecordedData.of_run(run)
    data, meta_train = recorded.load("meta_test"), recorded.load("meta_train")
    trained = load_run(run, data)
    learner, params = trained.learner, trained.params
    features = [run_features(trained, data, meta_train)]
    embedded = embed_set(learner, params, data)
    if isinstance(learner, ProtoMAML):  # of the example itself, as no other learner has views
        with torch.no_grad():
            sample = learner.embed(params, meta_training_sample(meta_train))[:, 0]
        name = "the features without views"
        features.append(Features(data, embedded.x[:, 0], sample.mean(dim=0), name))
    results = []
    for size in SIZES:
        after = measured(
            learner, params, embedded, size, episodes=EPISODES, seed=SEED, every_step=True
        )
        against: dict[str, Array] = {}
        for one in features:
            against |= one.measured(size, episodes=EPISODES, seed=SEED)
        results.append(Measured(after, against))
    return results


def difference(ours: Array, others: Array) -> str:
    """By how much ours is above the others, with its interval."""
    found = compare("", ours, others)
    return f"{100 * found.difference:+.2f} ± {100 * found.interval:.2f}"


def table(runs: dict[str, list[Measured]]) -> list[str]:
    """A line for each run; below, what it has to beat, and by how much it does."""
    first = next(iter(runs.values()))
    lines = [f"| accuracy % | {' | '.join(map(str, SIZES))} |", "| --- |" + " --- |" * len(SIZES)]
    for name, results in runs.items():
        cells = []
        for ours, reference in zip(results, first, strict=True):
            mean = mean_of(ours.after[:, -1])
            cell = f"**{100 * mean.value:.2f} ± {100 * mean.interval:.2f}**"
            if ours is not reference:
                above = difference(ours.after[:, -1], reference.after[:, -1])
                cell += f" ({above} to the first)"
            cells.append(cell)
        lines.append(f"| **{name}** | {' | '.join(cells)} |")
        last = results[0].after.shape[1] - 1
        compared = [
            {**{f"its step {i} of {last}": r.after[:, i] for i in range(last)}, **r.against}
            for r in results
        ]
        for yardstick in compared[0]:
            cells = [
                f"{100 * c[yardstick].mean():.2f} ({difference(r.after[:, -1], c[yardstick])})"
                for r, c in zip(results, compared, strict=True)
            ]
            lines.append(f"| {yardstick} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure and write the section."""
    name, *folders = sys.argv[1:]
    runs = {folder: results_of(Path(folder)) for folder in folders}
    text = "\n".join(
        [
            f"{EPISODES} meta-test episodes; in brackets by how much the run is above it.",
            "",
            *table(runs),
        ]
    )
    section(name, f"python benchmarks/words_and_strokes.py {name} {' '.join(folders)}", text)
    print(text)


if __name__ == "__main__":
    main()
