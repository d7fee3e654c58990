"""LEO on frozen Caltech-101 embeddings beside what it has to beat, on the same episodes.

`python benchmarks/caltech.py FOLDER`, FOLDER holding caltech101_embeddings.npz and its index.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from tables import write_table
from torch import Tensor

from handful.runtime.tools.text import difference
from handful.trainer.commands.subjects import run_features
from handful.trainer.data import LabelledSet, Part, load_data
from handful.trainer.episodes import TaskSize, rows_of
from handful.trainer.evaluation import Features, Result, embed_set, summarise
from handful.trainer.evaluation.accuracy import earlier_steps, measure_tasks
from handful.trainer.evaluation.yardsticks import nearest_mean, on_tasks, yardsticks
from handful.trainer.training.config import RunConfig
from handful.trainer.training.folder import load_run
from handful.trainer.training.recipes import read_recipe
from handful.trainer.training.run import train

SIZES = (TaskSize(way=5, shot=1, queries=15), TaskSize(way=5, shot=5, queries=15))
EPISODES, SEED = 1000, 0
SHRINKAGE = 0.3  # of the covariance's mean eigenvalue, added to its diagonal
WITHIN = "class means of the features, within-class covariance of the meta-training classes"
PUBLISHED = (  # a random start, latent 64, the paper's loss weights
    "learner={name='leo', start='glorot'}",
    "meta.steps=3000",
    "meta.lr=1e-3",
    "meta.validate_every=3000",
)


def settings(folder: Path, *changes: str) -> RunConfig:
    """The recipe for embeddings, on this data."""
    return read_recipe(
        "embeddings-leo",
        [
            f'data.source="{folder / "caltech101_embeddings.npz"}"',
            f'data.split="{folder / "caltech101_index.json"}"',
            "data.array=mobilenet_v1_025_128",
            "data.labels=label",
            *changes,
        ],
    )


def whitening(data: LabelledSet) -> Tensor:
    """A [D, D]: ‖(x − y) A‖² is the distance under the shrunk within-class covariance of `data`."""
    parts = torch.split(data.x.double(), data.counts.tolist())
    residuals = torch.cat([part - part.mean(dim=0) for part in parts])
    covariance = residuals.T @ residuals / len(residuals)
    eye = torch.eye(len(covariance), dtype=torch.float64)
    shrunk = covariance + SHRINKAGE * covariance.trace() / len(covariance) * eye
    root: Tensor = torch.linalg.cholesky(shrunk)
    inverse: Tensor = torch.linalg.solve_triangular(root, eye, upper=False)
    return inverse.T


def results_of(run: Path, config: RunConfig, part: Part) -> list[Result]:
    """The run's LEO on the classes of a part, beside every yardstick, at each size."""
    data = load_data(config.data, part)
    trained = load_run(run, data)
    meta_train = load_data(config.data, "meta_train")
    features = run_features(trained, data, meta_train)
    white = whitening(meta_train)
    # in that metric centred and of unit length, as the second yardstick is
    whitened = Features(
        data, data.x.double() @ white, meta_train.x.double().mean(dim=0) @ white, WITHIN
    )
    embedded = embed_set(trained.learner, trained.params, data)
    results = []
    for size in SIZES:
        rows = rows_of(data, size, episodes=EPISODES, seed=SEED)
        after = measure_tasks(
            trained.learner,
            trained.params,
            embedded,
            size,
            episodes=EPISODES,
            seed=SEED,
            every_step=True,
        )
        against = {
            **yardsticks(features, size, rows),
            WITHIN: on_tasks(nearest_mean, whitened.centre_features(), size, rows),
            **earlier_steps(after),
        }
        results.append(summarise(after[:, -1], size, against=against))
    return results


def table(name: str, results: list[Result]) -> list[str]:
    """LEO's line, then a line for each yardstick with what LEO is above it by."""
    cells = " | ".join(f"**{100 * r.value:.2f} ± {100 * r.interval:.2f}**" for r in results)
    lines = [f"| **{name}** | {cells} |"]
    for others in zip(*(r.compared for r in results), strict=True):
        cells = " | ".join(f"{100 * o.value:.2f} ({difference(o)})" for o in others)
        lines.append(f"| {others[0].name} | {cells} |")
    return lines


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    lines = [
        "| Caltech-101, MobileNetV1 0.25 embeddings, accuracy %; in brackets what LEO is above it"
        f" by | {' | '.join(map(str, SIZES))} |",
        "| --- | --- | --- |",
    ]
    kinds = {
        "LEO, recipe embeddings-leo": settings(folder),
        "LEO, the paper's start and weights": settings(folder, *PUBLISHED),
    }
    for name, config in kinds.items():
        with tempfile.TemporaryDirectory() as temporary:
            run = Path(temporary) / "run"
            train(config, run)
            lines += table(f"{name}, test classes", results_of(run, config, "meta_test"))
            # how far it has fitted the classes that it was trained on
            lines += table(f"{name}, training classes", results_of(run, config, "meta_train"))[:1]
    title = "LEO on frozen embeddings of photographs"
    write_table("caltech", title, "python benchmarks/caltech.py FOLDER", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
