"""Siamese networks by hand: the verdict on a pair, its loss, the most similar example."""

from __future__ import annotations

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support
from handful.trainer.learners.siamese import Siamese, SiameseConfig, pairs
from handful.trainer.networks import NetworkConfig

from .small import generator

WEIGHTS = {"pair.weight": torch.tensor([-1.0, -2.0]), "pair.bias": torch.tensor(3.0)}
X = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 2.0]])
Y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def siamese(units: int | None = None) -> Siamese:
    """A learner on two numbers, embedded as they are."""
    config = SiameseConfig(units=units, network=NetworkConfig(kind="mlp", hidden=()))
    return Siamese(config, InputSpec(kind="array", shape=(2,)), 5)


def test_a_pair_is_judged_by_its_weighted_distances() -> None:
    """(1, 1) is apart from the three by (1, 1), (0, 1) and (1, 1): 3 − 1 − 2, 3 − 2, 3 − 3."""
    logits = pairs(WEIGHTS, torch.tensor([[1.0, 1.0]]), X)
    torch.testing.assert_close(logits, torch.tensor([[0.0, 1.0, 0.0]]))


def test_a_class_has_the_score_of_its_most_similar_example() -> None:
    learner = siamese()
    state = adapt(learner, WEIGHTS, Support(X, Y))
    logits = learner.predict(WEIGHTS, state, torch.tensor([[1.0, 1.0], [2.0, 2.5]]))
    torch.testing.assert_close(logits, torch.tensor([[1.0, 0.0], [-3.0, 2.0]]))


def test_the_loss_is_cross_entropy_balanced_between_both_kinds_of_pairs() -> None:
    """Four examples: two pairs of one class, four of two."""
    query = torch.tensor([[1.0, 1.0], [2.0, 1.0]])
    episode = Episode(X[1:], Y[1:], query, torch.eye(2), torch.arange(2))
    loss, outcome = siamese().meta_loss(WEIGHTS, episode, {}, 0.0)

    def log_p(*logits: float) -> Tensor:
        return torch.sigmoid(torch.tensor(logits)).log().mean()

    # (1, 0) and (1, 1) are apart by (0, 1), (2, 2) and (2, 1) too
    same = log_p(1.0, 1.0)
    # (1, 0)–(2, 2): 1, 2; (1, 0)–(2, 1): 1, 1; (1, 1)–(2, 2): 1, 1; (1, 1)–(2, 1): 1, 0
    different = log_p(2.0, 0.0, 0.0, -2.0)
    torch.testing.assert_close(loss, -(same + different) / 2)
    assert float(outcome.metrics["accuracy"]) == 1.0


def test_the_dense_layer_of_the_paper() -> None:
    learner = siamese(units=3)
    params = learner.init(generator())
    x = torch.randn(4, 2, generator=generator(1))
    wanted = 1 / (1 + torch.exp(-(x @ params["dense.weight"] + params["dense.bias"])))
    torch.testing.assert_close(learner.embed(params, x), wanted)
    assert params["pair.weight"].shape == (3,)


def test_the_loss_of_the_dense_layer_reads_what_embed_gives() -> None:
    learner = siamese(units=3)
    params = learner.init(generator())
    plain = {name: params[name] for name in ("pair.weight", "pair.bias")}
    episode = Episode(X, Y, X + 0.5, Y, torch.arange(2))
    embedded = (learner.embed(params, x) for x in (X, X + 0.5))
    h = Episode(next(embedded), Y, next(embedded), Y, torch.arange(2))
    wanted = siamese().meta_loss(plain, h, {}, 0.0)[0]
    torch.testing.assert_close(learner.meta_loss(params, episode, {}, 0.0)[0], wanted)
