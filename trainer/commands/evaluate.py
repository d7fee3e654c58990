"""`handful evaluate`: a run in torch, a package through the runtime, on the same tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from handful.runtime.errors import HandfulError
from handful.runtime.learner import load
from handful.runtime.package.manifest import FILE
from handful.runtime.package.shipped import find
from handful.runtime.tools.evaluate import Episodes
from handful.runtime.tools.evaluate import evaluate as evaluate_by_runtime
from handful.trainer.config import from_dict
from handful.trainer.data import LabelledSet, load_data, load_pictures
from handful.trainer.data.labelled import require
from handful.trainer.episodes import draw
from handful.trainer.errors import ConfigError
from handful.trainer.evaluation import Result, embed_set, evaluate, fits
from handful.trainer.learners.maml import MAML
from handful.trainer.training.device import device_of
from handful.trainer.training.run import load_run, read_config

Count = Callable[[str, int], Callable[[], None]]  # a bar of so many: Bars.count
SPLIT = "the meta-test split"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured: every way with every shot, over so many episodes drawn from a seed."""

    ways: Sequence[int] = (5,)
    shots: Sequence[int] = (1,)
    queries: int = 15  # a class
    episodes: int = 1000
    seed: int = 0

    def settings(self) -> Iterator[tuple[int, int]]:
        """Each (way, shot)."""
        return ((way, shot) for way in self.ways for shot in self.shots)


def evaluate_command(
    path: str,
    plan: Plan,
    *,
    transductive: bool,
    device: str,
    count: Count,
) -> list[Result]:
    """A run in torch, or a package (a folder, or the name of a shipped one) in the runtime."""
    folder = Path(path)
    if folder.is_dir() and not (folder / FILE).exists():
        return evaluate_run(folder, plan, transductive=transductive, device=device, count=count)
    if transductive:
        raise ConfigError("a package is never transductive", hint="evaluate the run that made it")
    return evaluate_package(find(path), plan, count=count)


def evaluate_run(
    folder: Path,
    plan: Plan,
    *,
    transductive: bool,
    device: str,
    count: Count,
) -> list[Result]:
    """A run's best parameters on its meta-test classes, in torch."""
    config = read_config(folder)
    data = load_data(config.data, "meta_test").to(device_of(device))
    found = load_run(folder, data)
    learner = found.learner
    if transductive and not learner.transductive:
        if not isinstance(learner, MAML) or learner.config.network.normalisation != "support":
            raise ConfigError(
                f"{learner.name} of this run has no transductive form",
                hint='only maml with learner.network.normalisation = "support" has one',
            )
        learner = learner.with_normalisation("transductive")
    for way, shot in plan.settings():
        fits(learner, data, way=way, shot=shot, queries=plan.queries, where=SPLIT, prefix="--")
    embedded = embed_set(learner, found.params, data)
    return [
        evaluate(
            learner,
            found.params,
            embedded,
            way=way,
            shot=shot,
            queries=plan.queries,
            episodes=plan.episodes,
            seed=plan.seed,
            tick=count(f"{way}-way {shot}-shot", plan.episodes),
        )
        for way, shot in plan.settings()
    ]


def evaluate_package(
    folder: Path,
    plan: Plan,
    *,
    count: Count,
) -> list[Result]:
    """An exported package on the meta-test classes of its training, through the runtime alone."""
    learner = load(folder)
    config = learner.manifest.training.get("config")
    if not isinstance(config, dict):
        raise HandfulError(f"package {learner.name} does not say what data it was trained on")
    data = load_pictures(from_dict(config, where="manifest.json").data, "meta_test")
    results = []
    for way, shot in plan.settings():
        drawn = episodes_by_index(
            data,
            way=way,
            shot=shot,
            queries=plan.queries,
            episodes=plan.episodes,
            seed=plan.seed,
        )
        tick = count(f"{way}-way {shot}-shot", plan.episodes)
        found = evaluate_by_runtime(
            learner,
            data.x.numpy(),
            drawn,
            progress=lambda done, tick=tick: tick(),  # type: ignore[misc]
        )
        results.append(
            Result(
                way=way,
                shot=shot,
                queries=plan.queries,
                episodes=plan.episodes,
                accuracy=found.accuracy,
                interval=found.interval,
            )
        )
    return results


def episodes_by_index(
    data: LabelledSet, *, way: int, shot: int, queries: int, episodes: int, seed: int
) -> Episodes:
    """The same tasks that `evaluate` draws for this seed, as rows of indices."""
    require(data, way=way, shot=shot, queries=queries, where=SPLIT, prefix="--")
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        draw(data, way=way, shot=shot, queries=queries, generator=generator)
        for _ in range(episodes)
    ]

    def labels(per_class: int) -> torch.Tensor:
        return torch.arange(way).repeat_interleave(per_class).expand(episodes, -1)

    support, query = (torch.stack([d[i].reshape(-1) for d in drawn]) for i in (0, 1))
    return Episodes(support.numpy(), labels(shot).numpy(), query.numpy(), labels(queries).numpy())
