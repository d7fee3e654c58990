"""Thresholds from other things, on Caltech-101: unknown pictures accepted, known ones kept.

`python benchmarks/others.py DATA`, DATA the folder of the downloaded collections (see shifts.py).
The package is the head of `handful photos`, on what EfficientNet-Lite0 and its maps give for
pictures of 84 pixels; tasks and answers are those of the runtime. In each task the classes of a
split are divided into its own, those that the other pictures are drawn from, and those of the
unknown queries. The rule was chosen on tasks of the test classes, for class means; the validation
and the training classes had no part in it. Then the whole package of `handful photos`, on the
pictures themselves. Needs the extra `photos`. Writes results/others.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from photo_heads import behind, settings
from photos import BACKBONE
from PIL import Image
from shifts import pictures
from tables import write_table

import handful
from handful.runtime.arrays import Array, Floats
from handful.runtime.package.manifest import InputSpec
from handful.trainer.commands.photos import Request, photos_command
from handful.trainer.data import LabelledSet, load_pictures
from handful.trainer.data.backbone import embed_pictures
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.learners.places import Places, PlacesConfig

FILE = Path("backbones") / "efficientnet_lite0_224.onnx"
COLLECTION = "caltech"
WAY, KNOWN, UNKNOWN = 5, 5, 40  # queries: of each class, and in all
OTHER_CLASSES = {"train": 7, "val": 4, "test": 7}  # that other pictures are of; the rest is unknown
RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
Setting = tuple[str, int, int, str]
SETTINGS: tuple[
    Setting, ...
] = (  # the classes, shots, other pictures, and the classes that these are of
    ("val", 5, 20, "val"),
    ("train", 5, 20, "train"),
    ("test", 5, 20, "test"),
    ("test", 5, 20, "train"),
    ("test", 5, 10, "test"),
    ("val", 1, 20, "val"),
    ("test", 1, 20, "test"),
)
REAL_RATES = (0.05,)
REAL: Setting = ("val", 5, 20, "val")
SPLITS = {"val": "validation", "train": "training", "test": "test"}


class Drawn(NamedTuple):
    """One task: its examples by class, queries of its classes, other pictures, unknown queries."""

    support: dict[str, Floats]
    known: Floats
    others: Floats
    unknown: Floats


class Embedded(NamedTuple):
    """What the backbone and its maps give for every picture."""

    x: dict[str, Floats]  # by class
    classes: dict[str, list[str]]  # of each split
    parts: tuple[int, ...]  # the sizes of the features' parts


def embed_splits(data: Path, splits: Sequence[str], folder: Path) -> Embedded:
    """Each picture is embedded once, and kept in the user's cache."""
    file, parts = behind(data / FILE, folder)
    found = Embedded({}, {}, parts)
    for split in splits:
        config = settings(file, pictures(data, COLLECTION, folder, split=split))
        embedded = embed_pictures(load_pictures(config, "all"), config)
        found.classes[split] = list(embedded.classes)
        each = torch.split(embedded.x, embedded.counts.tolist())
        found.x.update({n: x.numpy() for n, x in zip(embedded.classes, each, strict=True)})
    return found


def package(of: Embedded, folder: Path) -> handful.Learner:
    """The head of `handful photos`, of embeddings."""
    names = of.classes["test"]
    x = torch.from_numpy(np.concatenate([of.x[name] for name in names]))
    counts = torch.tensor([len(of.x[name]) for name in names])
    data = LabelledSet(x, counts, tuple(names), InputSpec(kind="array", shape=(x.shape[1],)))
    learner = Places(PlacesConfig(parts=of.parts), data.input, WAY)
    params = learner.init(torch.Generator().manual_seed(0))
    source = Source(learner=learner, params=params, test=data, training={}, licence="CC-BY-4.0")
    export(source, folder)
    return handful.load(folder)


def draw(
    by_class: dict[str, Floats],
    parts: dict[str, list[str]],
    setting: Setting,
    rng: np.random.Generator,
) -> Drawn:
    """A task of the setting's classes."""
    split, shot, count, elsewhere = setting
    names = rng.permutation(parts[split]).tolist()
    end = WAY + OTHER_CLASSES[split]
    own, more, left = names[:WAY], names[WAY:end], names[end:]
    mixed = {name: rng.permutation(by_class[name]) for name in own}

    def some(of: Sequence[str], many: int) -> Floats:
        pool = np.concatenate([by_class[name] for name in of])
        return pool[rng.permutation(len(pool))[:many]]

    return Drawn(
        {name: x[:shot] for name, x in mixed.items()},
        np.concatenate([x[shot : shot + KNOWN] for x in mixed.values()]),
        some(more if elsewhere == split else parts[elsewhere], count),
        some(left, UNKNOWN),
    )


def by_largest(scores: Array, rate: float) -> float:
    """The threshold on the largest logit alone: the quantile that exchangeable scores have."""
    ordered = np.sort(scores)
    place = (1 - rate) * (len(ordered) + 1) - 1
    return float(np.interp(place, np.arange(len(ordered)), ordered))


def acceptance_rates(
    learner: handful.Learner, drawn: Drawn, rates: Sequence[float] = RATES
) -> Array:
    """[rates, 2, 2]: by the rule and by the largest logit, shares of unknown and known."""
    task = learner.adapt(drawn.support)
    given = task.with_negatives(drawn.others)
    largest = [task.logits(x).max(axis=1) for x in (drawn.unknown, drawn.known)]
    scores = task.logits(drawn.others).max(axis=1)
    found = []
    for rate in rates:
        answers = [given.predict(list(x), unknown=rate) for x in (drawn.unknown, drawn.known)]
        rule = [float(np.mean([label is not None for label in of])) for of in answers]
        least = by_largest(scores, rate)
        found.append([rule, [float((x > least).mean()) for x in largest]])
    return np.array(found)


def measure(
    learner: handful.Learner,
    by_class: dict[str, Floats],
    parts: dict[str, list[str]],
    setting: Setting,
    episodes: int,
    rates: Sequence[float] = RATES,
) -> list[str]:
    """A line for each rate, with the half width of the 95 % interval over tasks."""
    found = 100 * np.array(
        [
            acceptance_rates(
                learner, draw(by_class, parts, setting, np.random.default_rng(seed)), rates
            )
            for seed in range(episodes)
        ]
    )
    split, shot, count, elsewhere = setting
    own = f"{SPLITS[split]} classes, {shot}-shot, {count} others"
    name = own if split == elsewhere else f"{own} of {SPLITS[elsewhere]} classes"
    lines = []
    for at, rate in enumerate(rates):
        values = found[:, at].reshape(episodes, 4)
        half = 1.96 * values.std(axis=0, ddof=1) / episodes**0.5
        cells = " | ".join(
            f"{v:.1f} ± {h:.1f}" for v, h in zip(values.mean(axis=0), half, strict=True)
        )
        lines.append(f"| {name} | {100 * rate:g} | {cells} |")
        print(lines[-1], flush=True)
    return lines


def photographs(
    data: Path, split: str, folder: Path, room: Path
) -> tuple[handful.Learner, dict[str, Any]]:
    """The package of `handful photos`, and pictures [n, 84, 84, 3] by class.

    Each picture is embedded once: what the package's graph gives for it is remembered.
    """
    by_class = {}
    for of in sorted(pictures(data, COLLECTION, folder, split=split).iterdir()):
        frames = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(of.iterdir())]
        by_class[of.name] = np.stack(frames)
    photos_command(room / "photos", Request(backbone=BACKBONE), print)
    learner = handful.load(room / "photos")
    embed, known = learner._engine.embed, dict[bytes, Floats]()

    def once(x: Floats, **how: Any) -> Floats:
        for one in x:
            if one.tobytes() not in known:
                known[one.tobytes()] = embed(one[None])[0]
        return np.stack([known[one.tobytes()] for one in x])

    learner._engine.embed = once  # type: ignore[method-assign]
    return learner, by_class


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=[*SPLITS], help="classes to measure on"
    )
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), help="where they go")
    options = parser.parse_args()
    options.pictures.mkdir(exist_ok=True)
    of = embed_splits(
        options.data, tuple(dict.fromkeys(["test", *options.splits])), options.pictures
    )
    head = [
        "| 5-way | promised % | unknown accepted % | known kept % | by the largest logit alone:"
        " unknown | known |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines, real = list(head), list(head)
    with tempfile.TemporaryDirectory() as temporary:
        learner = package(of, Path(temporary) / "head")
        for setting in (s for s in SETTINGS if {s[0], s[-1]} <= set(options.splits)):
            lines += measure(learner, of.x, of.classes, setting, options.episodes)
        learner, frames = photographs(options.data, REAL[0], options.pictures, Path(temporary))
        few = options.episodes // 4
        real += measure(learner, frames, of.classes, REAL, few, REAL_RATES)
    text = "\n".join(
        [
            f"{options.episodes} tasks a setting, of what EfficientNet-Lite0 and its maps give for"
            " pictures of 84 pixels; ± is the 95 % interval over tasks, which says nothing of other"
            " classes.",
            "",
            *lines,
            "",
            f"The package of `handful photos` as it is, on the pictures themselves, {few} tasks:",
            "",
            *real,
        ]
    )
    title = "None of these, by other things: photographs"
    write_table("others", title, "python benchmarks/others.py DATA", text)


if __name__ == "__main__":
    main()
