"""Closed forms on a frozen backbone, at home and under a shift: results/photo_heads.md.

`python benchmarks/photo_heads.py DATA BACKBONE …`, DATA the folder of the downloaded collections
(see shifts.py) and BACKBONE an ONNX file, mobilenet_… or efficientnet_… by name. Each picture is
embedded once, and kept in the user's cache. What is measured again has its rows replaced, and
others stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
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
HOME, SHIFT = 1000, 200  # tasks of a row
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


def places(parts: tuple[int, ...]) -> Places:
    """The default head of `handful photos`, for features in the metric already."""
    spec = InputSpec(kind="array", shape=(sum(parts),))
    learner = Places(PlacesConfig(parts=parts), spec, WAY)
    for form in learner.forms.values():
        form.config = replace(form.config, metric="euclidean")
    return learner


def apply_metric(data: LabelledSet, parts: tuple[int, ...]) -> tuple[LabelledSet, tuple[int, ...]]:
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

    return over_tasks(right, data, size, episodes)


def over_tasks(
    right: Callable[[Episode], Tensor], data: LabelledSet, size: TaskSize, episodes: int
) -> Array:
    """A function's values on each task, [E, …]."""
    rows = rows_of(data, size, episodes=episodes, seed=SEED)
    return torch.cat(
        [
            torch.func.vmap(right)(take(data, size, Rows(*(t[i : i + AT_ONCE] for t in rows))))
            for i in range(0, episodes, AT_ONCE)
        ]
    ).numpy()


def behind(backbone: Path, folder: Path) -> tuple[Path, tuple[int, ...]]:
    """The backbone's file in `folder` with its maps behind its embedding, and the parts' sizes."""
    model, parts = with_places(backbone)
    file = folder / backbone.name
    file.write_bytes(model.SerializeToString())
    return file, parts


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


def measure(
    data: Path, backbone: Path, folder: Path, names: Sequence[str], home: int, shift: int
) -> Iterator[str]:
    """A row for each collection at each number of shots that it has pictures for."""
    file, parts = behind(backbone, folder)
    for name in names:
        config = settings(file, pictures(data, name, folder))
        embedded, sizes = apply_metric(embed_pictures(load_pictures(config, "all"), config), parts)
        episodes = home if name == AT_HOME else shift
        usual = episodes == (HOME if name == AT_HOME else SHIFT)
        label = name if usual else f"{name}, {episodes} tasks"
        for shot in SHOTS:
            if int(embedded.counts.min()) >= shot + QUERIES:
                yield row(label, embedded, sizes, shot, episodes)


def key(line: str) -> tuple[str, str]:
    """The collection and the shots of a row."""
    name, shot, *_ = line.removeprefix("| ").split(" | ")
    return name.partition(",")[0], shot


def write(tables: dict[str, dict[tuple[str, str], str]]) -> None:
    """All rows there are, a table for each backbone."""
    head = (
        f"{WAY}-way, {QUERIES} queries a class, {HOME} tasks at home ({AT_HOME}) and {SHIFT} under"
        " each shift, or as many as a row says: the accuracy, and how far it is ahead on the same"
        f" tasks, with 95 % intervals; of logistic regression on the first {FEWER}. The rivals read"
        " the backbone's pooled features, in the same metric."
    )
    parts = [head]
    for stem, rows in tables.items():
        title = f"| {stem} | shot | `handful photos`, % | ahead of {' | of '.join(RIVALS)} |"
        rule = "| --- " * (3 + len(RIVALS)) + "|"
        order = sorted(rows, key=lambda at: (list(COLLECTIONS).index(at[0]), int(at[1])))
        parts.append("\n".join([title, rule, *(rows[at] for at in order)]))
    write_table(
        "photo_heads",
        "Closed forms on a frozen backbone, at home and under a shift",
        "python benchmarks/photo_heads.py DATA BACKBONE …",
        "\n\n".join(parts),
    )


def read() -> dict[str, dict[tuple[str, str], str]]:
    """The rows that were measured before, by backbone."""
    file = FOLDER / "photo_heads.md"
    tables: dict[str, dict[tuple[str, str], str]] = {}
    for part in file.read_text("utf-8").split("\n\n") if file.exists() else []:
        title, _, *rows = [*part.splitlines(), "", ""]
        if " | shot | " in title:
            found = (line for line in rows if line)
            tables[title.split(" ")[1]] = {key(line): line for line in found}
    return tables


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("backbones", type=Path, nargs="+")
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=[*COLLECTIONS])
    parser.add_argument("--home", type=int, default=HOME, help="tasks at home")
    parser.add_argument("--shift", type=int, default=SHIFT, help="tasks under each shift")
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), help="where they go")
    asked = parser.parse_args()
    asked.pictures.mkdir(exist_ok=True)
    tables = read()
    for backbone in asked.backbones:
        for line in measure(
            asked.data, backbone, asked.pictures, asked.collections, asked.home, asked.shift
        ):
            print(line, flush=True)
            tables.setdefault(backbone.stem, {})[key(line)] = line
            write(tables)


if __name__ == "__main__":
    main()
