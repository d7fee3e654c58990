"""Logistic regression on the device: by hand, and the same answers as the converged yardstick."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import TaskSize, rows_of
from handful.trainer.evaluation import Features
from handful.trainer.evaluation import yardsticks as yardstick
from handful.trainer.evaluation.yardsticks import LENGTH, C, logistic_regression
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners.logistic import Logistic, LogisticConfig, newton_direction, objective

from ..each import each
from .cases import case
from .small import double, generator, uneven, vectors

EMBEDDINGS = Path(os.environ.get("HANDFUL_DATA", ".")) / "caltech101" / "caltech101_embeddings.npz"


def test_the_problem_is_that_of_the_yardstick() -> None:
    config = LogisticConfig()
    assert (config.c, config.length, config.metric) == (C, LENGTH, "cosine")
    subject = case("logistic")
    learner, params = subject.learner, subject.params
    assert isinstance(learner, Logistic)
    features = Features(subject.data, subject.data.x, params["centre"], "h")
    torch.testing.assert_close(learner.examples(params, subject.data.x), features.for_regression())
    x, y = torch.randn(6, 4).double(), torch.eye(3).double().repeat_interleave(2, 0)
    w = torch.randn(3, 4).double()
    torch.testing.assert_close(
        objective(w, x @ w.T, y, C), yardstick.objective(x[None], y, w.T[None], C)[0]
    )


def test_one_step_of_two_classes_by_hand() -> None:
    """Features ±1 of length 1: the gradient at 0 is along (1, −1), where H is known."""
    spec = InputSpec(kind="array", shape=(1,))
    config = LogisticConfig(c=2.0, length=1.0, steps=1, directions=1, metric="euclidean")
    learner = Logistic(config, spec, 2)
    params = learner.init(generator())
    support = Support(torch.tensor([[1.0], [-1.0]]), torch.eye(2))
    state = adapt(learner, params, support)
    # C Σ (y − p) x = 2 · (½ + ½) = 2 for class 0, and −2; H along it: 1 + C · ½ · Σ x² = 1 + 2
    wanted = torch.tensor([[2 / 3, 0.0], [-2 / 3, 0.0]])
    torch.testing.assert_close(state["w"], wanted)
    (observed,) = (t["loss"] for s, i, t in seen(learner, params, support) if i == 1)
    torch.testing.assert_close(observed, torch.tensor(2.0).log())


def seen(
    learner: Logistic, params: Tensors, support: Support
) -> list[tuple[str, int, dict[str, Tensor]]]:
    found: list[tuple[str, int, dict[str, Tensor]]] = []
    adapt(learner, params, support, observe=lambda *step: found.append(step))
    return found


def test_the_direction_solves_newtons_equation() -> None:
    draw = generator(1)
    x = torch.randn(7, 4, generator=draw, dtype=torch.float64)
    w = torch.randn(3, 4, generator=draw, dtype=torch.float64)
    y = torch.eye(3).double()[torch.tensor([0, 0, 1, 1, 2, 2, 2])]
    p = torch.softmax(x @ w.T, dim=1)
    residual = C * (y - p).T @ x - w
    slope = torch.func.grad(lambda w: objective(w, x @ w.T, y, C))
    hessian = torch.func.jacrev(slope)(w)
    wanted = torch.linalg.solve(hessian.reshape(12, 12), residual.flatten()).reshape(3, 4)
    found = newton_direction(x, p, residual, C, steps=12)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-8)
    along = (slope(w) * newton_direction(x, p, residual, C, steps=2)).sum()
    assert float(along) < 0  # cut short, it still descends


def agreement(
    data: LabelledSet, centre: Tensor, size: TaskSize, episodes: int
) -> tuple[float, float]:
    """The share of queries answered as by the yardstick, and the largest relative difference."""
    learner = Logistic(LogisticConfig(), data.input, size.way)
    params = {**learner.init(generator()), "centre": centre}
    features = Features(data, data.x, centre, "h").for_regression()
    rows = rows_of(data, size, episodes=episodes, seed=0)
    y = torch.eye(size.way).repeat_interleave(size.shot, dim=0)
    same, worst = [], 0.0
    for support, query in zip(rows.support, rows.query, strict=True):
        state = adapt(learner, params, Support(data.x[support], y))
        found = learner.predict(params, state, data.x[query]).double()
        wanted = logistic_regression(
            features[support][None].double(), y.double(), features[query][None].double()
        )[0]
        same.append((found.argmax(dim=1) == wanted.argmax(dim=1)).double().mean())
        worst = max(worst, float((found - wanted).abs().max() / wanted.abs().max()))
    return float(torch.stack(same).mean()), worst


@each("size", [TaskSize(5, 1, 4), TaskSize(5, 4, 4), TaskSize(20, 1, 4), TaskSize(20, 4, 4)])
def test_the_answers_are_those_of_the_converged_fit(size: TaskSize) -> None:
    data = vectors(classes=40, size=24)
    same, worst = agreement(data, data.x.mean(dim=0), size, episodes=10)
    assert same == 1.0
    assert worst < 1e-3


@pytest.mark.skipif(not EMBEDDINGS.exists(), reason="needs Caltech-101 embeddings in HANDFUL_DATA")
@each("size", [TaskSize(5, 1, 15), TaskSize(5, 5, 15), TaskSize(20, 5, 15)])
def test_real_embeddings_are_answered_as_by_the_yardstick(size: TaskSize) -> None:
    with np.load(EMBEDDINGS) as file:
        x, labels = file["mobilenet_v1_025_128"].astype(np.float32), file["label"]
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    data = LabelledSet(
        torch.from_numpy(x[order]),
        torch.from_numpy(counts),
        tuple(map(str, range(len(counts)))),
        InputSpec(kind="array", shape=(x.shape[1],)),
    )
    same, worst = agreement(data, data.x.mean(dim=0), size, episodes=10)
    assert same >= 0.999
    assert worst < 1e-2


def test_every_step_lowers_the_objective() -> None:
    """Also where the full Newton step would not: many classes, one example each."""
    subject = case("logistic")
    learner, params = subject.learner, double(subject.params)
    assert isinstance(learner, Logistic)
    x, y, _ = (t.double() for t in uneven(subject.data, [1] * 40))
    losses = [float(t["loss"]) for _, i, t in seen(learner, params, Support(x, y)) if i]
    assert all(after <= before for before, after in pairwise(losses))
    assert losses[0] > losses[1] > losses[2]


def test_full_steps_alone_would_raise_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handful.trainer.learners.logistic.LENGTHS", 1)
    subject = case("logistic")
    assert isinstance(subject.learner, Logistic)
    x, y, _ = uneven(subject.data, [1] * 40)
    steps = seen(subject.learner, subject.params, Support(x, y))
    losses = [float(t["loss"]) for _, i, t in steps if i]
    assert max(after - before for before, after in pairwise(losses)) > 0.1
