"""`handful export`: a run to a package, measured through the runtime.

Measured are its accuracy, what a lower precision costs beside the same package in float32 on the
same tasks, and its confidence, on the meta-validation classes of the run.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import (
    Confidence,
    Evaluation,
    Limits,
    Manifest,
    Precision,
    Seen,
)
from handful.trainer.data import LabelledSet, embed
from handful.trainer.data.backbone import Channels, backbone_file
from handful.trainer.data.config import DRAWN
from handful.trainer.data.record import PACKAGED, list_classes
from handful.trainer.data.sources.sounds import front_of
from handful.trainer.data.splits import Part
from handful.trainer.episodes import TaskSize, as_episodes, rows_of
from handful.trainer.evaluation import Result, summarise
from handful.trainer.evaluation.accuracy import count_as
from handful.trainer.evaluation.confidence import (
    AskedLogits,
    ask,
    measure_confidence,
    with_unknown,
    without_own,
)
from handful.trainer.evaluation.packages import MeasuredPackage, embed_shared, package_logits
from handful.trainer.export.card import ENERGIES, IN_FLOAT32, UNSTATED
from handful.trainer.export.package import build, export, in_place, with_evaluation
from handful.trainer.export.parity import make_sounds
from handful.trainer.export.source import LEAST, Source
from handful.trainer.settings.errors import ExportError
from handful.trainer.training.checkpoint import storing
from handful.trainer.training.config import RunConfig
from handful.trainer.training.data import RecordedData
from handful.trainer.training.folder import Trained, load_run, read_config, steps_left, trust
from handful.trainer.training.recipes import credit_of, named_recipe, read_recipe
from handful.trainer.workers import Workers

from .evaluate import evaluate_package, evaluators
from .subjects import Count, Plan, beside_everybody, run_features

CONFIDENCE_WAYS, CONFIDENCE_SHOTS, CONFIDENCE_QUERIES = (2, 5, 10, 20), (1, 2, 5, 10), 5
CONFIDENCE_OF_NAMED = (0, 1, 2, 5)  # examples of each named class
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

    None where it has no classes, or where no task leaves a class that is unknown to it.
    """
    manifest = read_manifest(folder)
    if manifest.task != "classification":
        return ()
    data = recorded.pictures("meta_val", package=manifest.input)
    if data.named is not None:
        return named_confidence(
            MeasuredPackage.load_for(folder, data.input),
            data,
            episodes=episodes,
            seed=seed,
            workers=workers,
            count=count,
        )
    sizes = sizes_of(manifest, data)
    if not sizes:
        return ()
    found = answers_at(
        MeasuredPackage.load_for(folder, data.input),
        data,
        sizes,
        episodes=episodes,
        seed=seed,
        workers=workers,
        count=count,
    )
    return measure_confidence(found, len(data.classes))


def answers_at(
    loaded: MeasuredPackage,
    data: LabelledSet,
    sizes: list[TaskSize],
    *,
    episodes: int,
    seed: int,
    workers: Workers,
    count: Count,
) -> dict[tuple[int, int], AskedLogits]:
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
        found[size.way, size.shot] = ask(logits, drawn, known)
    return found


def named_confidence(
    loaded: MeasuredPackage,
    data: LabelledSet,
    *,
    episodes: int,
    seed: int,
    workers: Workers,
    count: Count,
) -> tuple[Confidence, ...]:
    """Of named classes: an entry for each number of examples, none among them.

    There are no other classes to ask about. A query stands for one of none of the classes where the
    answer for its own class is left out: what the others then say of it is what they say of
    something that none of them is. Of two classes one would be left, and nothing is measured.
    """
    way = len(data.classes)
    if way < 3:
        return ()
    h = embed_shared(loaded, data.x.numpy(), workers)
    tick = count("confidence", episodes * len(CONFIDENCE_OF_NAMED))
    found = {}
    for shot in CONFIDENCE_OF_NAMED:
        size = TaskSize(way, shot, CONFIDENCE_QUERIES)
        drawn = as_episodes(rows_of(data, size, episodes=episodes, seed=seed))
        logits = package_logits(loaded, h, drawn, tick=tick, workers=workers)
        found[way, shot] = without_own(logits, drawn.query_y)
    return measure_confidence(found, way)


def sizes_of(manifest: Manifest, data: LabelledSet) -> list[TaskSize]:
    """A grid of sizes, every way with every shot: those that leave a class out are measured."""
    fewest, limits = int(data.counts.min()), manifest.limits
    most = min(len(data.classes) - 1, limits.way.max or CONFIDENCE_WAYS[-1], CONFIDENCE_WAYS[-1])
    ways = sorted(
        {way for way in (*CONFIDENCE_WAYS, most) if limits.way.min <= way <= most and way >= 2}
    )
    largest_shot = min(fewest - 1, limits.shot.max or CONFIDENCE_SHOTS[-1])
    shots = [shot for shot in CONFIDENCE_SHOTS if limits.shot.min <= shot <= largest_shot]
    in_all = limits.support.max
    if in_all is not None:  # fewer shots before fewer ways: ways differ more
        shots = [shot for shot in shots if shot * ways[0] <= in_all]
        while ways and shots and ways[-1] * shots[-1] > in_all:
            ways, shots = (ways, shots[:-1]) if len(shots) > 1 else (ways[:-1], shots)
    if not ways or not shots:
        return []
    queries = min(CONFIDENCE_QUERIES, fewest - shots[-1])
    return [TaskSize(way, shot, queries) for way in ways for shot in shots]


def compare_float32(
    source: Source,
    plan: Plan,
    pool: Workers,
    results: Sequence[Result],
    recorded: RecordedData,
    count: Count,
) -> list[Result]:
    """The results, each compared with that of the package in float32 as well."""
    with tempfile.TemporaryDirectory() as folder:
        twin = Path(folder) / "float32"
        export(replace(source, precision="float32"), twin)
        alone = replace(plan, yardsticks=False, inner_steps=False)
        others = evaluate_package(twin, alone, pool, count=count, recorded=recorded)
    return [
        count_as(
            summarise(
                result.values,
                result.size,
                task=source.learner.task.name,
                against={**result.others, IN_FLOAT32: other.values},
            ),
            result,
        )
        for result, other in zip(results, others, strict=True)
    ]


WAYS, SHOTS = (5, 20), (1, 5)  # at which an exported package is measured
NAMED_SHOTS, NAMED_QUERIES = (1, 2, 5), 10  # of named classes; and the most shots of half of them
READINGS, QUERIES = (5, 10, 20), 100  # of a function, at which a regression is measured
ROLLOUTS = (5, 20)  # at which a policy is measured
CALIBRATED, CALIBRATED_CLASSES = 200, 40  # examples, and classes, that set the ranges of 8 bits
CHECKED = 24  # classes that a package is checked on: parity wants 20, drawn from these
ROOM = "make room, or export to another folder"
NAMED = r"\(*[A-Za-z0-9.+:-]+\)*"
# an SPDX expression; whether its names are on SPDX's list is not checked
LICENCE = re.compile(rf"{NAMED}( (AND|OR|WITH) {NAMED})*")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of `handful export`."""

    name: str | None = None  # None: the folder's
    force: bool = False  # replace a package that is there
    episodes: int = 1000  # to measure by; 0: not at all
    yardsticks: bool = True  # measure what the accuracy has to beat as well
    licence: str | None = None  # None: the run's own
    unfinished: bool = False  # export a run that has not taken all its steps
    data: str | None = None  # where the data are now
    workers: int | None = None  # processes that measure; None: one a core
    trust: bool = False  # import the module that the run names
    precision: Precision = "float32"  # of the graph `embed`


def export_command(
    run: Path,
    folder: Path,
    request: Request,
    count: Count,
    say: Callable[[str], object] | None = None,
) -> Manifest:
    """Export a run's best parameters, then measure the package through the runtime.

    It is compared with the yardsticks, which read the run's features in torch on the same tasks,
    and in a lower precision with the same package in float32. The folder appears when all is done.
    """
    if request.trust:
        trust(run)
    config = read_config(run)
    remaining = _check_finished(run, config, allowed=request.unfinished)
    licence = check_licence(request.licence or config.licence or UNSTATED)
    recorded = RecordedData.of_run(run, request.data)
    functions = recorded.functions
    checked, examples = (functions, functions) if functions else _examples(recorded)
    trained = load_run(run, examples)
    front, made = None, False
    if recorded.config.rate is not None:
        front = front_of(recorded.config)
        made = checked.input.kind != "audio"  # the data are energies already
        if made:
            checked = make_sounds(front.rate, front.samples, checked.named)
    source = Source(
        learner=trained.learner,
        params=trained.params,
        test=checked,
        training=_training(trained, recorded, remaining),
        backbone=backbone_file(recorded.config) if recorded.config.backbone else None,
        channels=Channels.of(recorded.config),
        front=front,
        licence=licence,
        seen=_measure_seen(trained, recorded),
        precision=request.precision,
        calibration=_calibration(recorded) if request.precision == "int8" else None,
    )
    name = request.name or folder.name
    with ExitStack() as entered:
        with storing(folder, ROOM):
            place = entered.enter_context(in_place(folder, name, force=request.force))
            manifest = build(source, place, name=name, say=say)
        if request.episodes:
            measured, confidence = _measure(
                place, run, trained, source, recorded, request, count, say
            )
            if made:
                measured = [replace(one, data=one.data + ENERGIES) for one in measured]
            with storing(folder, ROOM):
                manifest = with_evaluation(place, manifest, measured, confidence)
        with storing(folder, ROOM):
            entered.close()
    return manifest


def _measure(
    place: Path,
    run: Path,
    trained: Trained,
    source: Source,
    recorded: RecordedData,
    request: Request,
    count: Count,
    say: Callable[[str], object] | None,
) -> tuple[list[Evaluation], tuple[Confidence, ...]]:
    """The accuracies of the package in `place`, and its confidence, through the runtime."""
    config, functions = trained.config, recorded.functions
    plan = _plan(read_manifest(place), recorded, request)
    if say is not None:
        say(f"agrees with torch; measuring it on {request.episodes} tasks of each size")
    features = None
    with evaluators(request.workers, plan) as pool:
        if request.yardsticks and not functions:
            test, meta_train = (recorded.load(name) for name in ("meta_test", "meta_train"))
            own = run_features(trained, test, meta_train, pool)
            features = beside_everybody(run, own, meta_train, recorded)
        results = evaluate_package(
            place, plan, pool, features=features, count=count, recorded=recorded
        )
        if request.precision != "float32":
            results = compare_float32(source, plan, pool, results, recorded, count)
        confidence = package_confidence(
            place, recorded, episodes=request.episodes, workers=pool, count=count
        )
    made_here = functions or config.data.source in DRAWN
    split = "made here" if made_here else config.data.split
    measured = [
        Evaluation(
            data=f"{Path(config.data.source).name} ({Path(split).name})",
            split="meta_test",
            way=result.way,
            shot=result.shot,
            given=result.size.given,
            episodes=result.episodes,
            persons=result.persons,
            accuracy=result.accuracy,
            mean_squared_error=result.mean_squared_error,
            mean_return=result.mean_return,
            interval=result.interval,
            compared=result.compared,
        )
        for result in results
    ]
    return measured, confidence


def _calibration(recorded: RecordedData) -> Tensor:
    """Meta-training examples [M, …] as the backbone or the learner's own `embed` reads them.

    They come from classes at even distances, since reading pictures takes its time.
    """
    classes = list(recorded.find_part("meta_train").classes)
    some = classes[:: -(-len(classes) // CALIBRATED_CLASSES)]
    if recorded.config.backbone:
        data = recorded.pictures("meta_train", only=some)
    else:
        data = recorded.load("meta_train")
    return data.take_some(CALIBRATED, seed=0)[0]


def _measure_seen(trained: Trained, recorded: RecordedData) -> Seen | None:
    """What the examples were like, where an example's level says anything.

    Of sounds it does not: people speak softly, and microphones differ. Nor does it where the
    network centres and scales each example.
    """
    network = trained.learner.pretrained_network()
    if recorded.config.rate is not None or (network is not None and network.levels_free):
        return None
    return recorded.record.seen if recorded.record else None


def _check_finished(run: Path, config: RunConfig, *, allowed: bool) -> int:
    """The steps that the run has still to take; refused, unless they are known to be left out."""
    remaining = steps_left(run)
    if remaining and not allowed:
        raise ExportError(
            f"{run} has not finished: {remaining} of {config.meta.steps} steps are left",
            hint=f"go on with it: handful train --resume --out {run}; or export its best"
            " parameters so far with --unfinished",
        )
    return remaining


def check_licence(text: str) -> str:
    """The licence, as SPDX writes it, or an error."""
    if len(text) > 200 or not LICENCE.fullmatch(text):
        raise ExportError(
            f"{text!r} is not a licence as SPDX writes it",
            hint="as CC-BY-4.0, MIT OR Apache-2.0, or LicenseRef- and a name of your own",
        )
    return text


def _examples(recorded: RecordedData) -> tuple[LabelledSet, LabelledSet]:
    """Meta-test examples to check the package on: as a device meets them, and as the run does."""
    pictures = recorded.pictures("meta_test", only=_choose_checked(recorded))
    return pictures, embed(pictures, recorded.config)


def _choose_checked(recorded: RecordedData) -> list[str]:
    """The first classes that have enough examples to check a package on; all if too few have."""
    part = recorded.find_part("meta_test")
    enough = [name for name, facts in part.classes.items() if facts.examples >= LEAST]
    return enough[:CHECKED] if len(enough) > 1 else list(part.classes)


def _training(trained: Trained, recorded: RecordedData, remaining: int) -> dict[str, Any]:
    """What the manifest says of the training."""
    facts = {**trained.facts, **named_recipe(trained.config)}
    facts["config"] = {k: v for k, v in facts["config"].items() if k != "credit"}  # it is below
    if "recipe" in facts:  # its files by its own names, wherever they lay
        own = read_recipe(facts["recipe"], ()).data
        there = {"source": own.source, "split": own.split}
        facts["config"]["data"] = {**facts["config"]["data"], **there}
    if (credit := credit_of(trained.config)) is not None:
        facts["credit"] = {k: v for k, v in asdict(credit).items() if v is not None}
    data = recorded.config
    if remaining:
        facts |= {"finished": False, "steps_left": remaining}
    if recorded.functions:
        return facts
    fixed_classes = data.source in DRAWN or data.split in ("vinyals", "lake")
    parts: tuple[Part, ...] = ("meta_test",) if fixed_classes else ("meta_train", "meta_test")
    facts[PACKAGED] = {part: list_classes(recorded.find_part(part).classes) for part in parts}
    return facts


def _plan(manifest: Manifest, recorded: RecordedData, request: Request) -> Plan:
    """Those of the usual sizes that the package and the data allow."""
    if recorded.functions:
        return Plan(
            shots=ROLLOUTS if recorded.functions.actions else READINGS,
            queries=QUERIES,
            episodes=request.episodes,
            yardsticks=request.yardsticks,
        )
    if manifest.classes is not None:
        return Plan(
            shots=NAMED_SHOTS,
            queries=NAMED_QUERIES,
            episodes=request.episodes,
            yardsticks=request.yardsticks,
        )
    part, data = recorded.find_part("meta_test"), recorded.config
    fewest = min(facts.examples for facts in part.classes.values())
    turns = 4 if data.source in ("omniglot", "glyphs") and data.rotations else 1
    most = manifest.limits.support.max
    shots = [s for s in SHOTS if s < fewest and (most is None or 2 * s <= most)] or [1]
    return Plan(
        ways=_ways(manifest.limits, turns * len(part.classes), max(shots)),
        shots=shots,
        queries=max(1, min(15, fewest - max(shots))),
        episodes=request.episodes,
        yardsticks=request.yardsticks,
    )


def _ways(limits: Limits, classes: int, shot: int) -> Sequence[int]:
    """Those of the usual ways that the package and the data allow, or the most that they do."""
    most = min(limits.way.max or classes, classes, (limits.support.max or classes * shot) // shot)
    return [way for way in WAYS if way <= most] or [most]
