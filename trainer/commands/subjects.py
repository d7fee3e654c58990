"""What is measured, a run in torch or a package in the runtime, and on which tasks.

The tasks may be of other data, within groups, of upright or of distorted pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handful.runtime.arrays import Array, Floats
from handful.runtime.errors import HandfulError
from handful.runtime.package.manifest import FILE, Manifest
from handful.runtime.tools.evaluate import embed
from handful.trainer.data import DataConfig, DataError, LabelledSet
from handful.trainer.data.config import DRAWN
from handful.trainer.data.distortions import change_of
from handful.trainer.data.distortions.pictures import distort_once
from handful.trainer.data.domains import DomainSet
from handful.trainer.data.environments import Environment
from handful.trainer.data.labelled import EVERYWHERE, ONE_GROUP
from handful.trainer.episodes import EpisodeSource, Rows, TaskSize, as_episodes, rows_of
from handful.trainer.evaluation import (
    Features,
    Result,
    Yardsticks,
    check_fits,
    embed_set,
    evaluate,
    summarise,
)
from handful.trainer.evaluation.accuracy import (
    NOTHING,
    earlier_steps,
    evaluate_policy,
    features_of,
)
from handful.trainer.evaluation.everybody import Everybody, is_for_everybody
from handful.trainer.evaluation.packages import (
    MeasuredPackage,
    PackagePlayer,
    embed_shared,
    package_accuracies,
    package_errors,
    package_promises,
)
from handful.trainer.evaluation.returns import environment_of
from handful.trainer.evaluation.yardsticks import Fits
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.config import data_from_dict, distortions
from handful.trainer.training.data import RecordedData
from handful.trainer.training.folder import PRETRAINED, Trained, load_run, read_config, trust
from handful.trainer.workers import Workers
from handful.trainer.workers.host import device_of

CLASSES = ("omniglot", *DRAWN)  # sources of classes that are names


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How the test differs from tasks of all recorded test classes as they are."""

    within: bool = False  # the classes of each task come from one group
    upright: bool = False  # without quarter turns
    distort: Sequence[str] = ()  # as rotation=15
    source: str | None = None  # whose test classes they are; None: of the data of the training

    def apply(
        self,
        home: EpisodeSource,
        recorded: RecordedData,
        load: Callable[[RecordedData], LabelledSet],
        seed: int,
    ) -> EpisodeSource:
        """The tasks under these conditions; `home` are the recorded test classes as they are.

        `load` reads the test classes of data as `home` was read.
        """
        if not isinstance(home, LabelledSet):
            if self != Conditions():
                raise ConfigError(
                    f"tasks of {recorded.config.source} are functions, tested as they are",
                    hint="leave out --within, --upright, --distort and another source",
                )
            return home
        data = home
        if self.source is not None or (self.upright and recorded.config.rotations):
            data = load(self._elsewhere(recorded))
        if tuple(data.input.shape) != tuple(home.input.shape):
            raise DataError(
                f"examples of {self.source} are {list(data.input.shape)},"
                f" the learner reads {list(home.input.shape)}",
                hint="another source must give examples of the form that it was trained on",
            )
        distort = distortions(self.distort, where="--distort")
        if distort.anything:
            change = change_of(data.x, distort, where="the meta-test split")
            data = replace(data, x=distort_once(data.x, seed, change))
        return data.with_drawing(ONE_GROUP if self.within else EVERYWHERE)

    def _elsewhere(self, recorded: RecordedData) -> RecordedData:
        """Where the test classes are: with its usual split, what another source has of them."""
        config = recorded.config
        if self.source is not None:
            usual = DataConfig(source=self.source)
            changes = {name: getattr(usual, name) for name in ("source", "path", "split")}
            recorded = replace(recorded, record=None)
            config = replace(config, **changes, rotations=usual.rotations)
        if self.upright:
            config = replace(config, rotations=False)
        return replace(recorded, config=config)


def interpret_data(config: DataConfig, data: str | None) -> tuple[str | None, str | None]:
    """What `--data` says: where the run's own data are now, or which other source to test on."""
    another = data in CLASSES and data != config.source
    return (None, data) if another else (data, None)


Count = Callable[[str, int], Callable[[], None]]  # a bar of so many: Bars.count
SPLIT = "the meta-test split"
SAMPLE = 1024  # meta-training examples over which yardsticks centre


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured: every way with every shot, over so many episodes drawn from a seed."""

    ways: Sequence[int] = (5,)
    shots: Sequence[int] = (1,)
    queries: int = 15  # a class
    episodes: int = 1000
    seed: int = 0
    yardsticks: bool = True  # False: the accuracy alone, without what it has to beat
    inner_steps: bool = True  # with the yardsticks: measure after fewer inner steps too
    partial: bool = True  # of named classes: the most shots of half of the classes, too
    sure: bool = False  # whether a package is as sure as it says
    conditions: Conditions = field(default_factory=Conditions)

    def sizes(self, data: EpisodeSource) -> list[TaskSize]:
        """The tasks of each way with each shot; neither functions nor named classes have ways."""
        sizes = [data.size(way, shot, self.queries) for way in self.ways for shot in self.shots]
        if self.partial and data.named is not None:
            most = data.size(0, max(self.shots), self.queries)
            sizes += [replace(most, given=most.way // 2)] if most.shot else []
        return list(dict.fromkeys(sizes))


def make_plan(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a command: those of a Plan and of its Conditions gathered in `plan`."""
    kinds = (Plan, Conditions)
    values = [{f.name: asked[f.name] for f in fields(k) if f.name in asked} for k in kinds]
    taken = {name for part in values for name in part}
    others = {name: value for name, value in asked.items() if name not in taken}
    return {"plan": Plan(**values[0], conditions=Conditions(**values[1])), **others}


def is_run(path: str) -> bool:
    """Whether it is a run's folder; what is none is a package's, or a shipped one's name."""
    return Path(path).is_dir() and not Path(path, FILE).exists()


def trust_runs(paths: Iterable[str]) -> None:
    """Import what the runs among them name of the user's own; of packages nothing is imported."""
    for path in filter(is_run, paths):
        trust(Path(path))


@dataclass(frozen=True)
class RunSubject:
    """A run's best parameters, and its meta-test classes as they learn from them."""

    recorded: RecordedData
    data: EpisodeSource
    trained: Trained
    folder: Path

    @classmethod
    def of(
        cls, folder: Path, plan: Plan, *, device: str = "cpu", moved: str | None = None
    ) -> RunSubject:
        """The run in the folder, on a device, under the plan's conditions."""
        target = device_of(device)
        moved, source = interpret_data(read_config(folder).data, moved)
        recorded = RecordedData.of_run(folder, moved)
        home = recorded.functions or recorded.load("meta_test")
        conditions = replace(plan.conditions, source=source)
        data = conditions.apply(home, recorded, lambda other: other.load("meta_test"), plan.seed)
        return cls(recorded, data.to(target), load_run(folder, home, target), folder)

    def measure(
        self,
        plan: Plan,
        pool: Workers | None = None,
        *,
        transductive: bool = False,
        yardsticks: Yardsticks | None = None,
        count: Count,
    ) -> list[Result]:
        """A result for each size of the plan, in torch; `yardsticks` are its own, made before."""
        trained, data = self.trained, self.data
        learner = trained.learner
        if transductive and not learner.transductive:
            learner = learner.transductive_form()
        sizes = plan.sizes(data)
        for size in sizes:
            check_fits(learner, data, size, where=SPLIT, prefix="--")
        if plan.yardsticks and yardsticks is None:
            yardsticks = self.yardsticks(pool)
        embedded_data = embed_set(learner, trained.params, data, pool)
        return [
            evaluate(
                learner,
                trained.params,
                embedded_data,
                size,
                episodes=plan.episodes,
                seed=plan.seed,
                yardsticks=yardsticks,
                inner_steps=plan.inner_steps,
                tick=count(str(size), plan.episodes),
                workers=pool,
            )
            for size in sizes
        ]

    def yardsticks(self, pool: Workers | None = None) -> Yardsticks:
        """Rules on the features that the learner adapts on; in regression fits to the readings."""
        if isinstance(self.data, LabelledSet):
            train = self.recorded.load("meta_train")
            features = run_features(self.trained, self.data, train, pool)
            return beside_everybody(self.folder, features, train, self.recorded)
        return Fits(self.data)


def beside_everybody(
    folder: Path, features: Features, train: LabelledSet, recorded: RecordedData
) -> Features | Everybody:
    """The rules on these features; of named classes those on everybody's classifier as well.

    That is the run in the folder, or the one that it was pre-trained by, if there is any.
    """
    data = features.data
    if not isinstance(data, DomainSet) or not isinstance(train, DomainSet):
        return features
    places = (folder / PRETRAINED, folder)
    trained = load_run(next(place for place in places if place.is_dir()), data)
    if not is_for_everybody(trained.learner):
        return features
    validation = recorded.load("meta_val")
    assert isinstance(validation, DomainSet)
    return Everybody(trained.learner, trained.params, train, validation, features)


def run_features(
    trained: Trained, data: LabelledSet, meta_train: LabelledSet, pool: Workers | None = None
) -> Features:
    """What the yardsticks read of `data`: the features that the run's learner adapts on."""
    sample = meta_training_sample(meta_train).to(data.x.device)
    return features_of(trained.learner, trained.params, data, sample, pool)


def meta_training_sample(data: LabelledSet) -> Tensor:
    """Some meta-training examples as a learner sees them, [R, ...]."""
    return data.take_some(SAMPLE, seed=0)[0]


@dataclass(frozen=True)
class PackageSubject:
    """A package, and the meta-test classes of its training as a device meets them."""

    recorded: RecordedData
    data: EpisodeSource
    loaded: MeasuredPackage

    @classmethod
    def of(
        cls,
        folder: Path,
        plan: Plan,
        *,
        moved: str | None = None,
        recorded: RecordedData | None = None,
    ) -> PackageSubject:
        """The package in the folder, under the plan's conditions.

        Its data are `recorded`, or what the manifest says.
        """
        loaded = MeasuredPackage(folder)
        manifest = loaded.package.manifest
        moved, source = interpret_data(_config_of(manifest), moved)
        recorded = recorded or RecordedData.of_package(manifest.training, moved)
        conditions = replace(plan.conditions, source=source)

        def test_classes(recorded: RecordedData) -> LabelledSet:
            return recorded.pictures("meta_test", package=manifest.input)

        home = recorded.functions or test_classes(recorded)
        data = conditions.apply(home, recorded, test_classes, plan.seed)
        return cls(recorded, data, MeasuredPackage.load_for(folder, data.input))

    def measure(
        self,
        plan: Plan,
        pool: Workers | None = None,
        *,
        features: Features | Everybody | None = None,
        count: Count,
    ) -> list[Result]:
        """A result for each size of the plan, through the runtime."""
        pool, loaded, data = pool or Workers(), self.loaded, self.data
        if (environment := environment_of(data)) is not None:
            return _in_environment(PackagePlayer(loaded), environment, plan, pool, count)
        if not isinstance(data, LabelledSet):
            return _on_functions(loaded, data, plan, pool, count)
        sizes = plan.sizes(data)
        for size in sizes:
            data.check(size, where=SPLIT, prefix="--")
        h = embed_shared(loaded, data.x.numpy(), pool)
        if plan.yardsticks and features is None:
            features = self._features(data, h)
        results = []
        for size in sizes:
            rows = rows_of(data, size, episodes=plan.episodes, seed=plan.seed)
            by_step = package_accuracies(
                loaded,
                h,
                as_episodes(rows),
                every_step=plan.yardsticks and plan.inner_steps,
                tick=count(str(size), plan.episodes),
                workers=pool,
            )
            on_features = features.on_rows(size, rows) if features is not None else {}
            against = {**on_features, **earlier_steps(by_step)}
            if plan.yardsticks and data.named is not None and size.shot:
                against = {NOTHING: self._before(h, rows, pool), **against}
            persons = data.persons(size, episodes=plan.episodes, seed=plan.seed)
            result = summarise(by_step[:, -1], size, against=against, persons=persons)
            if plan.sure:
                tasks = (data, h, size, plan.episodes, plan.seed)
                told = partial(count, f"{size}, confidence")
                result = replace(result, sure=package_promises(loaded, *tasks, told, pool))
            results.append(result)
        return results

    def _before(self, h: Floats, rows: Rows, pool: Workers) -> Array:
        """The accuracy on each of these tasks, [E], without their support sets."""
        none = rows._replace(support=rows.support[:, :0], support_y=rows.support_y[:, :0])
        tasks = as_episodes(none)
        found = package_accuracies(
            self.loaded, h, tasks, every_step=False, tick=lambda: None, workers=pool
        )
        before: Array = found[:, -1]
        return before

    def _features(self, data: LabelledSet, h: Floats) -> Features:
        """What the package's own `embed` gives for the meta-test examples."""
        package = self.loaded.package
        meta_train = self.recorded.pictures("meta_train", package=package.manifest.input)
        sample = meta_training_sample(meta_train)
        centre = torch.from_numpy(embed(package, sample.numpy())).flatten(1).mean(dim=0)
        name = "the examples" if package.manifest.embed is None else "h"
        return Features(data, torch.from_numpy(h).flatten(1), centre, name)


def _in_environment(
    player: PackagePlayer, environment: Environment, plan: Plan, pool: Workers, count: Count
) -> list[Result]:
    """The package's return after one round, beside other rounds and who knows the world."""
    sizes = plan.sizes(environment)
    for size in sizes:
        environment.check(size, where=SPLIT, prefix="--")
    return [
        evaluate_policy(
            player,
            environment,
            size,
            episodes=plan.episodes,
            seed=plan.seed,
            whole=plan.yardsticks,
            tick=count(str(size), plan.episodes),
            workers=pool,
        )
        for size in sizes
    ]


def _on_functions(
    loaded: MeasuredPackage, functions: EpisodeSource, plan: Plan, pool: Workers, count: Count
) -> list[Result]:
    """The package's error on functions, beside fits to the readings and fewer inner steps."""
    results = []
    for size in plan.sizes(functions):
        by_step = package_errors(
            loaded,
            functions,
            size,
            episodes=plan.episodes,
            seed=plan.seed,
            every_step=plan.yardsticks and plan.inner_steps,
            tick=count(str(size), plan.episodes),
            workers=pool,
        )
        against: dict[str, Array] = {}
        if plan.yardsticks:
            fits_to = Fits(functions).measure(size, episodes=plan.episodes, seed=plan.seed)
            against = fits_to | earlier_steps(by_step)
        results.append(summarise(by_step[:, -1], size, task="regression", against=against))
    return results


def _config_of(manifest: Manifest) -> DataConfig:
    training = manifest.training
    if not isinstance(training.get("config"), dict):
        raise HandfulError(f"package {manifest.name} does not say what data it was trained on")
    return data_from_dict(training["config"], where=FILE)
