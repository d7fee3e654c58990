"""What holds for every learner: symmetries, one by one, vmap, and that it learns.

A learner in LEARNERS is found here by the small forms that its `variants` give.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from handful.trainer.episodes import Episode, sample
from handful.trainer.evaluation import embed_set, evaluate
from handful.trainer.evaluation.accuracy import mean_by_person
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.form.task import cross_entropy
from handful.trainer.learners import LEARNERS
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import EmbeddingLearner
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.config import MetaConfig
from handful.trainer.training.gradient import meta_gradient
from handful.trainer.training.optimiser import MetaOptimiser

from .cases import CASES, Case, case
from .small import WAY, double, double_episode, generator, uneven, vectors

SHOTS = [1, 3, 2, 2]
CLOSE: Any = {"rtol": 1e-4, "atol": 1e-4}


def test_every_learner_has_its_name_and_a_case() -> None:
    assert all(kind.name == name for name, kind in LEARNERS.items())
    assert {case(name).learner.name for name in CASES} == set(LEARNERS)


def exact(name: str) -> Case:
    """The case in float64, where equal means equal."""
    subject = case(name)
    return Case(subject.learner, double(subject.params), subject.data)


@pytest.mark.parametrize("name", CASES)
def test_answers_keep_to_the_form(name: str) -> None:
    have_the_symmetries_that_the_learner_says(exact(name))
    are_one_by_one_at_any_size_and_leave_no_trace(case(name))


def have_the_symmetries_that_the_learner_says(subject: Case) -> None:
    x, y, query = (t.double() for t in uneven(subject.data, SHOTS))
    answer = subject.answer(x, y, query)

    renaming = torch.tensor([2, 0, 3, 1, 4])[: y.shape[1]]
    renamed, wanted = subject.answer(x, y[:, renaming], query), answer[:, renaming]
    if subject.learner.max_way is None and subject.learner.named_way is None:
        torch.testing.assert_close(renamed, wanted, rtol=1e-9, atol=1e-9)
    else:  # what it knows of each class: says so, and means it
        assert not torch.allclose(renamed, wanted, rtol=1e-3)

    order = torch.randperm(len(x), generator=generator(5))
    turned = subject.answer(x[order], y[order], query)
    if subject.learner.ordered:  # it reads the support set in its order: says so, and means it
        assert not torch.allclose(turned, answer, rtol=1e-4)
    else:
        torch.testing.assert_close(turned, answer, rtol=1e-8, atol=1e-8)


def are_one_by_one_at_any_size_and_leave_no_trace(subject: Case) -> None:
    learner, params = subject.learner, subject.params
    before = {n: p.clone() for n, p in params.items()}
    x, y, query = uneven(subject.data, SHOTS)
    support = Support(learner.embed(params, x), y)
    alone = torch.cat([learner.embed(params, one[None]) for one in x])
    torch.testing.assert_close(alone, support.x, **CLOSE)

    copies = support.x.clone(), support.y.clone()
    state, again = (adapt(learner, params, support) for _ in range(2))
    assert all(torch.equal(state[n], again[n]) for n in state)
    q = learner.embed(params, query)
    together = learner.predict(params, state, q)
    apart = torch.cat([learner.predict(params, state, one[None]) for one in q])
    torch.testing.assert_close(apart, together, **CLOSE)
    assert all(torch.equal(before[n], p) for n, p in params.items())
    assert torch.equal(copies[0], support.x)
    assert torch.equal(copies[1], support.y)

    for way in {min(way, learner.max_way or way) for way in (2, 5, 9)}:
        x, y, query = uneven(subject.data, [1] * way)
        answer = subject.answer(x, y, query)
        assert answer.shape == (len(query), learner.named_way or way)
        assert bool(answer.isfinite().all())
    if learner.named_way:
        says_the_same_beside_a_row_of_no_class(subject)


def says_the_same_beside_a_row_of_no_class(subject: Case) -> None:
    """Without any example there is one such row; and where there are some it says nothing."""
    for shots in ([0], SHOTS):
        x, y, query = uneven(subject.data, shots)
        more = torch.cat([x, query[:1]]), torch.cat([y, y.new_zeros(1, WAY)])
        torch.testing.assert_close(
            subject.answer(*more, query), subject.answer(x, y, query), **CLOSE
        )


@pytest.mark.parametrize("name", CASES)
def test_meta_training_batches_tasks_and_learns(name: str) -> None:
    subject = exact(name)
    learner, leaves = subject.learner, subject.trainable
    if not leaves:  # nothing of it is meta-trained: all its parameters are frozen
        assert all(learner.is_frozen(name) for name in subject.params)
        return
    data = case(name).data
    if learner.embeds_ahead:
        data = embed_set(learner, case(name).params, data)
    episodes = double_episode(sample(data, data.size(4, 2, 2), tasks=3, generator=generator()))
    noise = double(learner.training_noise(episodes, generator()))
    one, two = (
        meta_gradient(learner, subject.params, leaves, episodes, noise, progress=0.5, chunk=chunk)
        for chunk in (1, 3)
    )
    for leaf in leaves:
        torch.testing.assert_close(one[0][leaf], two[0][leaf], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(one[1], two[1])
    for left, right in zip(one[2], two[2], strict=True):
        assert left.keys() == right.keys()
        for key in left:
            torch.testing.assert_close(left[key], right[key], rtol=1e-6, atol=1e-6)
    assert any(float(g.abs().max()) > 0 for g in one[0].values())
    assert learns(case(name), sample(data, data.size(5, 1, 3), tasks=4, generator=generator(3)))


def learns(subject: Case, episodes: Episode) -> bool:
    """Whether 15 meta-steps lower the meta-loss or, where that is a distance, the queries'."""
    learner, leaves = subject.learner, subject.trainable
    noise = learner.training_noise(episodes, generator())
    params = {n: p.clone() for n, p in subject.params.items()}
    start = {n: p.clone() for n, p in params.items()}
    optimiser = MetaOptimiser({n: params[n] for n in leaves}, MetaConfig(lr=5e-3))
    losses = []
    for step in range(1, 16):
        gradient, loss, _ = meta_gradient(
            learner, params, leaves, episodes, noise, progress=0.0, chunk=4
        )
        optimiser.step(gradient, step)
        losses.append(float(loss))
    if losses[-1] < 0.97 * losses[0]:
        return True
    first, last = (queries_loss(Case(learner, p, subject.data), episodes) for p in (start, params))
    return bool(last < 0.97 * first)


def queries_loss(subject: Case, episodes: Episode) -> Tensor:
    """The mean cross-entropy of the queries over tasks that are not embedded."""
    tasks = [Episode(*parts) for parts in zip(*episodes, strict=True)]
    losses = [
        cross_entropy(subject.answer(e.support_x, e.support_y, e.query_x), e.query_y) for e in tasks
    ]
    return torch.stack(losses).mean().detach()


def reads_the_batch(name: str) -> bool:
    """Whether the case's network is meta-trained and normalises by moments of a batch."""
    network = getattr(case(name).learner.config, "network", None)
    batch = network is not None and network.normalisation in ("support", "running")
    return batch and not case(name).learner.embeds_ahead


@pytest.mark.parametrize("name", [name for name in CASES if reads_the_batch(name)])
def test_the_transductive_form_answers_by_the_batch_as_papers_report(name: str) -> None:
    subject = case(name)
    form = subject.learner.transductive_form()
    assert form.transductive
    assert not subject.learner.transductive
    assert form.name == subject.learner.name
    episode = Episode(
        *(
            t[0]
            for t in sample(
                subject.data, subject.data.size(4, 2, 3), tasks=1, generator=generator(2)
            )
        )
    )
    answers = read_and_answered(form, subject.params, episode)
    first = read_and_answered(form, subject.params, first_queries(episode))
    assert not torch.allclose(answers[: len(first)], first, rtol=1e-3)  # the others count
    data = embed_set(form, subject.params, subject.data)
    size = data.size(4, 2, 3)
    result = evaluate(form, subject.params, data, size, episodes=3, seed=1)
    assert result.transductive
    hits = []
    for task in sampled(subject, 3):
        right = read_and_answered(form, subject.params, task).argmax(1) == task.query_y.argmax(1)
        hits.append(float(right.double().mean()))
    whose = data.persons(size, episodes=3, seed=1)
    by_person = mean_by_person(np.array(hits), np.arange(3) if whose is None else whose)
    assert result.accuracy == pytest.approx(by_person.mean())


def sampled(subject: Case, episodes: int) -> list[Episode]:
    """The tasks that `evaluate` draws from the seed 1."""
    draw = generator(1)
    size = subject.data.size(4, 2, 3)
    drawn = [subject.data.episodes(size, tasks=1, generator=draw) for _ in range(episodes)]
    return [Episode(*(t[0] for t in one)) for one in drawn]


def first_queries(episode: Episode) -> Episode:
    return episode._replace(query_x=episode.query_x[:5], query_y=episode.query_y[:5])


@torch.no_grad()
def read_and_answered(learner: Any, params: Tensors, episode: Episode) -> Tensor:
    support, query, _ = learner.embed_task(params, episode)
    answer: Tensor = learner.predict(params, adapt(learner, params, support), query)
    return answer


def test_a_frozen_network_has_no_transductive_form() -> None:
    for name in CASES:
        if case(name).learner.embeds_ahead:
            with pytest.raises(ConfigError, match="has no transductive form"):
                case(name).learner.transductive_form()


def test_a_network_of_pictures_for_vectors_is_refused() -> None:
    for kind in LEARNERS.values():
        if not issubclass(kind, EmbeddingLearner):
            continue
        with pytest.raises(ConfigError) as caught:
            kind(kind.Config(network=NetworkConfig()), vectors().input, 5)
        assert str(caught.value) == (
            'learner.network.kind is "conv4", which reads images [H, W, C],'
            " the examples have the shape [10]"
        )
        assert caught.value.hint == 'set learner.network.kind = "mlp" for vectors'
