"""Closed forms on a frozen backbone, at home and under a shift: results/photo_heads.md.

`python benchmarks/photo_heads.py DATA BACKBONE …`, DATA the folder of the downloaded collections
(see shifts.py) and BACKBONE an ONNX file, mobilenet_… or efficientnet_… by name. Each picture is
embedded once, and kept in the user's cache. A backbone that is measured again has its table
replaced, and others stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from shifts import COLLECTIONS, pictures
from tables import FOLDER, write_table
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.evaluate import compare, mean_of
from handful.runtime.tools.text import difference
from handful.trainer.data import DataConfig, LabelledSet, load_pictures
from handful.trainer.data.backbone import embed_pictures
from handful.trainer.data.backbones.layers import with_places
from handful.trainer.episodes import Episode, Rows, TaskSize, rows_of, take
from handful.trainer.form.learner import Learner, adapt
from handful.trainer.form.stage import Support
from handful.trainer.learners.logistic import Logistic, LogisticConfig
from handful.trainer.learners.means import Means, MeansConfig
from handful.trainer.learners.places import Places, PlacesConfig
from handful.trainer.learners.ridge import Ridge, RidgeConfig
from handful.trainer.parts.features import unit_length
from handful.trainer.parts.metric import POWER

WAY, SHOTS, QUERIES, SEED = 5, (1, 2, 5, 10, 20), 10, 0
AT_HOME = "caltech"
FEWER, FITTED = 100, 5  # tasks for logistic regression, which takes ten times as long; its shots
AT_ONCE = 10  # tasks, as one batch
SCALES: dict[str, dict[str, Any]] = {  # what each kind of backbone reads
    "mobilenet": {},
    "efficientnet": {
        "backbone_scale": 1 / 128, "backbone_offset": -127 / 128, "interpolation": "bilinear"
    },
}  # fmt: skip
# Of features that are in the metric "power" already: it needs no support set, and is taken once
RIDGE = RidgeConfig(metric="euclidean", centre_support=True)
Make = Callable[[InputSpec], Learner]
RIVALS: dict[str, Make] = {
    "class means": lambda spec: Means(
        MeansConfig(metric="euclidean", support_centre=0.5, shot_scale=True), spec, WAY
    ),
    "centred ridge": lambda spec: Ridge(RIDGE, spec, WAY),
    "both": lambda spec: Ridge(replace(RIDGE, class_means=0.5), spec, WAY),
    "logistic regression": lambda spec: Logistic(LogisticConfig(metric="euclidean"), spec, WAY),
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


def places(parts: tuple[int, ...]) -> Learner:
    """The default head of `handful photos`, for features in the metric already."""
    spec = InputSpec(kind="array", shape=(sum(parts),))
    learner = Places(PlacesConfig(parts=parts), spec, WAY)
    for form in learner.forms.values():
        form.config = replace(form.config, metric="euclidean")
    return learner


def measure(data: LabelledSet, parts: tuple[int, ...]) -> tuple[LabelledSet, tuple[int, ...]]:
    """Each part of the features to the power 0.7, of unit length; and the sizes of the parts."""
    split = [
        coordinates(unit_length(x.sign() * x.abs() ** POWER))
        for x in torch.split(data.x, list(parts), dim=1)
    ]
    return data.with_features(torch.cat(split, dim=1)), tuple(x.shape[1] for x in split)


def coordinates(x: Tensor) -> Tensor:
    """x [M, D] turned so that M coordinates hold it, where D is larger.

    Lengths and products are the same, and the closed forms read nothing else.
    """
    if x.shape[1] <= x.shape[0]:
        return x
    values, vectors = torch.linalg.eigh(x.double() @ x.double().T)
    turned: Tensor = vectors * values.clamp(min=0).sqrt()
    return turned.float()


def accuracies(learner: Learner, data: LabelledSet, size: TaskSize, episodes: int) -> Array:
    """Of a learner that nothing trained, on each task: [E]."""
    params = learner.init(torch.Generator().manual_seed(SEED))

    def right(episode: Episode) -> Tensor:
        state = adapt(learner, params, Support(episode.support_x, episode.support_y))
        answers = learner.predict(params, state, episode.query_x).argmax(dim=1)
        return (answers == episode.query_y.argmax(dim=1)).float().mean()

    rows = rows_of(data, size, episodes=episodes, seed=SEED)
    return torch.cat(
        [
            torch.func.vmap(right)(take(data, size, Rows(*(t[i : i + AT_ONCE] for t in rows))))
            for i in range(0, episodes, AT_ONCE)
        ]
    ).numpy()


def row(name: str, data: LabelledSet, parts: tuple[int, ...], shot: int, episodes: int) -> str:
    """The default's accuracy, and how far it is ahead of each rival on the same tasks."""
    size = TaskSize(WAY, shot, QUERIES)
    own = accuracies(places(parts), data, size, episodes)
    found = mean_of(own)
    cells = [name, str(shot), f"{100 * found.value:.2f} ± {100 * found.interval:.2f}"]
    pooled = data.with_features(data.x[:, : parts[0]].contiguous())
    for rival, make in RIVALS.items():
        slow = make is RIVALS["logistic regression"]
        if slow and shot != FITTED:
            cells.append("")
            continue
        tasks = min(FEWER, episodes) if slow else episodes
        other = accuracies(make(pooled.input), pooled, size, tasks)
        cells.append(difference(compare(rival, own[:tasks], other)))
    return f"| {' | '.join(cells)} |"


def table(data: Path, backbone: Path, folder: Path, home: int, shift: int) -> str:
    """All collections at all numbers of shots that they have pictures for."""
    lines = [
        f"| {backbone.stem} | shot | `handful photos`, % | ahead of {' | of '.join(RIVALS)} |",
        "| --- " * (3 + len(RIVALS)) + "|",
    ]
    model, parts = with_places(backbone)
    file = folder / backbone.name
    file.write_bytes(model.SerializeToString())
    for name in COLLECTIONS:
        config = settings(file, pictures(data, name, folder))
        embedded, sizes = measure(embed_pictures(load_pictures(config, "all"), config), parts)
        for shot in SHOTS:
            if int(embedded.counts.min()) >= shot + QUERIES:
                episodes = home if name == AT_HOME else shift
                lines.append(row(name, embedded, sizes, shot, episodes))
                print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("backbones", type=Path, nargs="+")
    parser.add_argument("--home", type=int, default=1000, help="tasks at home")
    parser.add_argument("--shift", type=int, default=200, help="tasks under each shift")
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), help="where they go")
    asked = parser.parse_args()
    asked.pictures.mkdir(exist_ok=True)
    file = FOLDER / "photo_heads.md"
    tables: dict[str, str] = {}
    if file.exists():
        parts = file.read_text("utf-8").split("\n\n")
        tables = {part.split(" ")[1]: part for part in parts if " | shot | " in part}
    for backbone in asked.backbones:
        tables[backbone.stem] = table(asked.data, backbone, asked.pictures, asked.home, asked.shift)
        head = (
            f"{WAY}-way, {QUERIES} queries a class, {asked.home} tasks at home ({AT_HOME}) and"
            f" {asked.shift} under each shift: the accuracy, and how far it is ahead on the same"
            f" tasks, with 95 % intervals; of logistic regression on the first {FEWER}. The rivals"
            " read the backbone's pooled features, in the same metric."
        )
        write_table(
            "photo_heads",
            "Closed forms on a frozen backbone, at home and under a shift",
            "python benchmarks/photo_heads.py DATA BACKBONE …",
            "\n\n".join([head, *tables.values()]),
        )


if __name__ == "__main__":
    main()
