"""What the training commands do: one function each, called by the command line."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from handful.runtime.errors import HandfulError
from handful.runtime.evaluate import Episodes
from handful.runtime.evaluate import evaluate as evaluate_by_runtime
from handful.runtime.learner import open_package
from handful.runtime.manifest import Evaluation, Manifest
from handful.trainer.config import RECIPES, RunConfig, from_dict, from_toml, to_dict
from handful.trainer.curves import draw_curves
from handful.trainer.data import LabelledSet, load_data, load_pictures
from handful.trainer.data.labelled import require
from handful.trainer.episodes import draw
from handful.trainer.evaluation import Result, embed_set, evaluate
from handful.trainer.export.package import Source, export, with_evaluation
from handful.trainer.learners import LEARNERS
from handful.trainer.learners.form import ConfigError
from handful.trainer.learners.maml import MAML
from handful.trainer.loop import Progress
from handful.trainer.progress import Bars
from handful.trainer.run import METRICS, load_run, read_config, train


def train_command(
    recipe: str,
    folder: Path,
    *,
    changes: Sequence[str],
    device: str,
    resume: bool,
    threads: int | None,
    report: Bars,
) -> Progress:
    """Train by a recipe, or resume the run in the folder; draws curves.png at the end."""
    if threads:
        torch.set_num_threads(threads)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"no CUDA device for --device {device}", hint="leave --device out")
    config = read_config(folder) if resume else read_recipe(recipe, changes)
    with interrupted() as stop:
        progress = train(config, folder, device=device, resume=resume, report=report, stop=stop)
    if (folder / METRICS).exists():
        draw_curves(folder)
    return progress


def read_recipe(recipe: str, changes: Sequence[str]) -> RunConfig:
    """A TOML file, the name of a recipe, or a learner's name: then its recipe for the data."""
    path = Path(recipe)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ConfigError(f"no recipe file {recipe}")
        return from_toml(path.read_text(encoding="utf-8"), where=recipe, changes=changes)
    source = next(
        (c.split("=", 1)[1].strip("\"'") for c in changes if c.startswith("data.source=")), None
    )
    for name in (recipe, f"{source or 'omniglot'}-{recipe}"):
        file = RECIPES / f"{name}.toml"
        if file.is_file():
            return from_toml(file.read_text(encoding="utf-8"), where=file.name, changes=changes)
    if recipe not in LEARNERS:
        raise ConfigError(
            f"no recipe and no learner {recipe}", hint=f"there are: {', '.join(recipes())}"
        )
    return from_toml(f'[learner]\nname = "{recipe}"', where=recipe, changes=changes)


def recipes() -> list[str]:
    """The names of the recipes that come with handful, and of the learners."""
    return [*sorted(file.stem for file in RECIPES.glob("*.toml")), *LEARNERS]


def named_recipe(config: RunConfig) -> dict[str, str]:
    """The recipe that comes with handful and has exactly these settings, for the card."""
    for file in sorted(RECIPES.glob("*.toml")):
        text = file.read_text(encoding="utf-8")
        if to_dict(from_toml(text, where=file.name)) == to_dict(config):
            return {"recipe": file.stem}
    return {}


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
    count: Callable[[str, int], Callable[[], None]],
) -> list[Result]:
    """A run's best parameters on its meta-test classes, in torch."""
    config = read_config(folder)
    data = load_data(config.data, "meta_test").to(torch.device(device))
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
    results = []
    for way in ways:
        for shot in shots:
            results.append(
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
            )
    return results


def evaluate_package(
    folder: Path,
    *,
    ways: Sequence[int],
    shots: Sequence[int],
    queries: int,
    episodes: int,
    seed: int,
    count: Callable[[str, int], Callable[[], None]],
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
            tick = count(f"{way}-way {shot}-shot", episodes)
            drawn = episodes_by_index(
                data, way=way, shot=shot, queries=queries, episodes=episodes, seed=seed
            )
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
    count: Callable[[str, int], Callable[[], None]],
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
    most = manifest.limits.way.max or len(pictures.classes)
    ways = [way for way in (5, 20) if way <= min(most, len(pictures.classes))]
    least = int(pictures.counts.min())
    shots = [shot for shot in (1, 5) if shot < least]
    results = evaluate_package(
        folder,
        ways=ways,
        shots=shots,
        queries=min(15, least - max(shots)),
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
    return with_evaluation(folder, replace(manifest), measured)
