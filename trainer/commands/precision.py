"""What a lower precision costs: the same package in float32, on the same tasks."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from handful.trainer.evaluation import Result, summarise
from handful.trainer.export.compared import IN_FLOAT32
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.training.data import RecordedData
from handful.trainer.workers import Workers

from .evaluate import evaluate_package
from .subjects import Count, Plan


def beside_float32(
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
        summarise(
            result.values,
            result.size,
            task=source.learner.task.name,
            against={**result.others, IN_FLOAT32: other.values},
        )
        for result, other in zip(results, others, strict=True)
    ]
