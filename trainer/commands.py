"""What the training commands do: one function each, called by the command line."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from handful.runtime.errors import HandfulError
from handful.runtime.evaluate import Episodes
from handful.runtime.evaluate import evaluate as evaluate_by_runtime
from handful.runtime.learner import open_package
from handful.runtime.manifest import FILE, Evaluation, Manifest
from handful.runtime.packages import find
from handful.trainer.config import from_dict
from handful.trainer.curves import draw_curves
from handful.trainer.data import LabelledSet, load_data, load_pictures
from handful.trainer.data.labelled import require
from handful.trainer.episodes import draw
from handful.trainer.errors import ConfigError
from handful.trainer.evaluation import Result, embed_set, evaluate
from handful.trainer.export.package import Source, export, with_evaluation
from handful.trainer.learners.maml import MAML
from handful.trainer.loop import Progress
from handful.trainer.progress import Bars, Silent
from handful.trainer.recipe import named_recipe, read_recipe
from handful.trainer.run import METRICS, load_run, read_config, train

Count = Callable[[str, int], Callable[[], None]]  # a bar of so many: Bars.count

WAYS, SHOTS = (5, 20), (1, 5)  # at which an exported package is measured


def train_command(
    recipe: str | None,
    folder: Path,
    *,
    changes: Sequence[str],
    device: str,
    resume: bool,
    threads: int | None,
    report: Bars,
) -> Progress:
    """Train by a recipe; `resume` needs none. Draws curves.png at the end."""
    if threads:
        torch.set_num_threads(threads)
    device = str(device_of(device))
    if resume and not recipe and not changes:
        config = read_config(folder)
    else:
        config = read_recipe(recipe or read_config(folder).learner, changes)
    first = os.environ.get("RANK", "0") == "0"  # under torchrun one process speaks for all
    voice = report if first else Silent()
    with interrupted() as stop:
        progress = train(
            config,
            folder,
            device=device,
            resume=resume,
            report=voice,
            stop=stop,
            fetching=voice.fetching,
        )
    if first and (folder / METRICS).exists():
        draw_curves(folder)
    return progress


def device_of(name: str) -> torch.device:
    """The device of that name, if this machine has it; under torchrun a GPU for each process."""
    try:
        device = torch.device(name)
        if device.type == "cuda":
            index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
            device = torch.device("cuda", index)
            torch.cuda.set_device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"no device {name} on this machine",
            hint="cpu, or cuda with a CUDA build of torch",
        ) from error
    return device


@contextmanager
def interrupted() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks the run to save and stop; a second one ends it at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not the main thread: nobody presses Ctrl-C here
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def evaluate_command(
    path: str,
    *,
    ways: Sequence[int],
    shots: Sequence[int],
    queries: int,
    episodes: int,
    seed: int,
    transductive: bool,
    device: str,
    count: Count,
) -> list[Result]:
    """A run in torch, or a package (a folder, or the name of a shipped one) in the runtime."""
    sizes: dict[str, Any] = {
        "ways": ways,
        "shots": shots,
        "queries": queries,
        "episodes": episodes,
        "seed": seed,
        "count": count,
    }
    folder = Path(path)
    if folder.is_dir() and not (folder / FILE).exists():
        return evaluate_run(folder, **sizes, transductive=transductive, device=device)
    if transductive:
        raise ConfigError("a package is never transductive", hint="evaluate the run that made it")
    return evaluate_package(find(path), **sizes)


def evaluate_run(
    folder: Path,
    *,
    ways: Sequence[int],
    shots: Sequence[int],
    queries: int,
    episodes: int,
    seed: int,
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
                hint="only maml with network.normalisation = support has one",
            )
        learner = learner.with_normalisation("transductive")
    embedded = embed_set(learner, found.params, data)
    return [
        evaluate(
            learner,
            found.params,
            embedded,
            way=way,
            shot=shot,
            queries=queries,
            episodes=episodes,
            seed=seed,
            tick=count(f"{way}-way {shot}-shot", episodes),
        )
        for way in ways
        for shot in shots
    ]


def evaluate_package(
    folder: Path,
    *,
    ways: Sequence[int],
    shots: Sequence[int],
    queries: int,
    episodes: int,
    seed: int,
    count: Count,
) -> list[Result]:
    """An exported package on the meta-test classes of its training, through the runtime alone."""
    learner = open_package(folder)
    config = learner.manifest.training.get("config")
    if not isinstance(config, dict):
        raise HandfulError(f"package {learner.name} does not say what data it was trained on")
    data = load_pictures(from_dict(config, where="manifest.json").data, "meta_test")
    results = []
    for way in ways:
        for shot in shots:
            drawn = episodes_by_index(
                data, way=way, shot=shot, queries=queries, episodes=episodes, seed=seed
            )
            tick = count(f"{way}-way {shot}-shot", episodes)
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
                    queries=queries,
                    episodes=episodes,
                    accuracy=found.accuracy,
                    interval=found.interval,
                )
            )
    return results


def episodes_by_index(
    data: LabelledSet, *, way: int, shot: int, queries: int, episodes: int, seed: int
) -> Episodes:
    """The same tasks that `evaluate` draws for this seed, as rows of indices."""
    require(data, way=way, shot=shot, queries=queries, where="the meta-test split")
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        draw(data, way=way, shot=shot, queries=queries, generator=generator)
        for _ in range(episodes)
    ]

    def labels(per_class: int) -> torch.Tensor:
        return torch.arange(way).repeat_interleave(per_class).expand(episodes, -1)

    support, query = (torch.stack([d[i].reshape(-1) for d in drawn]) for i in (0, 1))
    return Episodes(support.numpy(), labels(shot).numpy(), query.numpy(), labels(queries).numpy())


def export_command(
    run: Path,
    folder: Path,
    *,
    name: str | None,
    force: bool,
    episodes: int,
    count: Count,
) -> Manifest:
    """Export a run's best parameters, then measure the package through the runtime."""
    config = read_config(run)
    pictures = load_pictures(config.data, "meta_test")
    features = load_data(config.data, "meta_test") if config.data.backbone else pictures
    found = load_run(run, features)
    source = Source(
        learner=found.learner,
        params=found.params,
        test=pictures,
        training={**found.facts, **named_recipe(config)},
        backbone=config.data.backbone,
    )
    manifest = export(source, folder, name=name, force=force)
    if not episodes:
        return manifest
    least = int(pictures.counts.min())
    shots = [shot for shot in SHOTS if shot < least] or [1]
    results = evaluate_package(
        folder,
        ways=_ways(manifest.limits.way.max, len(pictures.classes)),
        shots=shots,
        queries=max(1, min(15, least - max(shots))),
        episodes=episodes,
        seed=0,
        count=count,
    )
    split = config.data.split if config.data.source != "glyphs" else "made here"
    measured = [
        Evaluation(
            data=f"{Path(config.data.source).name} ({Path(split).name})",
            split="meta_test",
            **{k: v for k, v in asdict(r).items() if k != "queries"},
        )
        for r in results
    ]
    return with_evaluation(folder, manifest, measured)


def _ways(limit: int | None, classes: int) -> list[int]:
    """Those of the usual ways that the package and the data allow, or the most that they do."""
    most = min(limit or classes, classes)
    return [way for way in WAYS if way <= most] or [most]
