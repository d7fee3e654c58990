"""Prototypical networks by hand."""

from __future__ import annotations

import pytest
import torch

from handful.trainer.episodes import Episode
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support
from handful.trainer.form.task import cross_entropy
from handful.trainer.learners.prototypical import Prototypical, PrototypicalConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.features import class_means, squared_distance, update_buffers
from handful.trainer.settings.errors import ConfigError

from ..each import each
from .cases import case
from .small import IMAGE, conv4, generator, uneven


def test_class_means_of_uneven_shots_by_hand() -> None:
    h = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 5.0]])
    y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(class_means(h, y), torch.tensor([[2.0, 4.0], [5.0, 5.0]]))


def test_logits_are_minus_the_squared_distance() -> None:
    c = torch.tensor([[2.0, 4.0], [5.0, 5.0]])
    logits = -squared_distance(torch.tensor([[2.0, 5.0]]), c)
    torch.testing.assert_close(logits, torch.tensor([[-1.0, -9.0]]))


def test_support_and_queries_are_normalised_as_one_batch() -> None:
    """The loss uses moments over both sets; the averages take a tenth of them."""
    learner = Prototypical(
        PrototypicalConfig(network=NetworkConfig(kind="mlp", hidden=(3,))), IMAGE, 5
    )
    params = learner.init(generator())
    x, y, query = uneven(case("prototypical").data, [1, 2, 1], queries=2)
    query_y = torch.eye(3).repeat_interleave(2, dim=0)
    loss, outcome = learner.meta_loss(
        params, Episode(x, y, query, query_y, torch.arange(2)), {}, 0.0
    )

    before = torch.cat([x, query]).flatten(1) @ params["dense0.weight"]
    mean, var = before.mean(dim=0), before.var(dim=0, correction=0)
    h = torch.relu((before - mean) / torch.sqrt(var + 1e-3))
    logits = -squared_distance(h[len(x) :], class_means(h[: len(x)], y))
    torch.testing.assert_close(loss, cross_entropy(logits, query_y), rtol=1e-4, atol=1e-5)
    wanted = {"dense0.running_mean": 0.1 * mean, "dense0.running_var": 0.9 + 0.1 * var}
    assert outcome.buffers.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(outcome.buffers[name], value, rtol=1e-4, atol=1e-5)


def test_averages_move_by_a_tenth() -> None:
    params = {"a.running_mean": torch.tensor([1.0]), "a.weight": torch.tensor([9.0])}
    buffers = update_buffers(params, {"a.mean": torch.tensor([2.0])})
    assert buffers.keys() == {"a.running_mean"}
    torch.testing.assert_close(buffers["a.running_mean"], torch.tensor([1.1]))


def test_a_frozen_embedding_reads_the_averages() -> None:
    learner = Prototypical(
        PrototypicalConfig(network=NetworkConfig(kind="mlp", hidden=(3,))), IMAGE, 5
    )
    params = learner.init(generator())
    params["dense0.running_mean"] = torch.tensor([0.5, -0.5, 0.0])
    params["dense0.running_var"] = torch.tensor([4.0, 1.0, 0.25])
    x = torch.rand(2, *IMAGE.shape, generator=generator(1))
    before = x.flatten(1) @ params["dense0.weight"]
    moments = params["dense0.running_mean"], params["dense0.running_var"]
    wanted = torch.relu((before - moments[0]) / torch.sqrt(moments[1] + 1e-3))
    torch.testing.assert_close(learner.embed(params, x), wanted)


def test_one_example_a_class_is_its_own_prototype() -> None:
    subject = case("prototypical")
    x, y, _ = uneven(subject.data, [1, 1, 1])
    h = subject.learner.embed(subject.params, x)
    state = adapt(subject.learner, subject.params, Support(h, y))
    torch.testing.assert_close(state["c"], h)
    logits = subject.learner.predict(subject.params, state, h)
    torch.testing.assert_close(logits.diagonal(), torch.zeros(3))


@each("normalisation", ["support", "task"])
def test_statistics_of_the_batch_are_refused(normalisation: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Prototypical(PrototypicalConfig(network=conv4(normalisation)), IMAGE, 5)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f'learner.network.normalisation is "{normalisation}",'
        " but a frozen network embeds each example by itself"
    )
    assert caught.value.hint == "set learner.network.normalisation to running, group, layer or none"


def test_embeddings_of_a_set_length_by_hand() -> None:
    """[3, 4] at length 2 is [1.2, 1.6]; in training and on a device alike."""
    network = NetworkConfig(kind="mlp", hidden=(3,))
    learner = Prototypical(PrototypicalConfig(network=network, length=2.0), IMAGE, 5)
    torch.testing.assert_close(
        learner.at_length(torch.tensor([[3.0, 4.0], [0.0, 0.0]])),
        torch.tensor([[1.2, 1.6], [0.0, 0.0]]),
    )
    params = learner.init(generator())
    x, y, query = uneven(case("prototypical").data, [1, 2, 1], queries=2)
    torch.testing.assert_close(learner.embed(params, x).norm(dim=1), torch.full((len(x),), 2.0))
    query_y = torch.eye(3).repeat_interleave(2, dim=0)
    loss, _ = learner.meta_loss(params, Episode(x, y, query, query_y, torch.arange(2)), {}, 0.0)
    assert learner.network is not None
    h, _ = learner.network(params, torch.cat([x, query]))
    h = 2 * h / h.norm(dim=1, keepdim=True)
    logits = -squared_distance(h[len(x) :], class_means(h[: len(x)], y))
    torch.testing.assert_close(loss, cross_entropy(logits, query_y), rtol=1e-4, atol=1e-5)


def test_a_length_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        PrototypicalConfig(length=0.0)
    assert str(error.value) == "length is 0.0, wanted more than 0"
