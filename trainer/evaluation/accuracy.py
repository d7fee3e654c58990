"""A learner measured over many episodes, in torch: its accuracy, its error, or its return.

A result is a mean with its interval, beside what it has to beat on the same episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Protocol, overload

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.package.manifest import MEASURES, Comparison, TaskName, measured_one
from handful.runtime.tools.evaluate import compare, mean_of
from handful.trainer.data.environments import Environment, LearnerPlayer, Player
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import Episode, EpisodeSource, TaskSize
from handful.trainer.form.learner import Learner, adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.form.steps import after_each_step
from handful.trainer.settings.errors import ConfigError
from handful.trainer.workers import Workers, episode_blocks

from .confidence import Sure
from .returns import ROUNDS, beside, environment_of, measure_returns
from .yardsticks import Features

EVERY = 10  # steps, of which each is reported
NOTHING = "no examples"  # how the comparison with the learner before any example is called
INNER_STEPS = "inner steps"  # how the comparisons with fewer of them are called


class Yardsticks(Protocol):
    """What a learner has to beat on the tasks of a source."""

    def measure(self, size: TaskSize, *, episodes: int, seed: int) -> dict[str, Array]:
        """The measure of each rule on each task of this seed, [E], by the rule's name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Result:
    """A mean over episodes; `interval` is the half width of its 95 % confidence interval.

    It is an accuracy, in regression a mean squared error, of a policy a mean return; the others
    are None.
    """

    size: TaskSize
    episodes: int
    persons: int | None = None  # whose means the values are, and over whom the interval is
    accuracy: float | None = None
    mean_squared_error: float | None = None
    mean_return: float | None = None
    interval: float
    transductive: bool = False
    compared: tuple[Comparison, ...] = ()  # yardsticks first, then the inner steps from 0
    sure: Sure | None = None  # of a package with confidence, where that was asked for
    values: Array = field(repr=False, compare=False)  # of each episode, [E], or of each person
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
    def given(self) -> int | None:
        """Of how many classes there were examples; None: of all."""
        return self.size.given

    @property
    def value(self) -> float:
        """The one of the three that was measured."""
        return measured_one(self.accuracy, self.mean_squared_error, self.mean_return)

    @property
    def score(self) -> float:
        """The same with its sign, so that more is better."""
        return self.value if self.mean_squared_error is None else -self.value

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
    persons: Array | None = None,
) -> Result:
    """The result of accuracies or errors [E]; `against` has those of others on the same episodes.

    A comparison's difference is the advantage over the other, of accuracy or of error. `persons`
    [E] says whose each episode is: then all are means over each person's, and the intervals are
    over persons, since episodes of one are alike.
    """
    others, episodes = against or {}, len(values)
    if persons is not None:
        values = mean_by_person(values, persons)
        others = {name: mean_by_person(other, persons) for name, other in others.items()}
    mean = mean_of(values)
    widest = 1.0 if task == "classification" else np.inf  # of two episodes
    measured: dict[str, float] = {MEASURES[task]: mean.value}
    return Result(
        **measured,  # type: ignore[arg-type]
        size=size,
        episodes=episodes,
        persons=None if persons is None else len(values),
        interval=min(mean.interval, widest),
        transductive=transductive,
        compared=tuple(compare(name, values, other, task=task) for name, other in others.items()),
        values=values,
        others=others,
    )


def count_as(result: Result, other: Result) -> Result:
    """A result of values that were averaged as the other's: over its episodes and its persons."""
    return replace(result, episodes=other.episodes, persons=other.persons)


def mean_by_person(values: Array, persons: Array) -> Array:
    """The mean of each person's values: [P] of values [E] and their persons [E]."""
    _, number, count = np.unique(persons, return_inverse=True, return_counts=True)
    means: Array = np.bincount(number, np.asarray(values, np.float64)) / count
    return means


def without_examples(size: TaskSize) -> TaskSize:
    """The same tasks of named classes, the same queries, without a support set."""
    return replace(size, shot=0)


def earlier_steps(after: Array) -> dict[str, Array]:
    """Measures after 0 to n inner steps, [E, n + 1], by name: [E] each, without the last.

    Of more than ten steps these are 0, 1, 2, 5, 10, 20, 50, …
    """
    steps = after.shape[1] - 1
    rounds = [0, *(m * 10**k for k in range(len(str(steps))) for m in (1, 2, 5))]
    shown = range(steps) if steps <= EVERY else [step for step in rounds if step < steps]
    return {f"{step} of {steps} {INNER_STEPS}": after[:, step] for step in shown}


def evaluate(
    learner: Learner,
    params: Tensors,
    data: EpisodeSource,
    size: TaskSize,
    *,
    episodes: int,
    seed: int,
    yardsticks: Yardsticks | None = None,
    inner_steps: bool = True,
    tick: Callable[[], None] = lambda: None,
    workers: Workers | None = None,
) -> Result:
    """The learner on `episodes` tasks of what `embed_set` gives.

    Every learner and the exported package see the same tasks for the same seed. With `yardsticks`
    the result is compared with them and, unless `inner_steps` is false, with what the learner
    reaches after fewer inner steps.
    """
    check_fits(learner, data, size, where="the set")
    if (environment := environment_of(data)) is not None:
        player = LearnerPlayer(learner, {name: p.cpu() for name, p in params.items()})
        return evaluate_policy(
            player,
            environment,
            size,
            episodes=episodes,
            seed=seed,
            whole=yardsticks is not None,
            tick=tick,
            workers=workers,
        )
    after = measure_tasks(
        learner,
        params,
        data,
        size,
        episodes=episodes,
        seed=seed,
        every_step=inner_steps and yardsticks is not None,
        tick=tick,
        workers=workers,
    )
    against: dict[str, Array] = {}
    if yardsticks is not None:
        against = yardsticks.measure(size, episodes=episodes, seed=seed) | earlier_steps(after)
        if data.named is not None and size.shot:
            before = measure_tasks(
                learner,
                params,
                data,
                without_examples(size),
                episodes=episodes,
                seed=seed,
                every_step=False,
                workers=workers,
            )
            against = {NOTHING: before[:, -1], **against}
    return summarise(
        after[:, -1],
        size,
        task=learner.task.name,
        transductive=learner.transductive,
        against=against,
        persons=data.persons(size, episodes=episodes, seed=seed),
    )


def evaluate_policy(
    player: Player,
    environment: Environment,
    size: TaskSize,
    *,
    episodes: int,
    seed: int,
    whole: bool,
    tick: Callable[[], None] = lambda: None,
    workers: Workers | None = None,
) -> Result:
    """A policy's return after one round of rollouts; the `whole` is beside other rounds as well.

    And beside what is reached by who knows the world.
    """
    after = measure_returns(
        player,
        environment,
        size,
        episodes=episodes,
        seed=seed,
        rounds=ROUNDS if whole else 1,
        tick=tick,
        workers=workers,
    )
    against = beside(after, environment, size, seed=seed) if whole else {}
    return summarise(after[:, 1], size, task="policy", against=against)


def measure_tasks(
    learner: Learner,
    params: Tensors,
    data: EpisodeSource,
    size: TaskSize,
    *,
    episodes: int,
    seed: int,
    every_step: bool,
    tick: Callable[[], None] = lambda: None,
    workers: Workers | None = None,
) -> Array:
    """The learner's measure on each task: [E, 1], or after 0 to n inner steps [E, n + 1].

    This process draws the tasks; `workers` share them.
    """
    workers = workers or Workers()
    shares = draw_shares(data, size, episodes=episodes, seed=seed, workers=workers)
    measure = partial(_on_tasks, learner, params, every_step)
    return np.concatenate(workers.map(measure, shares, partial(tick_each, tick)))


def draw_shares(
    data: EpisodeSource, size: TaskSize, *, episodes: int, seed: int, workers: Workers
) -> Iterator[list[Episode]]:
    """The tasks of this seed, some at a time as `workers` share them; the same however many."""
    generator = torch.Generator().manual_seed(seed)
    for block in episode_blocks(workers, episodes):
        batches = (
            data.episodes(size, tasks=1, generator=generator)
            for _ in range(block.stop - block.start)
        )
        yield [Episode(*(t[0] for t in batch)) for batch in batches]


def tick_each(tick: Callable[[], None], measures: Array) -> None:
    """A tick for each of the tasks that were measured together."""
    for _ in measures:
        tick()


def _on_tasks(
    learner: Learner, params: Tensors, every_step: bool, tasks: Sequence[Episode]
) -> Array:
    steps = by_step if every_step else in_the_end
    return np.array([steps(learner, params, episode) for episode in tasks])


def check_fits(
    learner: Learner, data: EpisodeSource, size: TaskSize, *, where: str, prefix: str = ""
) -> None:
    """Refuse tasks that the data cannot fill, or that are too large for the learner.

    `prefix` is what the names of the settings begin with: `meta.`, `meta.validation_`, `--`.
    """
    data.check(size, where=where, prefix=prefix)
    if learner.max_support is not None and size.examples > learner.max_support:
        raise ConfigError(
            f"{learner.name} takes at most {learner.max_support} examples in all,"
            f" a task of {size.examples} was asked for",
            hint=f"lower {prefix}way or {prefix}shot",
        )
    if learner.max_way is not None and size.way > learner.max_way:
        raise ConfigError(
            f"{learner.name} has a head of {learner.max_way} classes,"
            f" a task of {size.way} was asked for",
            hint=f"lower {prefix}way, or train with a larger meta.way"
            ' or with learner.head = "shared"',
        )


@torch.no_grad()
def in_the_end(learner: Learner, params: Tensors, episode: Episode) -> list[float]:
    """The measure on the episode's queries after all inner steps, alone in a list."""
    support, query = _read(learner, params, episode)
    state = adapt(learner, params, support)
    return [_measure(learner, learner.predict(params, state, query), episode)]


@torch.no_grad()
def by_step(learner: Learner, params: Tensors, episode: Episode) -> list[float]:
    """The measure after 0, 1, … n inner steps."""
    support, query = _read(learner, params, episode)
    return [
        _measure(learner, learner.predict(params, state, query), episode)
        for state in after_each_step(learner, params, support)
    ]


def _read(learner: Learner, params: Tensors, episode: Episode) -> tuple[Support, Tensor]:
    """The embedded task; a transductive learner embeds it here, as one batch."""
    if learner.transductive:
        return learner.embed_task(params, episode)[:2]
    return Support(episode.support_x, episode.support_y), episode.query_x


def _measure(learner: Learner, answers: Tensor, episode: Episode) -> float:
    return float(learner.task.compute_measure(answers.double(), episode.query_y.double()))


@overload
def embed_set(
    learner: Learner, params: Tensors, data: LabelledSet, workers: Workers | None = None
) -> LabelledSet: ...
@overload
def embed_set(
    learner: Learner, params: Tensors, data: EpisodeSource, workers: Workers | None = None
) -> EpisodeSource: ...
def embed_set(
    learner: Learner, params: Tensors, data: EpisodeSource, workers: Workers | None = None
) -> EpisodeSource:
    """The source of embedded examples, each embedded once where they are counted.

    A transductive learner embeds no example by itself: each task goes through it as one batch.
    """
    if learner.embedding is None or learner.transductive:
        return data
    embed = partial(_without_gradient, learner.embed, params)
    if isinstance(data, LabelledSet):
        return data.with_features(data.map_batches(embed, apply=(workers or Workers()).map))
    return data.embed_with(embed)


def features_of(
    learner: Learner,
    params: Tensors,
    data: LabelledSet,
    sample: Tensor,
    workers: Workers | None = None,
) -> Features:
    """The features of `data` that the yardsticks are computed on, not yet centred by the learner.

    `sample` [R, ...] are some meta-training examples as the learner sees them.
    """
    features = partial(
        _without_gradient, partial(learner.yardstick_features, sample=sample), params
    )
    x = data.map_batches(features, apply=(workers or Workers()).map)
    return Features(data, x, features(sample).mean(dim=0), "the features")


@torch.no_grad()
def _without_gradient(
    function: Callable[[Tensors, Tensor], Tensor], params: Tensors, x: Tensor
) -> Tensor:
    return function(params, x)
