"""`handful photos`: a package for photographs from a frozen backbone, without any data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from handful.runtime.package.manifest import Confidence, Fit, InputSpec, Manifest, Precision
from handful.trainer.data import DataConfig, LabelledSet, embed, load_pictures
from handful.trainer.data.backbone import (
    Channels,
    backbone_file,
    doubts,
    input_of,
    prepare_pictures,
)
from handful.trainer.data.backbones.layers import with_places
from handful.trainer.data.backbones.named import find_known
from handful.trainer.data.record import PACKAGED
from handful.trainer.data.sources.glyphs import draw_scenes
from handful.trainer.evaluation.confidence import measure_confidence
from handful.trainer.evaluation.packages import MeasuredPackage
from handful.trainer.export.card import UNSTATED
from handful.trainer.export.package import check_place, export, with_evaluation
from handful.trainer.export.source import Source
from handful.trainer.form.learner import Learner
from handful.trainer.learners.places import Places, PlacesConfig
from handful.trainer.learners.ridge import Ridge, RidgeConfig
from handful.trainer.settings.errors import DataError
from handful.trainer.training.checkpoint import storing
from handful.trainer.training.config import MetaConfig, RunConfig, to_dict
from handful.trainer.training.folder import versions

from .compare import Own
from .evaluate import evaluators
from .export import ROOM, answers_at, check_licence, sizes_of
from .subjects import Count, Plan

# Class means and ridge regression in one: never below either beyond the interval, at home and under
# six shifts, of MobileNetV1 and EfficientNet-Lite0: docs/photos.md
HEAD = RidgeConfig(metric="power", centre_support=True, class_means=0.5)

WAY = 5  # of the tasks that the package is checked on; it takes any number of classes
EPISODES = 1000  # to measure by, at each size
FEWEST_CLASSES, FEWEST_EXAMPLES = 3, 2  # one class is left out of a task, one picture to ask of


Features = Literal["places", "mean"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of `handful photos`."""

    backbone: str  # a name, or an ONNX file
    changes: Sequence[str] = ()  # settings of the data: how a file's pictures are prepared
    name: str | None = None  # None: the folder's
    licence: str | None = None  # None: the backbone's
    precision: Precision = "float32"  # of the backbone in the package
    features: Features | None = None  # what is compared; None: places where the backbone has maps
    fit: Fit | None = None  # the whole picture, or its middle; None: as the settings say
    others: Path | None = None  # a folder of classes by which thresholds are measured
    force: bool = False  # replace a package that is there


def photos_command(
    folder: Path,
    request: Request,
    say: Callable[[str], None],
    count: Count = lambda what, most: lambda: None,
) -> int:
    """Closed forms on what the backbone gives, without any other classes.

    The package is checked against torch on drawn pictures; `say` is told what is doubtful about the
    backbone's embeddings of them. Its confidence is measured on tasks of the classes in `others`,
    where they are given. Returns the size of its graphs in bytes.
    """
    check_place(folder, request.name or folder.name, force=request.force)
    changes = (*request.changes, *([f"data.fit={request.fit}"] if request.fit else []))
    config = Own(source="photos", backbone=request.backbone, changes=changes).config()
    classes = None if request.others is None else _classes(request.others, config)
    named = find_known(config.backbone)
    licence = check_licence(request.licence or (named.licence if named else UNSTATED))
    pictures = prepare_pictures(draw_scenes(input_of(config).size), config)
    features = embed(pictures, config)
    for doubt in doubts(features, pictures, config):
        say(f"note: {doubt}")
    with TemporaryDirectory() as temporary, storing(folder, ROOM):
        learner, backbone = _head(config, request.features, features, Path(temporary), say)
        source = Source(
            learner=learner,
            params=learner.init(torch.Generator().manual_seed(0)),
            test=pictures,
            training=_training(config, learner),
            backbone=backbone,
            channels=Channels.of(config),
            licence=licence,
            precision=request.precision,
            calibration=pictures.as_float(pictures.x),
        )
        manifest = export(source, folder, name=request.name, force=request.force, say=say)
    if classes is not None:
        measured = _measure_confidence(folder, manifest, classes, count)
        with storing(folder, ROOM):
            manifest = with_evaluation(folder, manifest, [], measured)
    return sum(graph.bytes for graph in manifest.graphs.values())


def _head(
    config: DataConfig,
    wanted: Features | None,
    features: LabelledSet,
    folder: Path,
    say: Callable[[str], None],
) -> tuple[Learner, Path]:
    """The learner, and the graph that gives what it reads, where it has to be made in `folder`."""
    path = backbone_file(config)
    if wanted != "mean":
        try:
            model, parts = with_places(path)
        except DataError as error:
            if wanted is not None:
                raise
            say(f"note: {error}: the package compares pooled features alone")
        else:
            file = folder / path.name
            file.write_bytes(model.SerializeToString())
            spec = InputSpec(kind="array", shape=(sum(parts),))
            return Places(PlacesConfig(parts=parts), spec, WAY), file
    return Ridge(HEAD, InputSpec(kind="array", shape=features.input.shape), WAY), path


def _classes(folder: Path, config: DataConfig) -> LabelledSet:
    """All classes in a folder, three or more, prepared for the backbone."""
    config = replace(config, source=str(folder))
    data = prepare_pictures(load_pictures(config, "all"), config)
    if len(data.classes) < FEWEST_CLASSES or int(data.counts.min()) < FEWEST_EXAMPLES:
        raise DataError(
            f"{folder} has {len(data.classes)} classes, the smallest of {int(data.counts.min())},"
            f" thresholds are measured on {FEWEST_CLASSES} classes of {FEWEST_EXAMPLES}",
            hint="a sub-folder a class; `handful adapt --others` takes pictures without classes",
        )
    return data


def _measure_confidence(
    folder: Path, manifest: Manifest, data: LabelledSet, count: Count
) -> tuple[Confidence, ...]:
    """Temperature, thresholds and sets on tasks of these classes, as `handful export` has them."""
    with evaluators(None, Plan(episodes=EPISODES)) as pool:
        found = answers_at(
            MeasuredPackage.load_for(folder, data.input),
            data,
            sizes_of(manifest, data),
            episodes=EPISODES,
            seed=0,
            workers=pool,
            count=count,
        )
    return measure_confidence(found, len(data.classes))


def _training(data: DataConfig, learner: Learner) -> dict[str, Any]:
    """What the manifest says: nothing was trained here, and no class was seen."""
    config = RunConfig(
        learner=learner.name, settings=learner.config, data=data, meta=MetaConfig(steps=0)
    )
    return {"config": to_dict(config), "versions": versions(), PACKAGED: {}}
