"""The result of an evaluation: an accuracy, its interval, and what it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import Comparison
from handful.runtime.tools.statistics import compare, mean_of
from handful.trainer.sizes import TaskSize

INNER_STEPS = "inner steps"  # how the comparisons with fewer of them are called


@dataclass(frozen=True, kw_only=True)
class Result:
    """Mean accuracy over episodes; `interval` is the half width of the 95 % confidence interval."""

    size: TaskSize
    episodes: int
    accuracy: float
    interval: float
    transductive: bool = False
    compared: tuple[Comparison, ...] = ()  # yardsticks first, then the inner steps from 0

    @property
    def way(self) -> int:
        """Classes of a task."""
        return self.size.way

    @property
    def shot(self) -> int:
        """Support examples of a class."""
        return self.size.shot

    def as_json(self) -> dict[str, Any]:
        """One flat object, whose fields do not change their names."""
        fields = asdict(self)
        return {**fields.pop("size"), **fields, "compared": [asdict(c) for c in self.compared]}


def summarise(
    accuracies: Array,
    size: TaskSize,
    *,
    transductive: bool = False,
    against: Mapping[str, Array] | None = None,
) -> Result:
    """The result of accuracies [E]; `against` has those of others on the same episodes, by name."""
    mean = mean_of(accuracies)
    return Result(
        size=size,
        episodes=len(accuracies),
        accuracy=mean.value,
        interval=mean.interval,
        transductive=transductive,
        compared=tuple(
            compare(name, accuracies, others) for name, others in (against or {}).items()
        ),
    )


def earlier_steps(after: Array) -> dict[str, Array]:
    """Accuracies after 0 to n inner steps, [E, n + 1], by name: [E] each, without the last."""
    steps = after.shape[1] - 1
    return {f"{step} of {steps} {INNER_STEPS}": after[:, step] for step in range(steps)}
