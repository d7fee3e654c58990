"""LEO on frozen Caltech-101 embeddings beside the nearest class mean, on the same episodes.

`python benchmarks/caltech.py FOLDER`, FOLDER holding caltech101_embeddings.npz and its index.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from results import section

from handful.trainer.config import RunConfig
from handful.trainer.data import LabelledSet, Part, load_data
from handful.trainer.episodes import Episode, sample
from handful.trainer.evaluation import Result, embed_set, evaluate, summarise
from handful.trainer.learners.features import class_means, unit_length
from handful.trainer.learners.prototypical import negative_squared_distance
from handful.trainer.recipe import read_recipe
from handful.trainer.training.progress import Silent
from handful.trainer.training.run import load_run, train

WAY, QUERIES, EPISODES, SEED = 5, 15, 1000, 0
PARTS: tuple[Part, ...] = ("meta_train", "meta_test")
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


def nearest_class_mean(data: LabelledSet, shot: int) -> Result:
    """Prototypes of unit-length embeddings."""
    unit = data.with_features(unit_length(data.x))
    generator = torch.Generator().manual_seed(SEED)
    found = []
    for _ in range(EPISODES):
        batch = sample(unit, tasks=1, way=WAY, shot=shot, queries=QUERIES, generator=generator)
        episode = Episode(*(t[0] for t in batch))
        means = class_means(episode.support_x, episode.support_y)
        answers = negative_squared_distance(episode.query_x, means).argmax(dim=1)
        found.append(float((answers == episode.query_y.argmax(dim=1)).double().mean()))
    return summarise(found, way=WAY, shot=shot, queries=QUERIES, transductive=False)


def leo(config: RunConfig) -> dict[str, list[Result]]:
    """LEO's accuracy at 1 and 5 shots, on training and on test classes."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(config, run, report=Silent())
        for part in PARTS:
            data = load_data(config.data, part)
            found = load_run(run, data)
            embedded = embed_set(found.learner, found.params, data)
            results[part] = [
                evaluate(
                    found.learner,
                    found.params,
                    embedded,
                    way=WAY,
                    shot=shot,
                    queries=QUERIES,
                    episodes=EPISODES,
                    seed=SEED,
                )
                for shot in (1, 5)
            ]
    return results


def row(name: str, results: list[Result]) -> str:
    """One line of the table."""
    cells = " | ".join(f"{100 * r.accuracy:.2f} ± {100 * r.interval:.2f}" for r in results)
    return f"| {name} | {cells} |"


def main() -> None:
    """Measure and write the section."""
    folder = Path(sys.argv[1])
    recipe = settings(folder)
    test = load_data(recipe.data, "meta_test")
    rows = [
        "| Caltech-101, MobileNetV1 0.25 embeddings, 5-way, accuracy % | 1-shot | 5-shot |",
        "| --- | --- | --- |",
        row("nearest class mean, test classes", [nearest_class_mean(test, s) for s in (1, 5)]),
    ]
    kinds = {
        "LEO, recipe embeddings-leo": recipe,
        "LEO, the paper's start and weights": settings(folder, *PUBLISHED),
    }
    for name, config in kinds.items():
        found = leo(config)
        rows.append(row(f"{name}, test classes", found["meta_test"]))
        rows.append(row(f"{name}, training classes", found["meta_train"]))
    section("caltech", "python benchmarks/caltech.py FOLDER", "\n".join(rows))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
