"""Relation networks by hand: the module on whole pairs, the squared error, the shots."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import adapt, part
from handful.trainer.form.stage import Tensors
from handful.trainer.learners.relation import RELATION, Relation, RelationConfig
from handful.trainer.networks import NetworkConfig

from .cases import Case, case, moved
from .small import generator, uneven

EPSILON = 1e-3


def on_pairs(g: Tensors, pairs: Tensor) -> Tensor:
    """The paper's module on maps [P, 2 C, H, W], by torch's own layers and running averages."""
    x = pairs
    for block in ("conv0", "conv1"):
        x = F.conv2d(x, g[f"{block}.weight"], padding=1)
        moments = g[f"{block}.running_mean"], g[f"{block}.running_var"]
        x = F.batch_norm(x, *moments, g[f"{block}.gamma"], g[f"{block}.beta"], eps=EPSILON)
        x = F.max_pool2d(F.relu(x), 2)
    x = F.relu(F.linear(x.flatten(1), g["hidden.weight"].T, g["hidden.bias"]))
    return F.linear(x, g["score.weight"].T, g["score.bias"])


def test_a_score_is_that_of_the_sum_of_a_class_and_the_query_side_by_side() -> None:
    subject = case("relation")
    x, y, query = uneven(subject.data, [1, 3, 2])
    maps, of_query = (subject.learner.embed(subject.params, part_) for part_ in (x, query))
    assert maps.shape == (6, 8, 5, 5)
    sums = torch.stack([maps[:1].sum(0), maps[1:4].sum(0), maps[4:].sum(0)])
    g = part(subject.params, RELATION)
    wanted = torch.cat(
        [on_pairs(g, torch.cat([sums, q.expand(3, -1, -1, -1)], dim=1)).T for q in of_query]
    )
    torch.testing.assert_close(subject.answer(x, y, query), wanted, rtol=1e-4, atol=1e-5)


def vectors(**settings: object) -> Case:
    """A learner on three numbers, embedded as they are, without normalisation."""
    network = NetworkConfig(kind="mlp", hidden=(), normalisation="none")
    config = RelationConfig(network=network, filters=4, hidden=2, **settings)  # type: ignore[arg-type]
    learner = Relation(config, InputSpec(kind="array", shape=(3,)), 5)
    return Case(learner, moved(learner.init(generator()), learner, 0.5), None)  # type: ignore[arg-type]


def test_on_vectors_the_module_is_four_dense_layers() -> None:
    subject = vectors()
    x, query = (torch.randn(n, 3, generator=generator(n)) for n in (3, 4))
    g = part(subject.params, RELATION)
    pair = torch.cat([x[None].expand(4, -1, -1), query[:, None].expand(-1, 3, -1)], dim=2)
    h = pair
    for block in ("conv0", "conv1"):
        h = F.relu(F.linear(h, g[f"{block}.weight"][:, :, 0, 0]) + g[f"{block}.beta"])
    h = F.relu(h @ g["hidden.weight"] + g["hidden.bias"])
    wanted = (h @ g["score.weight"] + g["score.bias"])[..., 0]
    torch.testing.assert_close(subject.answer(x, torch.eye(3), query), wanted)


def test_the_shots_are_summed_or_averaged() -> None:
    x, query = (torch.randn(n, 3, generator=generator(n)) for n in (5, 4))
    y = torch.eye(2).repeat_interleave(torch.tensor([3, 2]), dim=0)
    for shots, by in (("sum", 1.0), ("mean", 1 / y.sum(dim=0)[:, None])):
        subject = vectors(shots=shots)
        one = (y.T @ x) * by
        torch.testing.assert_close(
            subject.answer(x, y, query), subject.answer(one, torch.eye(2), query)
        )


def test_the_loss_is_the_squared_error_of_the_sigmoid() -> None:
    subject = vectors()
    x, query = (torch.randn(n, 3, generator=generator(n)) for n in (3, 6))
    right = torch.eye(3).repeat(2, 1)
    loss, _ = subject.learner.meta_loss(
        subject.params, Episode(x, torch.eye(3), query, right, torch.arange(3)), {}, 0.0
    )
    scores = subject.answer(x, torch.eye(3), query)
    wanted = ((1 / (1 + torch.exp(-scores)) - right) ** 2).sum() / 18
    torch.testing.assert_close(loss, wanted)


def test_the_averages_of_both_networks_move_by_a_tenth() -> None:
    """Those of the module towards the moments of all pairs, of which a task has N Q."""
    subject = case("relation")
    learner, params = subject.learner, subject.params
    x, y, query = uneven(subject.data, [2, 2, 2])
    right = torch.eye(3).repeat_interleave(2, dim=0)
    episode = Episode(x, y, query, right, torch.arange(3))
    _, outcome = learner.meta_loss(params, episode, {}, 0.0)
    assert outcome.buffers.keys() == {name for name in params if ".running_" in name}

    support, of_query, _ = learner.embed_task(params, episode)
    state = adapt(learner, params, support)
    g = part(params, RELATION)
    channels = of_query.shape[1]
    projected = F.conv2d(of_query, g["conv0.weight"][:, channels:], padding=1)
    pairs = (projected[:, None] + state["c"][None]).flatten(0, 1)
    assert len(pairs) == 18
    name = "conv0.running_mean"
    wanted = 0.9 * g[name] + 0.1 * pairs.mean(dim=(0, 2, 3))
    torch.testing.assert_close(outcome.buffers[RELATION + name], wanted, rtol=1e-4, atol=1e-5)


def test_the_dense_layers_start_where_the_authors_start_them() -> None:
    fresh = case("relation").learner.init(generator())
    assert float(fresh["relation.score.bias"]) == 1.0
    assert torch.equal(fresh["relation.hidden.bias"], torch.ones(8))
    assert float(fresh["relation.hidden.weight"].abs().max()) < 0.05
