"""How sure a package's answers are, measured on the meta-validation classes of its run."""

from __future__ import annotations

from pathlib import Path

from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import Confidence, Manifest
from handful.trainer.data import LabelledSet
from handful.trainer.evaluation.confidence import Asked, asked, measured_confidence, with_unknown
from handful.trainer.evaluation.packages import MeasuredPackage, embed_shared, package_logits
from handful.trainer.sizes import TaskSize
from handful.trainer.training.data import RecordedData
from handful.trainer.workers import Workers

from .subjects import Count

WAYS, SHOTS, QUERIES = (2, 5, 10, 20), (1, 2, 5, 10), 5
PER_EPISODE = 5  # queries at each size, for each episode that accuracy is measured on
FEWEST = 20  # tasks of a size


def package_confidence(
    folder: Path,
    recorded: RecordedData,
    *,
    episodes: int,
    seed: int = 0,
    workers: Workers,
    count: Count,
) -> tuple[Confidence, ...]:
    """An entry for each size that the package and its meta-validation classes allow.

    None where it is a regression, or where no task leaves a class that is unknown to it.
    """
    manifest = read_manifest(folder)
    if manifest.task == "regression":
        return ()
    data = recorded.pictures("meta_val", package=manifest.input)
    sizes = sizes_of(manifest, data)
    if not sizes:
        return ()
    found = answers_at(
        MeasuredPackage.reading(folder, data.input),
        data,
        sizes,
        episodes=episodes,
        seed=seed,
        workers=workers,
        count=count,
    )
    return measured_confidence(found, len(data.classes))


def answers_at(
    loaded: MeasuredPackage,
    data: LabelledSet,
    sizes: list[TaskSize],
    *,
    episodes: int,
    seed: int,
    workers: Workers,
    count: Count,
) -> dict[tuple[int, int], Asked]:
    """The package's logits in tasks of each (way, shot); each example is embedded once."""
    h = embed_shared(loaded, data.x.numpy(), workers)
    tasks = {
        size: max(FEWEST, -(-episodes * PER_EPISODE // (size.way * size.queries))) for size in sizes
    }
    tick = count("confidence", sum(tasks.values()))
    found = {}
    for size, number in tasks.items():
        drawn, known = with_unknown(data, size, episodes=number, seed=seed)
        logits = package_logits(loaded, h, drawn, tick=tick, workers=workers)
        found[size.way, size.shot] = asked(logits, drawn, known)
    return found


def sizes_of(manifest: Manifest, data: LabelledSet) -> list[TaskSize]:
    """A grid of sizes, every way with every shot: those that leave a class out are measured."""
    fewest, limits = int(data.counts.min()), manifest.limits
    most = min(len(data.classes) - 1, limits.way.max or WAYS[-1], WAYS[-1])
    ways = sorted({way for way in (*WAYS, most) if limits.way.min <= way <= most and way >= 2})
    largest_shot = min(fewest - 1, limits.shot.max or SHOTS[-1])
    shots = [shot for shot in SHOTS if limits.shot.min <= shot <= largest_shot]
    in_all = limits.support.max
    if in_all is not None:  # fewer shots before fewer ways: ways differ more
        shots = [shot for shot in shots if shot * ways[0] <= in_all]
        while ways and shots and ways[-1] * shots[-1] > in_all:
            ways, shots = (ways, shots[:-1]) if len(shots) > 1 else (ways[:-1], shots)
    if not ways or not shots:
        return []
    queries = min(QUERIES, fewest - shots[-1])
    return [TaskSize(way, shot, queries) for way in ways for shot in shots]
