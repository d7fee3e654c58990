"""`handful export`: a run to a package, measured through the runtime."""

from __future__ import annotations

from pathlib import Path

from handful.runtime.package.manifest import Evaluation, Limits, Manifest
from handful.trainer.data import load_data, load_pictures
from handful.trainer.export.package import export, with_evaluation
from handful.trainer.export.source import Source
from handful.trainer.recipe import named_recipe
from handful.trainer.training.run import load_run, read_config

from .evaluate import Count, Plan, evaluate_package, run_features

WAYS, SHOTS = (5, 20), (1, 5)  # at which an exported package is measured


def export_command(
    run: Path,
    folder: Path,
    *,
    name: str | None,
    force: bool,
    episodes: int,
    yardsticks: bool = True,
    count: Count,
) -> Manifest:
    """Export a run's best parameters, then measure the package through the runtime.

    Beside it stand the yardsticks, on the run's features in torch and on the same tasks.
    """
    config = read_config(run)
    pictures = load_pictures(config.data, "meta_test")
    features = load_data(config.data, "meta_test") if config.data.backbone else pictures
    trained = load_run(run, features)
    source = Source(
        learner=trained.learner,
        params=trained.params,
        test=pictures,
        training={**trained.facts, **named_recipe(config)},
        backbone=config.data.backbone,
    )
    manifest = export(source, folder, name=name, force=force)
    if not episodes:
        return manifest
    least = int(pictures.counts.min())
    most = manifest.limits.support.max
    shots = [s for s in SHOTS if s < least and (most is None or 2 * s <= most)] or [1]
    plan = Plan(
        ways=_ways(manifest.limits, len(pictures.classes), max(shots)),
        shots=shots,
        queries=max(1, min(15, least - max(shots))),
        episodes=episodes,
        yardsticks=yardsticks,
    )
    beside = run_features(trained, features) if yardsticks else None
    results = evaluate_package(folder, plan, features=beside, count=count)
    split = config.data.split if config.data.source != "glyphs" else "made here"
    measured = [
        Evaluation(
            data=f"{Path(config.data.source).name} ({Path(split).name})",
            split="meta_test",
            way=result.way,
            shot=result.shot,
            episodes=result.episodes,
            accuracy=result.accuracy,
            interval=result.interval,
            compared=result.compared,
        )
        for result in results
    ]
    return with_evaluation(folder, manifest, measured)


def _ways(limits: Limits, classes: int, shot: int) -> list[int]:
    """Those of the usual ways that the package and the data allow, or the most that they do."""
    most = min(limits.way.max or classes, classes, (limits.support.max or classes * shot) // shot)
    return [way for way in WAYS if way <= most] or [most]
