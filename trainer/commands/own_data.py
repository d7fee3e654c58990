"""`handful compare --data ...`: the closed forms on one's own data, before anything is trained.

All classes of the data are in the tasks, so there are none left to take a mean or a covariance
from. What a learner centres on is therefore the mean over all examples, without their labels, and
the class means under the within-class covariance are left out. The first three learners are the
yardsticks of every evaluation (evaluation/yardsticks.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from handful.runtime.arrays import Array
from handful.trainer.config import data_changes, data_from_dict
from handful.trainer.data import DataConfig, DataError, LabelledSet, embedded, load_pictures
from handful.trainer.data.record import is_name
from handful.trainer.evaluation import embed_set, fits
from handful.trainer.evaluation.accuracy import measured
from handful.trainer.learners import LEARNERS, Learner, Tensors
from handful.trainer.learners.form import Untrained
from handful.trainer.sizes import TaskSize
from handful.trainer.workers import Workers

from .compared import Compared, Kind, entries_of
from .evaluate import evaluators
from .subjects import Count, Plan

LEFT_OUT = (
    'means, metric = "within", is left out: it needs the within-class covariance of classes that'
    " are in no task"
)
OF_THESE = (
    "an interval is over tasks drawn from these very examples; how far new ones of the same"
    " classes would move it, it does not say"
)


@dataclass(frozen=True, kw_only=True)
class Own:
    """One's own data, and how they become features."""

    source: str  # a folder or an .npz file
    backbone: str | None = None  # an ONNX file
    changes: Sequence[str] = ()  # settings of data, as data.image_size=32

    def config(self) -> DataConfig:
        """The settings of the data."""
        changed = data_changes(
            self.changes,
            why="without a run there are settings of data alone",
            such_as="data.image_size=32 or data.backbone_scale=0.00392",
        )
        data: dict[str, Any] = {"source": self.source, "split": "random"}
        data |= {"backbone": self.backbone} if self.backbone else {}
        return data_from_dict({"data": data | changed}, where="--set")


def compare_on_data(own: Own, plan: Plan, *, workers: int | None = None, count: Count) -> Compared:
    """The closed forms on tasks of all classes; way and shots are lowered to what there is."""
    config = own.config()
    if is_name(config.source):
        raise DataError(
            f"{config.source} is not data of one's own",
            hint="give a folder of images or an .npz file; or name a run or a package",
        )
    pictures = load_pictures(config, "all")
    data = embedded(pictures, config)
    sizes, lowered = sizes_for(plan, data)
    kinds: dict[str, Kind] = {}
    references: tuple[str, ...] = ()
    by_size: list[dict[str, Array]] = [{} for _ in sizes]
    with evaluators(workers, plan) as pool:
        for learner, (settings, yardstick) in closed_forms():
            name = ", ".join([learner, *(f"{k} = {json.dumps(v)}" for k, v in settings.items())])
            kinds[name] = "learner"
            references += (name,) if yardstick else ()
            prepared = _prepared(learner, settings, data, max(size.way for size in sizes), pool)
            for size, accuracies in zip(sizes, by_size, strict=True):
                fits(prepared.learner, prepared.data, size, where=config.source, prefix="--")
                accuracies[name] = measured(
                    *(prepared.learner, prepared.params, prepared.data, size),
                    episodes=plan.episodes,
                    seed=plan.seed,
                    every_step=False,
                    tick=count(f"{name}, {size}", plan.episodes),
                    workers=pool,
                )[:, -1]
    return Compared(
        task="classification",
        seed=plan.seed,
        references=references,
        entries=entries_of(list(zip(sizes, by_size, strict=True)), kinds, references),
        notes=(*lowered, *_notes(data, pictures, config), LEFT_OUT, OF_THESE),
    )


def closed_forms() -> list[tuple[str, Untrained]]:
    """Every learner in each form that needs no meta-training: the yardsticks first, in order."""
    forms = [(name, form) for name, kind in LEARNERS.items() for form in kind.untrained]
    return sorted(forms, key=lambda found: found[1].yardstick or len(forms))


@dataclass(frozen=True)
class Prepared:
    """A learner that nothing has trained, on what it embeds."""

    learner: Learner
    params: Tensors
    data: LabelledSet


def _prepared(
    name: str, settings: Mapping[str, Any], data: LabelledSet, way: int, pool: Workers
) -> Prepared:
    """Its start, for which it sees all examples, as in training it sees the meta-training ones."""
    kind = LEARNERS[name]
    learner = kind(kind.Config(**settings), data.input, way)
    params = learner.init(torch.Generator().manual_seed(0))
    features = embed_set(learner, params, data, pool)
    return Prepared(learner, learner.prepare(params, features.x, features.labels), features)


def sizes_for(plan: Plan, data: LabelledSet) -> tuple[list[TaskSize], list[str]]:
    """The plan's sizes, lowered to what the data hold, and a sentence for each that was lowered."""
    classes = len(data.classes)
    smallest = int(data.counts.argmin())
    fewest, name = int(data.counts[smallest]), data.classes[smallest]
    if classes < 2:
        raise DataError(f"the data have one class, {name}", hint="a task needs two or more")
    if fewest < 2:
        raise DataError(
            f"class {name} has one example, wanted one to adapt to and another to test on",
            hint="add some, or leave the class out",
        )
    sizes: list[TaskSize] = []
    notes: list[str] = []
    for way in plan.ways:
        if way > classes:
            notes.append(f"--way {way} is lowered to {classes}, the classes of the data")
        for shot in plan.shots:
            held = min(shot, fewest - 1)
            queries = min(plan.queries, fewest - held)
            if held < shot:
                notes.append(f"--shot {shot} is lowered to {held}: {name} has {fewest} examples")
            if queries < plan.queries:
                notes.append(
                    f"--queries {plan.queries} is lowered to {queries} at {held}-shot:"
                    f" {name} has {fewest} examples"
                )
            sizes.append(TaskSize(min(way, classes), held, queries))
    return list(dict.fromkeys(sizes)), list(dict.fromkeys(notes))


def _notes(data: LabelledSet, pictures: LabelledSet, config: DataConfig) -> Iterator[str]:
    """What the features are, what they are centred on, and what may be wrong with them."""
    count = data.x[0].numel()
    if config.backbone:
        features = f"the {count} outputs of {config.backbone.name}"
    elif data.input.kind == "image":
        features = f"the {count} pixels themselves, for want of a --backbone"
    else:
        features = f"the {count} numbers of each example"
    yield (
        f"{len(data.x)} examples of {len(data.classes)} classes; the features are {features}; what"
        " is centred is centred on the mean over all examples, without their labels, since no"
        " other classes are there"
    )
    yield "the first three are the yardsticks of `handful evaluate`; nothing was trained"
    if config.backbone:
        from handful.trainer.data.embeddings import doubts

        yield from doubts(data, pictures, config)
