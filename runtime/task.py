"""A task: a learner adapted to one support set; immutable, shared freely between threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .arrays import Array, Floats
from .engine import Engine, State
from .errors import AdaptError, SupportSetError, shown
from .examples import to_batch
from .loaded import Loaded, Shared
from .support import Support, gather, joined, label_of, within
from .task_file import Saved, write

NAMED = 20  # classes in a hint


@dataclass(frozen=True, eq=False)
class Task(Shared):
    """What `Learner.adapt` returns; predictions do not depend on each other."""

    learner: Loaded
    _support: Support = field(repr=False)
    _states: tuple[State, ...] = field(repr=False)  # one, or one a sample
    _seed: int | None = field(default=None, repr=False)  # of the samples' noise

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
        """How many examples of each class the task was adapted to."""
        shots = self._support.y.sum(axis=0)
        return {label: int(shot) for label, shot in zip(self.classes, shots, strict=False)}

    def predict(self, queries: Any) -> Any:
        """The label of one query, or a list of them for a batch; regression: the outputs."""
        if self._regression:
            return self._answer(queries, lambda states: states.mean(axis=0))
        probabilities, single = self._per_state(queries)
        best = probabilities.mean(axis=0).argmax(axis=1)
        labels = [self.classes[i] for i in best]
        return labels[0] if single else labels

    def predict_proba(self, queries: Any) -> Floats:
        """Probabilities [N] of one query or [Q, N] of a batch; with samples, their mean."""
        self._classification("predict_proba")
        return self._answer(queries, lambda states: states.mean(axis=0))

    def logits(self, queries: Any) -> Floats:
        """What `predict_proba` is the softmax of; with samples, the logarithm of the mean."""
        self._classification("logits")
        if self._seed is None:
            query_x, single = self._query(queries)
            logits = self._engine.predict(self._states[0], query_x)
            return logits[0] if single else logits
        tiny = np.finfo(np.float32).tiny
        return self._answer(queries, lambda states: np.log(states.mean(axis=0) + tiny))

    def uncertainty(self, queries: Any) -> Floats:
        """The standard deviation over samples of what predict_proba (regression: predict) gives."""
        if self._seed is None:
            raise AdaptError(
                "the task has no samples",
                hint="adapt with samples=10, rng=np.random.default_rng(0)",
            )
        return self._answer(queries, lambda states: states.std(axis=0))

    def add(self, examples: Any, labels: Any = None) -> Task:
        """A new task: this support set and more, of old classes or new ones."""
        more = gather(self._engine, examples, labels)
        if not len(more.x):
            raise SupportSetError("no examples", hint="give at least one example to add")
        return adapted(self.learner, joined(self._support, more), self._samples, self._seed)

    def remove(self, label: str) -> Task:
        """A new task: this support set without a class."""
        self._classification("remove")
        label = label_of(label, "label")
        if label not in self.classes:
            more = ", …" if len(self.classes) > NAMED else ""
            raise SupportSetError(
                f"no class {shown(label)} in the task",
                hint=f"its classes: {', '.join(self.classes[:NAMED])}{more}",
            )
        return adapted(self.learner, self._support.without(label), self._samples, self._seed)

    def save(self, path: str | Path) -> None:
        """Write the task, whole or not at all; `Learner.load_task` reads it.

        A file that is replaced keeps its mode. TaskFileError where it cannot be written, where the
        path is a link, and where the task is too large to be read again.
        """
        saved = Saved(self._support, self._states, self._seed)
        write(path, saved, self.learner.manifest, self.learner.identity)

    @property
    def _engine(self) -> Engine:
        return self.learner._engine

    @property
    def _samples(self) -> int | None:
        return None if self._seed is None else len(self._states)

    @property
    def _regression(self) -> bool:
        return self.learner.manifest.task == "regression"

    def _classification(self, name: str) -> None:
        if self._regression:
            raise AdaptError(
                f"{name} on a regression task", hint="predict gives a regression task's outputs"
            )

    def _query(self, queries: Any) -> tuple[Floats, bool]:
        x, single = to_batch(queries, self.learner.manifest.input, "query")
        self._engine.watch.look(x, "the query is" if len(x) == 1 else "the queries are")
        return self._engine.embed(x), single

    def _per_state(self, queries: Any) -> tuple[Floats, bool]:
        """[samples, Q, N] probabilities, or [samples, Q, O] outputs."""
        query_x, single = self._query(queries)
        answers = np.stack([self._engine.predict(state, query_x) for state in self._states])
        return answers if self._regression else softmax(answers), single

    def _answer(self, queries: Any, reduce: Any) -> Floats:
        states, single = self._per_state(queries)
        answer: Floats = reduce(states)
        return answer[0] if single else answer


def adapted(learner: Loaded, support: Support, samples: int | None, seed: int | None) -> Task:
    """The task of a learner for one support set; with `samples`, one state for each draw of noise.

    The draws follow from `seed`, so that a task adapted again repeats them.
    """
    within(support, learner.manifest.limits)
    engine = learner._engine
    if seed is None:
        return Task(learner, support, (engine.adapt(support.x, support.y),))
    rng = np.random.default_rng(seed)
    states = [
        engine.adapt(support.x, support.y, noise=engine.noise(support.y, rng))
        for _ in range(samples or 1)
    ]
    return Task(learner, support, tuple(states), seed)


def softmax(logits: Array) -> Floats:
    """Over the last axis, in float32."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities
