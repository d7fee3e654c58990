"""The result of an evaluation: a mean, its interval, and what it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import Comparison, either
from handful.runtime.tools.statistics import compare, mean_of
from handful.trainer.learners.task import TaskName
from handful.trainer.sizes import TaskSize

from .promises import Sure

EVERY = 10  # steps, of which each is reported
INNER_STEPS = "inner steps"  # how the comparisons with fewer of them are called


class Yardsticks(Protocol):
    """What a learner has to beat on the tasks of a source."""

    def measured(self, size: TaskSize, *, episodes: int, seed: int) -> dict[str, Array]:
        """The measure of each rule on each task of this seed, [E], by the rule's name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Result:
    """A mean over episodes; `interval` is the half width of its 95 % confidence interval.

    It is an accuracy, or in regression a mean squared error; the other one is None.
    """

    size: TaskSize
    episodes: int
    accuracy: float | None
    mean_squared_error: float | None = None
    interval: float
    transductive: bool = False
    compared: tuple[Comparison, ...] = ()  # yardsticks first, then the inner steps from 0
    sure: Sure | None = None  # of a package that says how sure it is, where that was asked for
    values: Array = field(repr=False, compare=False)  # of each episode, [E]
    # those of each that it is compared with, [E], by name
    others: Mapping[str, Array] = field(repr=False, compare=False)

    @property
    def way(self) -> int:
        """Classes of a task."""
        return self.size.way

    @property
    def shot(self) -> int:
        """Support examples of a class."""
        return self.size.shot

    @property
    def value(self) -> float:
        """The accuracy, or the error where there is none."""
        return either(self.accuracy, self.mean_squared_error)

    @property
    def score(self) -> float:
        """The same with its sign, so that more is better."""
        return -self.value if self.accuracy is None else self.value

    def as_json(self) -> dict[str, Any]:
        """One flat object, whose fields do not change their names."""
        fields = asdict(self)
        del fields["values"], fields["others"]
        return {**fields.pop("size"), **fields, "compared": [asdict(c) for c in self.compared]}


def summarise(
    values: Array,
    size: TaskSize,
    *,
    task: TaskName = "classification",
    transductive: bool = False,
    against: Mapping[str, Array] | None = None,
) -> Result:
    """The result of accuracies or errors [E]; `against` has those of others on the same episodes.

    A comparison's difference is the advantage over the other, of accuracy or of error.
    """
    mean, others = mean_of(values), against or {}
    regression = task == "regression"
    return Result(
        size=size,
        episodes=len(values),
        accuracy=None if regression else mean.value,
        mean_squared_error=mean.value if regression else None,
        interval=mean.interval,
        transductive=transductive,
        compared=tuple(
            compare(name, values, other, error=regression) for name, other in others.items()
        ),
        values=values,
        others=others,
    )


def earlier_steps(after: Array) -> dict[str, Array]:
    """Measures after 0 to n inner steps, [E, n + 1], by name: [E] each, without the last.

    Of more than ten steps these are 0, 1, 2, 5, 10, 20, 50, …
    """
    steps = after.shape[1] - 1
    rounds = [0, *(m * 10**k for k in range(len(str(steps))) for m in (1, 2, 5))]
    shown = range(steps) if steps <= EVERY else [step for step in rounds if step < steps]
    return {f"{step} of {steps} {INNER_STEPS}": after[:, step] for step in shown}
