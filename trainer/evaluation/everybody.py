"""What learners of named classes have to beat: everybody's classifier, and cheap rules upon it.

    no examples                  the learner itself, and the classifier, before any example
    class means                  of the learner's features; a class without examples has none
    interpolated means           c_n = (m (p_n + s δ) + Σ x) / (m + K_n) with the class means p_n of
                                 the meta-training, δ the mean shift of the classes with examples;
                                 x of everybody's features, whitened within a class or not
    posterior of the means       PLDA (Ioffe 2006): c_n by a covariance between persons, times v,
                                 and one within a person's class; the likelihood of a query has the
                                 posterior's variance
    logistic regression          min over V of ½ ‖V‖² + C Σ −log softmax(head + x V)[y]
    re-estimated normalisation   running averages moved by a share a to the support set's moments

m, s, v, C, a and the whitening are chosen for each size of task on tasks of the meta-validation
persons. A rule is therefore as good as anybody could make it without meta-training; `best_rule` is
the one of the last four that is best there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.trainer.data.domains import DomainSet
from handful.trainer.episodes import Rows, TaskSize, rows_of
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Tensors
from handful.trainer.learners.classifier import Classifier
from handful.trainer.parts.features import class_means, running_statistics
from handful.trainer.parts.whitening import fit_persons, fit_whitening, whiten

from .yardsticks import Features, Rule, fit, nearest_mean, on_tasks

WORTHS, SHIFTS = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0), (0.0, 0.5, 1.0)  # m, s
WIDTHS = (0.3, 1.0, 3.0)  # v
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # C
SHARES = (0.1, 0.3, 0.6)  # a
TUNED, QUERIES = 200, 8000  # most tasks, and queries, by which a rule is chosen
SLOWLY = 4  # so many times fewer for a rule that embeds each task anew
SEED = 1  # of these tasks
EXACT = 1e-3  # the gradient's norm of a logistic regression: an answer turns on no less
RE_ESTIMATED = "re-estimated normalisation"


def is_for_everybody(learner: Learner) -> TypeGuard[Classifier]:
    """Whether it is a classifier that answers without any example, upon which the rules stand."""
    return isinstance(learner, Classifier)


@dataclass(frozen=True)
class Everybody:
    """The classifier for everybody, and the persons that rules are fitted, chosen and tried on."""

    learner: Classifier
    params: Tensors
    train: DomainSet
    validation: DomainSet
    own: Features  # of the learner that is measured, on the test persons

    @property
    def test(self) -> DomainSet:
        """The persons that it is measured on."""
        assert isinstance(self.own.data, DomainSet)
        return self.own.data

    def measure(self, size: TaskSize, *, episodes: int, seed: int) -> dict[str, Array]:
        """The accuracy of each rule on each task of this seed, [E], by the rule's name."""
        return self.on_rows(size, rows_of(self.test, size, episodes=episodes, seed=seed))

    def on_rows(self, size: TaskSize, rows: Rows) -> dict[str, Array]:
        """The accuracy of each rule on each of these tasks, [E], by the rule's name."""
        means = f"class means of {self.own.called}, squared distance"
        return {
            "everybody's classifier, no examples": self._on(_head_alone, self._logits)(
                self.test, size, rows
            ),
            "class means of everybody's features": self._on(nearest_mean, self._raw)(
                self.test, size, rows
            ),
            means: on_tasks(nearest_mean, self.own.x, size, rows),
            **{
                name: chosen.measure(self.test, size, rows)
                for name, chosen in self._choose(size).items()
            },
        }

    def best_rule(self, size: TaskSize) -> str:
        """The name of the cheap rule that is best on the validation persons."""
        chosen = self._choose(size)
        return max(chosen, key=lambda name: chosen[name].accuracy)

    def _on(self, rule: Rule, features: OfSets) -> Measure:
        return lambda data, size, rows: on_tasks(rule, features(data), size, rows)

    @cached_property
    def _chosen(self) -> dict[TaskSize, dict[str, Chosen]]:
        return {}

    def _choose(self, size: TaskSize) -> dict[str, Chosen]:
        """Each cheap rule with the settings that are best on the validation persons."""
        if size in self._chosen:
            return self._chosen[size]
        count = max(1, min(TUNED, QUERIES // (size.way * size.queries)))
        tasks = rows_of(self.validation, size, episodes=count, seed=SEED)
        fewer = Rows(*(part[: max(1, count // SLOWLY)] for part in tasks))
        self._chosen[size] = {
            name: max(
                (
                    Chosen(float(rule(self.validation, size, rows).mean()), rule)
                    for rows in [fewer if name == RE_ESTIMATED else tasks]
                    for rule in rules
                ),
                key=lambda chosen: chosen.accuracy,
            )
            for name, rules in self._settings(size).items()
        }
        return self._chosen[size]

    def _settings(self, size: TaskSize) -> dict[str, list[Measure]]:
        """Each cheap rule in all settings that it is chosen from."""
        features, p, between = self._by_person
        settings = {
            "interpolated means of everybody's features": [
                self._on(partial(_interpolate, p=means, worth=worth, shift=shift), whitened)
                for whitened, means in self._whitened
                for worth, shift in itertools.product(WORTHS, SHIFTS)
            ],
            "posterior of the means of everybody's features": [
                self._on(partial(_infer, p=p, between=width * between, shift=shift), features)
                for width, shift in itertools.product(WIDTHS, SHIFTS)
            ],
            "logistic regression from everybody's head": [
                self._on(partial(_from_head, c=c, way=size.way), self._both) for c in STRENGTHS
            ],
        }
        if size.shot and running_statistics(self.params) is not None:
            settings[RE_ESTIMATED] = [partial(self._move_averages, share) for share in SHARES]
        return settings

    @cached_property
    def _embedded(self) -> dict[int, Tensor]:
        """Everybody's features of each set, each example once."""
        embed = torch.no_grad()(partial(self.learner.embed, self.params))
        sets = (self.train, self.validation, self.test)
        return {id(data): data.map_batches(embed).flatten(1).cpu() for data in sets}

    def _raw(self, data: DomainSet) -> Tensor:
        return self._embedded[id(data)]

    def _logits(self, data: DomainSet) -> Tensor:
        with torch.no_grad():
            return self.learner.all_classes(self.params, self._raw(data))

    def _both(self, data: DomainSet) -> Tensor:
        """Logits of the head, features of mean square 1, a constant: [M, N + D + 1]."""
        x = self._raw(data) / self._raw(self.train).square().mean().sqrt()
        return torch.cat([self._logits(data), x, torch.ones_like(x[:, :1])], dim=1)

    @cached_property
    def _whitened(self) -> list[tuple[OfSets, Tensor]]:
        """Features whitened within a class or not [M, D], with the means p_n [N, D] of each."""
        h = self._raw(self.train)
        one_hot = torch.eye(len(self.train.classes))[self.train.labels.cpu()]
        found: list[tuple[OfSets, Tensor]] = []
        for fully in (True, False):
            params = fit_whitening(h, one_hot, fully=fully)
            sets = {id(d): whiten(params, self._raw(d)) for d in (self.validation, self.test)}
            p = class_means(whiten(params, h), one_hot).double()
            found.append((partial(_look_up, sets), p))
        return found

    @cached_property
    def _by_person(self) -> tuple[OfSets, Tensor, Tensor]:
        """Features [M, D], p_n [N, D], and the variance of class means over domains [D]."""
        labels, domain = self.train.labels.cpu(), self.train.of_domain.cpu()
        params, p, between = fit_persons(
            self._raw(self.train), labels, domain, len(self.train.classes)
        )
        sets = {id(d): whiten(params, self._raw(d)) for d in (self.validation, self.test)}
        return partial(_look_up, sets), p.double(), between.double()

    @torch.no_grad()
    def _move_averages(self, share: float, data: DomainSet, size: TaskSize, rows: Rows) -> Array:
        """The accuracy of the head with averages moved to each task's support set, [E]."""
        averages, right = running_statistics(self.params), []
        assert averages is not None
        for support, query, query_y in zip(rows.support, rows.query, rows.query_y, strict=True):
            x = data.as_float(data.x[support[support >= 0]])
            found = self.learner.network(self.params, x, None)[1]
            moved = {
                name: torch.lerp(value, found[name].reshape(value.shape), share)
                for name, value in averages.items()
            }
            h = self.learner.network(self.params, data.as_float(data.x[query]), moved)[0]
            answers = self.learner.all_classes(self.params, h).argmax(dim=1)
            right.append(float((answers == query_y).double().mean()))
        return np.array(right)


OfSets = Callable[[Any], Tensor]  # a set → features of its examples [M, D]
Measure = Callable[[DomainSet, TaskSize, Rows], Array]  # of a rule, its accuracy on tasks, [E]


class Chosen(NamedTuple):
    """A rule with settings, and its accuracy on the validation persons."""

    accuracy: float
    measure: Measure


def _look_up(sets: dict[int, Tensor], data: DomainSet) -> Tensor:
    return sets[id(data)]


def _head_alone(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """The logits that the queries came with."""
    return query


def _interpolate(
    x: Tensor, y: Tensor, query: Tensor, *, p: Tensor, worth: float, shift: float
) -> Tensor:
    """−‖q − c_n‖² + ‖q‖², c_n between the population's means p [N, D] and those of x [E, S, D]."""
    prior, total, count = _move(x, y, p, shift)
    c = (worth * prior + total) / (worth + count)
    return 2 * query @ c.mT - (c * c).sum(dim=2)[:, None]


def _infer(
    x: Tensor, y: Tensor, query: Tensor, *, p: Tensor, between: Tensor, shift: float
) -> Tensor:
    """ln N(q; c_n, 1 + v_n) up to a constant, c_n and v_n [N, D] the posterior's of class means."""
    prior, total, count = _move(x, y, p, shift)
    v = 1 / (1 / between + count)
    c, wide = v * (prior / between + total), 1 + v
    # Σ (q − c)² / wide, without a tensor [E, Q, N, D]
    near = (query * query) @ (1 / wide).mT - 2 * query @ (c / wide).mT
    return -(near + (c * c / wide + wide.log()).sum(dim=2)[:, None]) / 2


def _move(x: Tensor, y: Tensor, p: Tensor, shift: float) -> tuple[Tensor, Tensor, Tensor]:
    """p + s δ, Σ x and K of each class, [E, N, ...]."""
    count = y.sum(dim=1)[..., None]  # [E, N, 1]
    total, has = y.mT @ x, count.clamp(max=1)
    moved = (has * (total / count.clamp(min=1) - p)).sum(dim=1) / has.sum(dim=1).clamp(min=1)
    return p + shift * moved[:, None], total, count


def _from_head(x: Tensor, y: Tensor, query: Tensor, *, c: float, way: int) -> Tensor:
    """The head's logits and ⟨q, v_n⟩, of rows that begin with these logits."""
    start, x = x[..., :way], x[..., way:]
    if x.shape[1] == 0:
        return query[..., :way]
    basis = torch.linalg.qr(x.mT)[0] if x.shape[1] < x.shape[2] else None
    own = query[..., way:]
    if basis is not None:
        x, own = x @ basis, own @ basis
    return query[..., :way] + own @ fit(x, y, c=c, start=start, tolerance=EXACT)
