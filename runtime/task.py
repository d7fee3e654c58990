"""A task: a learner adapted to one support set; immutable, shared freely between threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, overload

import numpy as np

from handful.runtime.inputs.examples import (
    AnExample,
    Example,
    Examples,
    HasArray,
    SomeNumbers,
    find_empty,
    to_batch,
)
from handful.runtime.inputs.folders import label_of
from handful.runtime.package.manifest import TaskName

from .arrays import Array, Floats, as_array
from .confidence import Numbers, Sizes, score, softmax, temperature_of
from .engine import Engine, LoadedPackage, Shared, State
from .errors import AdaptError, SupportSetError, quote
from .negatives import Negatives, left_out
from .progress import UNTOLD, Meter, Progress
from .rollout import Rollout
from .support import NAMED, Support, check_limits, embed_unlabelled, gather, join, list_classes
from .task_file import Saved, write
from .unlike import warn_of_empty

ANSWERED = "an answer to that means nothing"  # of a query with nothing in it
ASKED: dict[TaskName, str] = {  # what a task of each kind is asked
    "classification": "predict gives a classification task's labels",
    "regression": "predict gives a regression task's outputs",
    "policy": "act gives a policy's actions, add lets it go on learning",
}


class Act(NamedTuple):
    """What a policy does: float32 [A] each, or [Q, A]."""

    mean: Floats
    deviation: Floats


class Rejection(NamedTuple):
    """When a query is none of the classes: its score is too low, or a negative is more like it.

    The score is the largest logit less `weight` times the mean of the others, and has to be above
    the threshold [N] of the class that is answered. In each state of `beside` the classes after
    the task's own are negatives, and none of their logits may be above the largest of the task's.
    """

    weight: float
    thresholds: Numbers
    beside: tuple[State, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Task(Shared):
    """A learner adapted to a support set: what `Learner.adapt` returns.

    A query is whatever is an example for `Learner.adapt`, alone or in a list, or a stacked array.
    Each is answered by itself: no answer depends on the other queries. Every method raises
    InputError for a query that is not what the package takes, and warns with InputWarning where it
    is unlike what the package was trained on.

    To a type checker an array is one query, and a list is several: give a stack [Q, …] as
    `list(stack)` where its answers are to have a type.
    """

    learner: LoadedPackage
    _support: Support
    _states: tuple[State, ...]  # one, or one a sample
    _seed: int | None = None  # of the samples' noise
    _negatives: Negatives | None = None

    def __repr__(self) -> str:
        """`Task(omniglot-leo: 'bar' 1, 'cross' 1)`: the classes, with how many examples of each."""
        count = len(self._support.x)
        parts = [f"{quote(label)} {shot}" for label, shot in self.counts.items()]
        if len(parts) > NAMED:
            parts[NAMED:] = [f"… {len(parts) - NAMED} more classes, {count} examples in all"]
        if self._kind != "classification":
            parts = [f"{count} {'readings' if self._kind == 'policy' else 'examples'}"]
        if self._samples is not None:
            parts.append(f"{self._samples} samples")
        if self._negatives is not None:
            parts.append(f"{len(self._negatives.x)} negatives")
        return f"Task({self.learner.name}: {', '.join(parts)})"

    def __reduce__(self) -> NoReturn:
        """A saved task is bound to its package and runs no code where it is read; pickles do."""
        raise AdaptError(
            "a task cannot be pickled",
            hint="task.save(path) writes it, learner.load_task(path) reads it in another process",
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in order of first appearance: the columns of `predict_proba`."""
        return self._support.classes

    @property
    def counts(self) -> dict[str, int]:
        """How many examples of each class the task was adapted to; nothing without classes."""
        shots = self._support.y.sum(axis=0)
        return {label: int(shot) for label, shot in zip(self.classes, shots, strict=False)}

    @overload
    def predict(
        self, queries: Example, *, unknown: float | None = None, unknown_label: str | None = None
    ) -> str | None: ...

    @overload
    def predict(
        self,
        queries: list[AnExample] | tuple[AnExample, ...],
        *,
        unknown: float | None = None,
        unknown_label: str | None = None,
    ) -> list[str | None]: ...

    @overload
    def predict(
        self,
        queries: list[SomeNumbers] | tuple[SomeNumbers, ...],
        *,
        unknown: float | None = None,
        unknown_label: str | None = None,
    ) -> Any: ...

    def predict(
        self, queries: Any, *, unknown: float | None = None, unknown_label: str | None = None
    ) -> Any:
        """The label of one query, or a list of labels of several.

        Without `unknown` every query is given one of the task's `classes`. With it a query that is
        like none of them is answered by `unknown_label`, by default None; `unknown` is the share of
        such queries, between 0 and 1, that is still given a label: 0.05 lets one in twenty pass. A
        query with nothing in it (silence, a blank picture) has an EmptyWarning, and no label.

        Of a regression it gives what `outputs` gives.

        Raises AdaptError for `unknown` where the package has no thresholds, at a share that it was
        not measured at, and in a regression; and in a policy, which acts.
        """
        if self._kind != "classification":
            self._of("regression", "predict")
            self._no_unknown(unknown, unknown_label)
            return self._answer(queries, lambda states: states.mean(axis=0))
        query_x, single, found = self._query(queries)
        logits = self._logits(query_x)
        best = self._probabilities(logits).mean(axis=0).argmax(axis=1)
        labels: list[str | None] = [self.classes[i] for i in best]
        if unknown is None and unknown_label is not None:
            self._no_unknown(unknown, unknown_label)
        if unknown is not None:
            accepted = self._accepts(query_x, logits, best, unknown) & ~found
            labels = [
                label if known else unknown_label
                for label, known in zip(labels, accepted, strict=True)
            ]
        return labels[0] if single else labels

    def outputs(self, queries: Examples) -> Floats:
        """The outputs of a regression: float32 [O] of one query, or [Q, O] of several.

        They are in the units of the targets; with samples, their mean. Raises AdaptError where the
        task has classes.
        """
        self._of("regression", "outputs")
        return self._answer(queries, lambda states: states.mean(axis=0))

    @overload
    def act(self, observations: Examples, noise: None = None) -> Act: ...

    @overload
    def act(self, observations: Examples, noise: HasArray | Sequence[Any]) -> Floats: ...

    def act(self, observations: Any, noise: Any = None) -> Act | Floats:
        """What a policy does: the mean of each action and its standard deviation; or an action.

        Both are float32, [A] of one observation or [Q, A] of several. With `noise` of their shape,
        standard normal draws such as `rng.standard_normal(A)`, it is the action mean + deviation ·
        noise. Learning needs noise: an action that is never tried is never found to be good. Raises
        AdaptError where the task is no policy.
        """
        self._of("policy", "act")
        answer = self._answer(observations, lambda states: states.mean(axis=0))
        act = Act(*np.split(answer, 2, axis=-1))
        if noise is None:
            return act
        drawn = as_array(noise, "noise")
        if drawn.shape != act.mean.shape or drawn.dtype.kind != "f":
            raise AdaptError(
                f"noise is {drawn.dtype} {list(drawn.shape)},"
                f" wanted floats of the shape {list(act.mean.shape)}"
            )
        actions: Floats = act.mean + act.deviation * drawn.astype(np.float32)
        return actions

    def predict_proba(self, queries: Examples) -> Floats:
        """Probabilities, float32 [N] of one query or [Q, N] of several, in the order of `classes`.

        They are softmax(logits / temperature), the temperature being the package's for a task of
        this size, or 1 where the package has none; with samples, their mean. A row adds up to 1.
        Raises AdaptError where the task has no classes.
        """
        self._of("classification", "predict_proba")
        return self._answer(queries, lambda states: states.mean(axis=0))

    @overload
    def predict_set(self, queries: Example, *, coverage: float = 0.95) -> tuple[str, ...]: ...

    @overload
    def predict_set(
        self, queries: list[AnExample] | tuple[AnExample, ...], *, coverage: float = 0.95
    ) -> list[tuple[str, ...]]: ...

    @overload
    def predict_set(
        self, queries: list[SomeNumbers] | tuple[SomeNumbers, ...], *, coverage: float = 0.95
    ) -> Any: ...

    def predict_set(self, queries: Any, *, coverage: float = 0.95) -> Any:
        """The labels that hold the right one in a share `coverage` of cases, the likeliest first.

        A tuple of one query, or a list of tuples of several. The right label has to be one of the
        task's: for a query of none of them a set says nothing. Raises AdaptError at a coverage that
        the package was not measured at, and where the task has no classes.
        """
        self._of("classification", "predict_set")
        least = Sizes(self.learner.manifest).probability(coverage, self._shots)
        states, single = self._per_state(queries)
        sets = [self._labels_above(row, least) for row in states.mean(axis=0)]
        return sets[0] if single else sets

    def logits(self, queries: Examples) -> Floats:
        """What the package gave before the temperature: float32 [N] of one query, or [Q, N].

        With samples, the logarithm of the mean of their probabilities at temperature 1. Raises
        AdaptError where the task has no classes.
        """
        self._of("classification", "logits")
        query_x, single, _ = self._query(queries)
        logits = self._logits(query_x)
        answers: Floats = logits[0]
        if self._seed is not None:
            answers = np.log(softmax(logits).mean(axis=0) + np.finfo(np.float32).tiny)
        if not single:
            return answers
        first: Floats = answers[0]
        return first

    def uncertainty(self, queries: Examples) -> Floats:
        """The standard deviation over samples of what `predict_proba` or `outputs` gives.

        Of the same shape. Raises AdaptError where the task was adapted without samples.
        """
        if self._seed is None:
            raise AdaptError(
                "the task has no samples",
                hint="adapt with samples=10, rng=np.random.default_rng(0)",
            )
        return self._answer(queries, lambda states: states.std(axis=0))

    @overload
    def add(
        self,
        examples: Mapping[str, Examples],
        labels: None = None,
        *,
        new: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Task: ...

    @overload
    def add(
        self,
        examples: Examples,
        labels: Iterable[str] | Sequence[Sequence[float]] | HasArray,
        *,
        new: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Task: ...

    @overload
    def add(
        self, examples: Rollout, labels: None = None, *, progress: Progress | None = None
    ) -> Task: ...

    def add(
        self,
        examples: Any,
        labels: Any = None,
        *,
        new: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Task:
        """A new task: this support set and more, of old classes or new ones.

        `examples`, `labels`, `new` and `progress` are as for `Learner.adapt`, and so are the
        errors.

        A policy goes on from where it stands, by what this task itself has done since and by that
        alone: a policy gradient is of the policy that acted.
        """
        meter = Meter(progress)
        meter.expect(len(self._states) * self._engine.adapting_runs)
        if self._negatives is not None:
            self._expect_left_out(meter)
        more = gather(self._engine, examples, labels, new=new, known=self.classes, meter=meter)
        if self._kind == "policy":
            check_limits(more, self.learner.manifest.limits)
            state = self._engine.adapt(more.x, more.y, meter=meter, begun=self._states[0])
            return replace(self, _support=more, _states=(state,))
        if not len(more.x):
            raise SupportSetError("no examples", hint="give at least one example to add")
        task = self._readapt(join(self._support, more), meter)
        meter.end()
        return task

    def remove(self, label: str) -> Task:
        """A new task: this support set without a class; one that the package names stays.

        It is then without examples. Raises SupportSetError where the task has no such class, or too
        few are left.
        """
        self._of("classification", "remove")
        label = label_of(label, "label")
        if label not in self.classes:
            raise SupportSetError(
                f"no class {quote(label)} in the task", hint=list_classes(self.classes, [label])
            )
        return self._readapt(self._support.without(label), UNTOLD)

    def with_negatives(self, examples: Examples, *, progress: Progress | None = None) -> Task:
        """A new task that `predict(…, unknown=…)` answers for with examples of none of its classes.

        They should be like what will be asked and is none of the classes: of things that are often
        met, or that are mistaken for one of them. Examples given before are kept. A package without
        thresholds takes 5 or more, of which they are made. `progress` is as for `Learner.adapt`.
        """
        self._of("classification", "with_negatives")
        meter = Meter(progress)
        self._expect_left_out(meter)
        x = embed_unlabelled(self._engine, examples, meter)
        if self._negatives is not None:
            x = np.concatenate([self._negatives.x, x])
        task = self._with_prepared_negatives(x, meter)
        meter.end()
        return task

    def save(self, path: str | Path, *, note_place: bool = False) -> None:
        """Write the task, whole or not at all; `Learner.load_task` reads it.

        With `note_place` the file says where the package lies, for `handful predict`. A file that
        is replaced keeps its mode. TaskFileError where it cannot be written, where the path is a
        link, and where the task is too large to be read again.
        """
        negatives = None if self._negatives is None else self._negatives.x
        lies = self.learner.path
        place = str(lies.resolve()) if note_place and lies else None
        saved = Saved(self._support, self._states, self._seed, negatives, place)
        write(path, saved, self.learner.manifest, self.learner.identity)

    @property
    def _engine(self) -> Engine:
        return self.learner._engine

    @property
    def _samples(self) -> int | None:
        return None if self._seed is None else len(self._states)

    @property
    def _kind(self) -> TaskName:
        return self.learner.manifest.task

    @property
    def _shots(self) -> Array:
        """Examples of each class, [N]."""
        shots: Array = self._support.y.sum(axis=0)
        return shots

    @cached_property
    def _temperature(self) -> float:
        return temperature_of(self.learner.manifest, self._shots)

    def _of(self, wanted: TaskName, name: str) -> None:
        """Refuse `name` of a task of another kind."""
        if self._kind != wanted:
            raise AdaptError(f"{name} on a {self._kind} task", hint=ASKED[self._kind])

    def _no_unknown(self, unknown: float | None, unknown_label: str | None) -> None:
        if unknown is not None:
            self._of("classification", "unknown")
        if unknown_label is not None:
            raise AdaptError("unknown_label alone", hint="give both: unknown=0.05, unknown_label=…")

    def _expect_left_out(self, meter: Meter) -> None:
        """Count the tasks from which negatives make thresholds, where the package has none."""
        if not self.learner.manifest.confidence:
            runs = self._engine.adapting_runs
            meter.expect(len(left_out(self._engine, self._support)) * runs)

    def _readapt(self, support: Support, meter: Meter) -> Task:
        """The same learner, samples and negatives with another support set."""
        task = adapt(self.learner, support, self._samples, self._seed, meter)
        given = self._negatives
        return task if given is None else task._with_prepared_negatives(given.x, meter)

    def with_embedded_negatives(self, x: Floats, *, later: bool = False) -> Task:
        """This task with embedded examples [M, ...] of none of its classes, and no others.

        What they say is computed now, or when it is first asked for.
        """
        if not later:
            return self._with_prepared_negatives(x, UNTOLD)
        return replace(self, _negatives=Negatives(x, self._engine, self._support, self._states))

    def _with_prepared_negatives(self, x: Floats, meter: Meter) -> Task:
        found = Negatives(x, self._engine, self._support, self._states, meter)
        return replace(self, _negatives=found.prepare())

    def rejection(self, unknown: float) -> Rejection:
        """By which rule a query is taken for none of the classes: what `predict(unknown=…)` does.

        Raises AdaptError as `predict` does.
        """
        self._of("classification", "unknown")
        given, manifest = self._negatives, self.learner.manifest
        thresholds: Numbers
        if given is not None and not manifest.confidence:
            weight, least = given.own_threshold(unknown)
            thresholds = np.full(len(self.classes), least, np.float64)
        else:
            sizes = Sizes(manifest)
            weight, thresholds = sizes.first.others, sizes.thresholds(unknown, self._shots)
            if given is not None:
                thresholds = given.thresholds(sizes, float(unknown), self._shots)
        beside = () if given is None else tuple(state for state, _ in given.beside)
        return Rejection(weight, thresholds, beside)

    def _accepts(self, query_x: Floats, logits: Floats, best: Array, rate: float) -> Array:
        """Whether each query [Q] is taken to be of a class of the task."""
        rule = self.rejection(rate)
        scores = np.mean([score(of_state, rule.weight) for of_state in logits], axis=0)
        accepted = np.asarray(scores > rule.thresholds[best])
        if self._negatives is not None:
            accepted &= ~self._negatives.rejects(query_x)
        return accepted

    def _labels_above(self, probabilities: Floats, least: float) -> tuple[str, ...]:
        """Those of at least this probability, and always the likeliest."""
        order = np.argsort(-probabilities, kind="stable")
        return tuple(
            self.classes[i] for at, i in enumerate(order) if not at or probabilities[i] >= least
        )

    def _query(self, queries: Any) -> tuple[Floats, bool, Array]:
        """The queries embedded [Q, ...], whether it was one, and which have nothing in them [Q]."""
        spec = self.learner.manifest.input
        x, single = to_batch(queries, spec, "query")
        found = find_empty(x, spec)
        known = x[~found] if found.any() else x
        self._engine.watch.look([known], "the query is" if len(x) == 1 else "the queries are")
        warn_of_empty(found, spec, lambda at: "the query" if single else f"query {at}", ANSWERED)
        return self._engine.embed(x), single, found

    def _logits(self, query_x: Floats) -> Floats:
        """[samples, Q, N] logits, or [samples, Q, O] outputs, of embedded queries."""
        return np.stack([self._engine.predict(state, query_x) for state in self._states])

    def _probabilities(self, logits: Floats) -> Floats:
        return softmax(logits, self._temperature)

    def _per_state(self, queries: Any) -> tuple[Floats, bool]:
        """[samples, Q, N] probabilities, or [samples, Q, O] outputs."""
        query_x, single, _ = self._query(queries)
        answers = self._logits(query_x)
        return self._probabilities(answers) if self._kind == "classification" else answers, single

    def _answer(self, queries: Any, reduce: Any) -> Floats:
        states, single = self._per_state(queries)
        answer: Floats = reduce(states)
        return answer[0] if single else answer


def adapt(
    learner: LoadedPackage,
    support: Support,
    samples: int | None,
    seed: int | None,
    meter: Meter = UNTOLD,
) -> Task:
    """The task of a learner for one support set; with `samples`, one state for each draw of noise.

    The draws follow from `seed`, so that a task adapted again repeats them. `meter` is as for
    `Engine.adapt`.
    """
    check_limits(support, learner.manifest.limits)
    engine = learner._engine
    if seed is None:
        return Task(learner, support, (engine.adapt(support.x, support.y, meter=meter),))
    rng = np.random.default_rng(seed)
    states = [
        engine.adapt(support.x, support.y, noise=engine.noise(support.y, rng), meter=meter)
        for _ in range(samples or 1)
    ]
    return Task(learner, support, tuple(states), seed)
