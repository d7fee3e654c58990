"""`handful compare`: runs and packages on the same tasks, or closed forms on one's own data.

Runs and packages stand beside the yardsticks of the first. With `--data` and without runs, all
classes of the data are in the tasks, so there are none left to take a mean or a covariance from.
What a learner centres on is then the mean over all examples, without their labels, and the class
means under the within-class covariance are left out. The first three learners are the yardsticks of
every evaluation (evaluation/yardsticks.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from handful.runtime.arrays import Array
from handful.runtime.errors import HandfulError
from handful.runtime.package.manifest import TaskName
from handful.runtime.package.read import find
from handful.runtime.tools.bench import bench
from handful.runtime.tools.inspect import describe
from handful.trainer.data import DataConfig, DataError, LabelledSet, embed, load_pictures
from handful.trainer.data.labelled import EVERYWHERE
from handful.trainer.data.record import is_name
from handful.trainer.data.splits import shorten
from handful.trainer.episodes import EpisodeSource, TaskSize
from handful.trainer.evaluation import Result, check_fits, embed_set
from handful.trainer.evaluation.accuracy import measure_tasks
from handful.trainer.form.learner import Learner, Untrained
from handful.trainer.form.stage import Tensors
from handful.trainer.learners import LEARNERS
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.config import data_changes, data_from_dict
from handful.trainer.training.data import drop_small
from handful.trainer.workers import Workers

from .compared import Compared, Cost, Kind, entries_of
from .evaluate import evaluators
from .pictures import check_plot, write_plot
from .subjects import Conditions, Count, PackageSubject, Plan, RunSubject, is_run, trust_runs

LEFT_OUT = (
    'means, metric = "within", is left out: it needs the within-class covariance of classes that'
    " are in no task"
)
OF_THESE = (
    "an interval is over tasks drawn from these very examples; how far new ones of the same"
    " classes would move it, it does not say"
)
Subject = RunSubject | PackageSubject
ELSEWHERE = "compare what was trained on the same split of the same data"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of `handful compare`."""

    ways: Sequence[int]
    shots: Sequence[int]
    queries: int
    episodes: int
    seed: int
    within: bool = False  # as the fields of Conditions
    upright: bool = False
    distort: Sequence[str] = ()
    data: str | None = None  # one's own, or where those of the runs are now
    backbone: str | None = None  # of one's own data
    changes: Sequence[str] = ()  # settings of one's own data
    plot: Path | None = None  # where the picture is written
    force: bool = False  # replace a picture that is there
    workers: int | None = None  # None: one a core
    trust: bool = False  # import the modules that runs name
    skip_small: bool = False  # of one's own data: leave out classes with too few examples

    @property
    def conditions(self) -> Conditions:
        """What runs and packages are measured under."""
        return Conditions(within=self.within, upright=self.upright, distort=self.distort)

    @property
    def plan(self) -> Plan:
        """What is measured."""
        return Plan(
            ways=self.ways,
            shots=self.shots,
            queries=self.queries,
            episodes=self.episodes,
            seed=self.seed,
            conditions=self.conditions,
        )


def compare_command(paths: Sequence[str], request: Request, count: Count) -> Compared:
    """Runs and packages on the same tasks; without any the closed forms on one's own data."""
    if request.plot:
        check_plot(request.plot, force=request.force)
    if request.trust:
        trust_runs(paths)
    if paths:
        compared = compare(
            paths, request.plan, workers=request.workers, count=count, moved=request.data
        )
    elif request.data is None:
        raise ConfigError("nothing to compare", hint="name runs or packages, or data of your own")
    elif request.conditions != Conditions():
        raise ConfigError(
            "one's own data are compared as they are",
            hint="leave out --within, --upright and --distort, or name a run or a package",
        )
    else:
        own = Own(
            source=request.data,
            backbone=request.backbone,
            changes=request.changes,
            skip_small=request.skip_small,
        )
        compared = compare_on_data(own, request.plan, workers=request.workers, count=count)
    if request.plot:
        write_plot(compared, request.plot)
    return compared


def compare(
    paths: Sequence[str],
    plan: Plan,
    *,
    workers: int | None = None,
    count: Count,
    moved: str | None = None,
) -> Compared:
    """Runs and packages on the same tasks, beside the yardsticks on the first one's features.

    `moved` says where the data of all of them are now. Packages are also timed, on one thread.
    """
    if twice := [path for path in paths if list(paths).count(path) > 1]:
        raise ConfigError(f"{twice[0]} is named twice", hint="name each run and package once")
    subjects = {path: _open(path, plan, moved) for path in paths}
    first, *others = paths
    remarks = [
        remark
        for path in others
        for remark in same_tasks((first, subjects[first]), (path, subjects[path]))
    ]
    with evaluators(workers, plan) as pool:
        results = _measure(subjects, plan, pool, count)
    measures = [
        (row[0].size, {p: r.values for p, r in zip(paths, row, strict=True)} | dict(row[0].others))
        for row in zip(*results.values(), strict=True)
    ]
    yardsticks = list(results[first][0].others)
    kinds: dict[str, Kind] = {path: "run" if is_run(path) else "package" for path in paths}
    task = asked_of(subjects[first].data)
    references = (first, *yardsticks)
    if task != "classification":
        read = "the readings of each task"
    else:
        read = f"the features of {first}" if is_run(first) else f"what the `embed` of {first} gives"
    return Compared(
        task=task,
        seed=plan.seed,
        references=references,
        entries=entries_of(
            measures,
            kinds | dict.fromkeys(yardsticks, "yardstick"),
            references,
            task=task,
            costs=_costs(subjects, measures[0][0]),
            like=results[first],
        ),
        notes=(*([f"the yardsticks read {read}"] if yardsticks else []), *remarks),
    )


def _open(path: str, plan: Plan, moved: str | None) -> Subject:
    with name_in_errors(path):
        if is_run(path):
            return RunSubject.of(Path(path), plan, moved=moved)
        return PackageSubject.of(find(path), plan, moved=moved)


@contextmanager
def name_in_errors(path: str) -> Iterator[None]:
    """An error meanwhile names which of several it is about."""
    try:
        yield
    except HandfulError as error:
        if path in str(error):
            raise
        raise ConfigError(f"{path}: {error}", hint=error.hint) from error


def asked_of(data: EpisodeSource) -> TaskName:
    """Which kind of task the source has."""
    if data.actions is not None:
        return "policy"
    return "classification" if data.targets is None else "regression"


def same_tasks(one: tuple[str, Subject], other: tuple[str, Subject]) -> list[str]:
    """Refuse two that have no tasks in common; sentences on what differs all the same.

    A seed draws the same tasks where the classes, their order and their counts are the same.
    """
    (first, a), (second, b) = one, other
    if asked_of(a.data) != asked_of(b.data):
        kinds = {
            "classification": "classifies",
            "regression": "is a regression",
            "policy": "is a policy",
        }
        words = [f"{path} {kinds[asked_of(subject.data)]}" for path, subject in (one, other)]
        raise ConfigError(
            f"{words[0]}, {words[1]}: they have no tasks in common",
            hint="compare accuracies with accuracies, errors with errors",
        )
    if not isinstance(a.data, LabelledSet) or not isinstance(b.data, LabelledSet):
        sources = [subject.recorded.config.source for subject in (a, b)]
        if sources[0] != sources[1]:
            raise ConfigError(
                f"{first} is measured on {sources[0]}, {second} on {sources[1]}:"
                " they have no tasks in common",
                hint="compare what was trained on the same functions",
            )
        return []
    _same_classes(first, a.data, second, b.data)
    changed = [
        name
        for name, facts in a.data.facts.items()
        if name in b.data.facts and b.data.facts[name] != facts
    ]
    if not changed:
        return []
    return [
        f"{second} reads other examples of the same classes than {first}, as other embeddings of"
        f" the same pictures would be: {shorten(changed)}; the tasks have the same classes and"
        " rows"
    ]


def _same_classes(first: str, a: LabelledSet, second: str, b: LabelledSet) -> None:
    missing = [name for name in a.classes if name not in set(b.classes)]
    more = [name for name in b.classes if name not in set(a.classes)]
    if missing or more:
        found = [
            f"{label} has {shorten(names)}" for label, names in (("only the first", missing),
            ("only the second", more)) if names
        ]  # fmt: skip
        raise ConfigError(
            f"{first} and {second} are tested on other classes: {', '.join(found)}",
            hint=ELSEWHERE,
        )
    for place, (name, other) in enumerate(zip(a.classes, b.classes, strict=True)):
        if name != other:
            raise ConfigError(
                f"{first} and {second} list the same test classes in another order:"
                f" class {place} is {name} in the first, {other} in the second",
                hint=ELSEWHERE,
            )
    if a.within != EVERYWHERE and a.groups != b.groups:
        raise ConfigError(
            f"{first} and {second} have the same classes in other groups",
            hint="compare without --within, or what was trained with one data.group_separator",
        )
    counts = zip(a.classes, a.counts.tolist(), b.counts.tolist(), strict=True)
    if unequal := [f"{name} has {n} and {m}" for name, n, m in counts if n != m]:
        raise ConfigError(
            f"{first} and {second} have other numbers of examples: {shorten(unequal)}",
            hint=ELSEWHERE,
        )


def _measure(
    subjects: Mapping[str, Subject], plan: Plan, pool: Workers, count: Count
) -> dict[str, list[Result]]:
    """A result for each size, by subject; the first one's are beside the yardsticks."""

    def measure_one(path: str, subject: Subject) -> list[Result]:
        def named(size: str, total: int) -> Callable[[], None]:
            return count(f"{path}, {size}", total)

        yardsticks = plan.yardsticks and path == next(iter(subjects))
        asked = replace(plan, yardsticks=yardsticks, inner_steps=False)
        with name_in_errors(path):
            return subject.measure(asked, pool, count=named)

    return {path: measure_one(path, subject) for path, subject in subjects.items()}


def _costs(subjects: Mapping[str, Subject], size: TaskSize) -> dict[str, Cost]:
    """Of the packages among them."""
    costs = {}
    for path, subject in subjects.items():
        if isinstance(subject, PackageSubject):
            with name_in_errors(path):
                taken = bench(subject.loaded.folder, way=size.way, shot=size.shot)
                costs[path] = Cost(describe(subject.loaded.folder).bytes, taken)
    return costs


@dataclass(frozen=True, kw_only=True)
class Own:
    """One's own data, and how they become features."""

    source: str  # a folder or an .npz file
    backbone: str | None = None  # an ONNX file
    changes: Sequence[str] = ()  # settings of data, as data.image_size=32
    skip_small: bool = False  # leave out classes that have fewer examples than shots and queries

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
    if pictures.named is not None:
        raise DataError(
            "the closed forms learn classes that are others in each task, these are named",
            hint="leave out data.domain; or train a recipe for persons, whose rules `handful"
            " evaluate` puts beside it",
        )
    left: list[str] = []
    if own.skip_small:
        needed = max(plan.shots) + plan.queries
        pictures, left = drop_small(pictures, needed, where=config.source)
    data = embed(pictures, config)
    sizes, lowered = sizes_for(plan, data)
    kinds: dict[str, Kind] = {}
    references: tuple[str, ...] = ()
    by_size: list[dict[str, Array]] = [{} for _ in sizes]
    with evaluators(workers, plan) as pool:
        for learner, (settings, yardstick) in closed_forms():
            name = ", ".join([learner, *(f"{k} = {json.dumps(v)}" for k, v in settings.items())])
            kinds[name] = "learner"
            references += (name,) if yardstick else ()
            prepared = _prepare(learner, settings, data, max(size.way for size in sizes), pool)
            for size, accuracies in zip(sizes, by_size, strict=True):
                check_fits(prepared.learner, prepared.data, size, where=config.source, prefix="--")
                accuracies[name] = measure_tasks(
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
        notes=(*left, *lowered, *_notes(data, pictures, config), LEFT_OUT, OF_THESE),
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


def _prepare(
    name: str, settings: Mapping[str, Any], data: LabelledSet, way: int, pool: Workers
) -> Prepared:
    """Its start, for which it sees all examples, as in training it sees the meta-training ones."""
    kind = LEARNERS[name]
    learner = kind(kind.Config(**settings), data.input, way)
    params = learner.init(torch.Generator().manual_seed(0))
    features = embed_set(learner, params, data, pool)
    examples = features.take_some(len(features.x), seed=0)
    return Prepared(learner, learner.prepare(params, *examples), features)


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
        from handful.trainer.data.backbone import doubts

        yield from doubts(data, pictures, config)
