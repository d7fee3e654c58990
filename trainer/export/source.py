"""What is exported: a learner at its parameters, and real data to check the package on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handful.runtime.package.manifest import Precision, Seen
from handful.trainer.data.backbone import Channels
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.log_mel import LogMel
from handful.trainer.episodes import EpisodeSource
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Tensors
from handful.trainer.settings.errors import ExportError

from .card import UNSTATED
from .in_front import run_backbone
from .precision import run_embed

LEAST = 4  # examples of a class: three shots of the golden vectors and a query


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is exported: a learner at its parameters, and real data to check it on."""

    learner: Learner
    params: Tensors
    test: EpisodeSource  # as the package sees it: pictures where there is a backbone, sounds
    training: dict[str, Any]  # for the manifest: config, seed, versions
    backbone: Path | None = None
    channels: Channels | None = None  # what the backbone does first, a channel at a time
    front: LogMel | None = None  # what sounds go through first
    licence: str = UNSTATED
    seen: Seen | None = None  # what the meta-training examples were like
    precision: Precision = "float32"  # of the graph `embed`
    calibration: Tensor | None = None  # for int8: what the backbone, or `embed`, reads [M, …]
    lowered: bytes | None = None  # the graph `embed` in a lower precision, once it is made

    def embed(self, x: Tensor) -> Tensor:
        """Raw examples [B, ...] as the stages see them: through what is in front, then `embed`.

        In a lower precision that is what the graph gives: torch has no such arithmetic.
        """
        if self.lowered is not None:
            return torch.from_numpy(run_embed(self.lowered, x))
        if self.front is not None:
            x = self.front(x)
        if self.backbone is not None:
            x = run_backbone(self.backbone, x, self.channels, self.test.input.layout)
        return self.learner.embed(self.params, x)


def choose_checkable(data: EpisodeSource) -> EpisodeSource:
    """The classes with enough examples to check a package on; there must be two."""
    if not isinstance(data, LabelledSet) or data.named is not None:
        return data
    enough = [c for c, count in enumerate(data.counts.tolist()) if count >= LEAST]
    if len(enough) < 2:
        raise ExportError(
            f"{len(enough)} of {len(data.classes)} test classes have {LEAST} examples or more,"
            " wanted 2 to check a package on",
            hint="give the meta_test split more classes, or its classes more examples",
        )
    return data if len(enough) == len(data.classes) else data.take(enough)
