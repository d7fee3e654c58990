"""`handful photos`: a package for photographs from a frozen backbone, without any data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from handful.runtime.package.manifest import InputSpec, Precision
from handful.trainer.data import DataConfig, embedded
from handful.trainer.data.backbone import Channels, backbone_file, doubts, for_backbone, input_of
from handful.trainer.data.backbones.named import known
from handful.trainer.data.record import PACKAGED
from handful.trainer.data.sources.glyphs import drawn_scenes
from handful.trainer.export.card import UNSTATED
from handful.trainer.export.package import check_place, export
from handful.trainer.export.source import Source
from handful.trainer.learners.means import Means, MeansConfig
from handful.trainer.training.checkpoint import storing
from handful.trainer.training.config import MetaConfig, RunConfig, to_dict
from handful.trainer.training.folder import versions

from .compare import Own
from .export import ROOM, licensed

# Chosen on the meta-validation classes of Caltech-101 at 84 pixels, EfficientNet-Lite0, beside
# unit length, centring on batch normalisation's own mean, the classifier's weights as a metric, and
# ridge regression: docs/photos.md
METRIC = MeansConfig(metric="power", support_center=0.5, shot_scale=True)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of `handful photos`."""

    backbone: str  # a name, or an ONNX file
    changes: Sequence[str] = ()  # settings of the data: how a file's pictures are prepared
    name: str | None = None  # None: the folder's
    licence: str | None = None  # None: the backbone's
    precision: Precision = "float32"  # of the backbone in the package
    force: bool = False  # replace a package that is there


def photos_command(folder: Path, request: Request, say: Callable[[str], None]) -> int:
    """Class means of what the backbone gives, in a metric that needs no other classes.

    The package is checked against torch on drawn pictures; `say` is told what is doubtful about the
    backbone's embeddings of them. Returns the size of its graphs in bytes.
    """
    check_place(folder, request.name or folder.name, force=request.force)
    config = Own(source="photos", backbone=request.backbone, changes=request.changes).config()
    named = known(config.backbone)
    licence = licensed(request.licence or (named.licence if named else UNSTATED))
    pictures = for_backbone(drawn_scenes(input_of(config).size), config)
    features = embedded(pictures, config)
    for doubt in doubts(features, pictures, config):
        say(f"note: {doubt}")
    learner = Means(METRIC, InputSpec(kind="array", shape=features.input.shape), 5)
    source = Source(
        learner=learner,
        params=learner.init(torch.Generator().manual_seed(0)),
        test=pictures,
        training=_training(config),
        backbone=backbone_file(config),
        channels=Channels.of(config),
        licence=licence,
        precision=request.precision,
        calibration=pictures.as_float(pictures.x),
    )
    with storing(folder, ROOM):
        manifest = export(source, folder, name=request.name, force=request.force, say=say)
    return sum(graph.bytes for graph in manifest.graphs.values())


def _training(data: DataConfig) -> dict[str, Any]:
    """What the manifest says: nothing was trained here, and no class was seen."""
    config = RunConfig(learner=Means.name, settings=METRIC, data=data, meta=MetaConfig(steps=0))
    return {"config": to_dict(config), "versions": versions(), PACKAGED: {}}
