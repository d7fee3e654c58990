"""Closed forms on a frozen backbone's features, at home and under a shift: results/photo_heads.md.

`python benchmarks/photo_heads.py DATA BACKBONE …`, DATA the folder of the downloaded collections
(see shifts.py) and BACKBONE an ONNX file, mobilenet_… or efficientnet_… by name. Each picture is
embedded once. A backbone that is measured again has its table replaced, and others stay.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from shifts import COLLECTIONS, pictures
from tables import FOLDER, write_table
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.tools.evaluate import compare, mean_of
from handful.runtime.tools.text import difference
from handful.trainer.commands.photos import HEAD
from handful.trainer.data import DataConfig, LabelledSet, load_pictures
from handful.trainer.data.backbone import embed_pictures
from handful.trainer.episodes import Episode, Rows, TaskSize, rows_of, take
from handful.trainer.form.learner import Learner, adapt
from handful.trainer.form.stage import Support
from handful.trainer.learners.logistic import Logistic, LogisticConfig
from handful.trainer.learners.means import Means, MeansConfig
from handful.trainer.learners.ridge import Ridge, RidgeConfig

WAY, SHOTS, QUERIES, SEED = 5, (1, 2, 5, 10, 20), 10, 0
SCALES: dict[str, dict[str, Any]] = {  # what each kind of backbone reads
    "mobilenet": {},
    "efficientnet": {
        "backbone_scale": 1 / 128, "backbone_offset": -127 / 128, "interpolation": "bilinear"
    },
}  # fmt: skip
AT_ONCE = 50  # tasks, as one batch
FEWER = 100  # tasks for logistic regression, whose Newton steps take ten times as long
RIVALS: dict[str, tuple[type[Learner], Any]] = {
    "class means": (Means, MeansConfig(metric="power", support_centre=0.5, shot_scale=True)),
    "centred ridge": (Ridge, RidgeConfig(metric="power", centre_support=True)),
    "logistic regression": (Logistic, LogisticConfig(metric="power")),
}


def settings(backbone: Path, source: Path) -> DataConfig:
    """How a folder's pictures are prepared for this backbone."""
    kind = backbone.stem.split("_")[0]
    if kind not in SCALES:
        raise SystemExit(f"{backbone} is no {' or '.join(SCALES)}: say what it reads in SCALES")
    side = int(backbone.stem.split("_")[-1])
    return DataConfig(
        source=str(source), split="random", colour="rgb", image_size=side, backbone=backbone,
        **SCALES[kind],
    )  # fmt: skip


def accuracies(
    kind: type[Learner], config: Any, data: LabelledSet, size: TaskSize, episodes: int
) -> Array:
    """Of a learner that nothing trained, on each task: [E].

    `data` are measured features: the metric, which needs no support set, is taken once.
    """
    learner = kind(replace(config, metric="euclidean"), data.input, WAY)
    params = learner.init(torch.Generator().manual_seed(SEED))

    def right(episode: Episode) -> Tensor:
        state = adapt(learner, params, Support(episode.support_x, episode.support_y))
        answers = learner.predict(params, state, episode.query_x).argmax(dim=1)
        return (answers == episode.query_y.argmax(dim=1)).float().mean()

    rows = rows_of(data, size, episodes=episodes, seed=SEED)
    parts = [
        torch.func.vmap(right)(take(data, size, Rows(*(t[i : i + AT_ONCE] for t in rows))))
        for i in range(0, episodes, AT_ONCE)
    ]
    return torch.cat(parts).numpy()


def row(name: str, data: LabelledSet, shot: int, episodes: int) -> str:
    """The default head's accuracy, and how far it is ahead of each rival on the same tasks."""
    size = TaskSize(WAY, shot, QUERIES)
    own = accuracies(Ridge, HEAD, data, size, episodes)
    found = mean_of(own)
    cells = [name, str(shot), f"{100 * found.value:.2f} ± {100 * found.interval:.2f}"]
    for rival, (kind, config) in RIVALS.items():
        tasks = min(FEWER, episodes) if kind is Logistic else episodes
        other = accuracies(kind, config, data, size, tasks)
        cells.append(difference(compare(rival, own[:tasks], other)))
    return f"| {' | '.join(cells)} |"


def table(data: Path, backbone: Path, folder: Path, episodes: int) -> str:
    """All collections at all numbers of shots that they have pictures for."""
    lines = [
        f"| {backbone.stem} | shot | `handful photos`, % | ahead of {' | of '.join(RIVALS)} |",
        "| --- " * (3 + len(RIVALS)) + "|",
    ]
    for name in COLLECTIONS:
        source = pictures(data, name, folder)
        config = settings(backbone, source)
        embedded = embed_pictures(load_pictures(config, "all"), config)
        metric = Ridge(HEAD, embedded.input, WAY)
        embedded = embedded.with_features(metric.apply_metric({}, embedded.x))
        for shot in SHOTS:
            if int(embedded.counts.min()) >= shot + QUERIES:
                lines.append(row(name, embedded, shot, episodes))
                print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("backbones", type=Path, nargs="+")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), help="where they go")
    asked = parser.parse_args()
    asked.pictures.mkdir(exist_ok=True)
    file = FOLDER / "photo_heads.md"
    tables: dict[str, str] = {}
    if file.exists():
        parts = file.read_text("utf-8").split("\n\n")
        tables = {part.split(" ")[1]: part for part in parts if " | shot | " in part}
    for backbone in asked.backbones:
        tables[backbone.stem] = table(asked.data, backbone, asked.pictures, asked.episodes)
    head = (
        f"{WAY}-way, {QUERIES} queries a class, {asked.episodes} tasks a line: the accuracy, and"
        " differences on the same tasks with their 95 % interval; to logistic regression on the"
        f" first {FEWER} of them."
    )
    write_table(
        "photo_heads",
        "Closed forms on frozen features, at home and under a shift",
        "python benchmarks/photo_heads.py DATA BACKBONE …",
        "\n\n".join([head, *tables.values()]),
    )


if __name__ == "__main__":
    main()
