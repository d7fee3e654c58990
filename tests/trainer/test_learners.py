"""What holds for every learner: symmetries, one by one, vmap, and that it learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from handful.trainer.config import MetaConfig
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import Episode, sample
from handful.trainer.errors import ConfigError
from handful.trainer.evaluation import embed_set
from handful.trainer.learners import LEARNERS, Support, adapt
from handful.trainer.learners.form import cross_entropy
from handful.trainer.networks import NetworkConfig
from handful.trainer.sizes import TaskSize
from handful.trainer.training.gradient import meta_gradient
from handful.trainer.training.optimiser import MetaOptimiser

from .cases import CASES, Case, case
from .small import double, double_episode, generator, uneven, vectors

SHOTS = [1, 3, 2, 2]
UNTRAINED = ("nearest", "baseline")  # all their parameters are frozen: a test below says so
TRAINED = [name for name in CASES if not name.startswith(UNTRAINED)]
CLOSE: Any = {"rtol": 1e-4, "atol": 1e-4}


def test_every_learner_has_a_case() -> None:
    assert {case(name).learner.name for name in CASES} == set(LEARNERS)
    assert all(LEARNERS[name].name == name for name in LEARNERS)


@pytest.mark.parametrize("name", [name for name in CASES if name not in TRAINED])
def test_what_is_not_trained_has_nothing_to_train(name: str) -> None:
    assert case(name).trainable == ()


def exact(name: str) -> Case:
    """The case in float64, where equal means equal."""
    subject = case(name)
    return Case(subject.learner, double(subject.params), subject.data)


@pytest.mark.parametrize("name", CASES)
def test_renaming_the_classes_permutes_the_answers(name: str) -> None:
    subject = exact(name)
    x, y, query = (t.double() for t in uneven(subject.data, SHOTS))
    order = torch.tensor([2, 0, 3, 1])
    answer, renamed = subject.answer(x, y, query), subject.answer(x, y[:, order], query)
    if subject.learner.symmetric:
        torch.testing.assert_close(renamed, answer[:, order], rtol=1e-9, atol=1e-9)
    else:  # a row of the head for each class: says so, and means it
        assert not torch.allclose(renamed, answer[:, order], rtol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_the_support_set_counts_only_where_the_learner_says_so(name: str) -> None:
    subject = exact(name)
    x, y, query = (t.double() for t in uneven(subject.data, SHOTS))
    order = torch.randperm(len(x), generator=generator(5))
    answer, turned = subject.answer(x, y, query), subject.answer(x[order], y[order], query)
    if subject.learner.ordered:  # an LSTM reads the support set: says so, and means it
        assert not torch.allclose(turned, answer, rtol=1e-4)
    else:
        torch.testing.assert_close(turned, answer, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_a_prediction_does_not_depend_on_the_other_queries(name: str) -> None:
    subject = case(name)
    x, y, query = uneven(subject.data, SHOTS)
    together = subject.answer(x, y, query)
    alone = torch.cat([subject.answer(x, y, q[None]) for q in query])
    torch.testing.assert_close(alone, together, **CLOSE)


@pytest.mark.parametrize("name", CASES)
def test_an_embedding_does_not_depend_on_the_other_examples(name: str) -> None:
    subject = case(name)
    x, _, _ = uneven(subject.data, SHOTS)
    together = subject.learner.embed(subject.params, x)
    alone = torch.cat([subject.learner.embed(subject.params, one[None]) for one in x])
    torch.testing.assert_close(alone, together, **CLOSE)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("way", [2, 5, 9])
def test_any_number_of_classes_within_the_limit(name: str, way: int) -> None:
    subject = case(name)
    way = min(way, subject.learner.max_way or way)
    x, y, query = uneven(subject.data, [1] * way)
    assert subject.answer(x, y, query).shape == (2 * way, way)
    assert bool(subject.answer(x, y, query).isfinite().all())


@pytest.mark.parametrize("name", TRAINED)
def test_vmap_over_tasks_is_the_mean_of_each_alone(name: str) -> None:
    subject = exact(name)
    data = embedded(case(name))
    episodes = sample(data, TaskSize(4, 2, 2), tasks=3, generator=generator())
    episodes = double_episode(episodes)
    noise = double(subject.learner.training_noise(episodes, generator()))
    leaves = subject.trainable
    one, two = (
        meta_gradient(
            subject.learner, subject.params, leaves, episodes, noise, progress=0.5, chunk=chunk
        )
        for chunk in (1, 3)
    )
    for name_ in leaves:
        torch.testing.assert_close(one[0][name_], two[0][name_], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(one[1], two[1])
    for left, right in zip(one[2], two[2], strict=True):
        assert left.keys() == right.keys()
        for key in left:
            torch.testing.assert_close(left[key], right[key], rtol=1e-6, atol=1e-6)
    assert any(float(g.abs().max()) > 0 for g in one[0].values())


def embedded(subject: Case) -> LabelledSet:
    """The data as the meta-loss sees them."""
    frozen = subject.learner.frozen_embed
    return embed_set(subject.learner, subject.params, subject.data) if frozen else subject.data


@pytest.mark.parametrize("name", TRAINED)
def test_a_few_meta_steps_lower_the_loss(name: str) -> None:
    subject = case(name)
    learner, leaves = subject.learner, subject.trainable
    episodes = sample(embedded(subject), TaskSize(5, 1, 3), tasks=4, generator=generator(3))
    noise = learner.training_noise(episodes, generator())
    params = {n: p.clone() for n, p in subject.params.items()}
    optimiser = MetaOptimiser({n: params[n] for n in leaves}, MetaConfig(lr=5e-3))
    losses = []
    for step in range(1, 16):
        gradient, loss, _ = meta_gradient(
            learner, params, leaves, episodes, noise, progress=0.0, chunk=4
        )
        if learner.name == "reptile":  # its meta-loss is a distance, which has no reason to fall
            loss = queries_loss(Case(learner, params, subject.data), episodes)
        optimiser.step(gradient, step)
        losses.append(float(loss))
    assert losses[-1] < 0.97 * losses[0]


def queries_loss(subject: Case, episodes: Episode) -> Tensor:
    """The mean cross-entropy of the queries over tasks that are not embedded."""
    tasks = [Episode(*parts) for parts in zip(*episodes, strict=True)]
    losses = [
        cross_entropy(subject.answer(e.support_x, e.support_y, e.query_x), e.query_y) for e in tasks
    ]
    return torch.stack(losses).mean().detach()


@pytest.mark.parametrize("name", CASES)
def test_adapting_twice_gives_the_same_and_writes_to_nothing(name: str) -> None:
    subject = case(name)
    before = {n: p.clone() for n, p in subject.params.items()}
    x, y, _ = uneven(subject.data, SHOTS)
    support = Support(subject.learner.embed(subject.params, x), y)
    copies = support.x.clone(), support.y.clone()
    one, two = (adapt(subject.learner, subject.params, support) for _ in range(2))
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert all(torch.equal(before[n], p) for n, p in subject.params.items())
    assert torch.equal(copies[0], support.x)
    assert torch.equal(copies[1], support.y)


@pytest.mark.parametrize(
    "name", ["leo", "matching", "nearest", "prototypical", "relation", "siamese"]
)
def test_a_network_of_pictures_for_vectors_is_refused(name: str) -> None:
    kind = LEARNERS[name]
    with pytest.raises(ConfigError) as caught:
        kind(kind.Config(network=NetworkConfig()), vectors().input, 5)
    assert str(caught.value) == (
        'learner.network.kind is "conv4", which reads images [H, W, C],'
        " the examples have the shape [10]"
    )
    assert caught.value.hint == 'set learner.network.kind = "mlp" for vectors'
