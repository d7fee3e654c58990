"""LEO: where it starts, what its loss is made of, what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode, TaskSize, sample
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.form.task import cross_entropy
from handful.trainer.learners import leo
from handful.trainer.learners.leo import (
    LEO,
    LEOConfig,
    decode,
    divergence,
    encode,
    latent_moments,
    orthogonality,
    squared_norm,
)
from handful.trainer.parts.features import class_means, squared_distance
from handful.trainer.settings.errors import ConfigError

from .small import IMAGE, conv4, generator, vectors
from .small_leo import LATENT, SIZE, params, support


def prepared(latent: int, **settings: Any) -> tuple[LEO, Tensors, Tensor]:
    data = vectors(classes=40, each=10, size=8)
    learner = LEO(LEOConfig(latent_dim=latent, **settings), data.input, 5)
    fresh = learner.init(generator())
    params = learner.prepare(fresh, learner.embed(fresh, data.x), data.labels, data.of_domain)
    return learner, params, learner.embed(params, data.x)


def test_the_prototype_start_decodes_to_the_scaled_class_means() -> None:
    learner, started, h = prepared(latent=8, start_noise=0.0)
    y = torch.eye(5).repeat_interleave(10, dim=0)
    s = Support(h[:50], y)
    z = encode(started, {}, s, {"z_noise": torch.zeros(5, 8)})["z"]
    w = decode(started, z)
    torch.testing.assert_close(w, 10.0 * class_means(h[:50], y), rtol=1e-4, atol=1e-4)
    logits = learner.predict(started, {"w": w}, h[50:60])
    torch.testing.assert_close(
        logits, 10.0 * h[50:60] @ class_means(h[:50], y).T, rtol=1e-4, atol=1e-4
    )
    # z is of the prior's order, and its deviation of FIRST_STD's
    assert float(z.square().mean()) == pytest.approx(1.0, rel=0.4)
    std = latent_moments(started, s)[1]
    assert float(std.mean()) == pytest.approx(leo.FIRST_STD, rel=0.35)


def test_by_distances_the_raw_start_is_the_prototypical_network() -> None:
    """τ = 2: −(τ/2)‖x − w/τ‖² is −‖x − c‖², whatever the lengths of the class means."""
    settings = {"scores": "distance", "features": "raw", "temperature": 2.0}
    learner, started, h = prepared(latent=8, start_noise=0.0, **settings)
    data = vectors(classes=40, each=10, size=8)
    torch.testing.assert_close(h, data.x - data.x.mean(dim=0), rtol=1e-4, atol=1e-5)
    shots = (1, 2, 3, 5, 8)  # uneven: means of more examples are shorter
    rows = torch.cat([torch.arange(shot) + 10 * n for n, shot in enumerate(shots)])
    y = torch.eye(5)[[n for n, shot in enumerate(shots) for _ in range(shot)]]
    s = Support(h[rows], y)
    w = decode(started, encode(started, {}, s, {"z_noise": torch.zeros(5, 8)})["z"])
    logits = learner.predict(started, {"w": w}, h[9:50:10])
    wanted = -squared_distance(h[9:50:10], class_means(h[rows], y))
    torch.testing.assert_close(logits, wanted, rtol=1e-3, atol=1e-3)


def test_scores_by_distance_by_hand() -> None:
    # τ = 4: −2 ‖x − w/4‖², of w/4 = (1, 0) and (0, 2)
    config = LEOConfig(scores="distance", temperature=4.0)
    learner = LEO(config, InputSpec(kind="array", shape=(2,)), 2)
    w = torch.tensor([[4.0, 0.0], [0.0, 8.0]])
    x = torch.tensor([[1.0, 0.0], [3.0, 1.0], [30.0, 40.0]])
    scores = learner.predict({}, {"w": w}, x)
    wanted = torch.tensor([[0.0, -10.0], [-10.0, -20.0], [-2 * 2441.0, -2 * 2344.0]])
    torch.testing.assert_close(scores, wanted)
    # ⟨x, w⟩ − ‖w‖²/2τ, the same but for a constant of x: the same probabilities
    without = x @ w.T - (w * w).sum(dim=1) / 8
    torch.testing.assert_close(torch.softmax(scores, 1), torch.softmax(without, 1))
    # by which the query that is far from everything would be the surest of all
    assert without.amax(dim=1).argmax() == 2
    assert scores.amax(dim=1).argmin() == 2


def test_the_steps_descend_the_scores_that_predict_gives() -> None:
    learner, started, h = prepared(latent=8, scores="distance", temperature=2.0, latent_lr=0.1)
    s = Support(h[:50], torch.eye(5).repeat_interleave(10, dim=0))
    state = {"z": torch.randn(5, 8, generator=generator(3))}
    _, loss = learner.latent_step(started, state, s)
    w = decode(started, state["z"])
    torch.testing.assert_close(loss, cross_entropy(learner.predict(started, {"w": w}, s.x), s.y))
    moved, before = learner.finetune_step(started, {"w": w}, s)
    torch.testing.assert_close(before, loss)
    assert learner.finetune_step(started, moved, s)[1] < before


def test_the_prototype_start_as_it_is_keeps_the_order_of_the_class_means() -> None:
    _, started, h = prepared(latent=8)
    y = torch.eye(5).repeat_interleave(10, dim=0)
    s = Support(h[:50], y)
    w = decode(started, encode(started, {}, s, {"z_noise": torch.zeros(5, 8)})["z"])
    means = class_means(h[:50], y)
    cosine = torch.nn.functional.cosine_similarity(w, means)
    assert float(cosine.min()) > 0.95
    same = (h[:50] @ w.T).argmax(dim=1) == (h[:50] @ means.T).argmax(dim=1)
    assert float(same.double().mean()) > 0.95


def test_a_smaller_latent_space_keeps_the_largest_directions() -> None:
    _, started, h = prepared(latent=3, start_noise=0.0)
    y = torch.eye(5).repeat_interleave(10, dim=0)
    s = Support(h[:50], y)
    w = decode(started, encode(started, {}, s, {"z_noise": torch.zeros(5, 3)})["z"])
    # Wang et al.'s centred features are unit vectors again: the directions are of those
    basis = torch.linalg.svd(h, full_matrices=False)[2][:3]
    wanted = 10.0 * class_means(h[:50], y) @ basis.T @ basis
    cosine = torch.nn.functional.cosine_similarity(w, wanted)
    assert float(cosine.min()) > 0.99


def test_the_papers_start_leaves_the_maps_alone() -> None:
    data = vectors()
    learner = LEO(LEOConfig(start="glorot"), data.input, 5)
    fresh = learner.init(generator())
    started = learner.prepare(fresh, learner.embed(fresh, data.x), data.labels, data.of_domain)
    changed = {name for name in fresh if not torch.equal(fresh[name], started[name])}
    assert changed == {"centre"}


def test_the_loss_is_the_sum_of_its_named_parts() -> None:
    config = LEOConfig(latent_dim=LATENT, dropout=0.0, sampling=False, kl_weight=0.5,
                    encoder_penalty=0.25, l2_weight=0.125, orthogonality=2.0)  # fmt: skip
    learner = LEO(config, InputSpec(kind="array", shape=(SIZE,)), 3)
    s = support()
    p = params()
    query = torch.randn(6, SIZE, generator=generator(9), dtype=torch.float64)
    query_y = torch.eye(3, dtype=torch.float64).repeat(2, 1)
    episode = Episode(s.x, s.y, query, query_y, torch.arange(s.y.shape[1]))
    noise = learner.training_noise(Episode(*(t[None] for t in episode)), generator())
    loss, outcome = learner.meta_loss(p, episode, {n: t[0] for n, t in noise.items()}, 0.0)
    state = adapt(learner, p, s)
    scores = torch.log_softmax(query @ state["w"].T, dim=-1)
    mean, std = latent_moments(p, s)
    query_loss = -(scores * query_y).sum(dim=-1).mean()
    wanted = (
        query_loss
        + 0.5 * divergence(mean, std, mean)
        + 0.25 * (state["z"] - mean).square().mean()
        + 0.125 * squared_norm(p)
        + 2.0 * orthogonality(p["decoder"])
    )
    torch.testing.assert_close(loss, wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(outcome.metrics["query_loss"], query_loss, rtol=1e-10, atol=1e-10)
    hits = (scores.argmax(dim=1) == query_y.argmax(dim=1)).double().mean()
    torch.testing.assert_close(outcome.metrics["accuracy"], hits)


def test_the_encoder_penalty_gives_the_moved_code_no_gradient() -> None:
    """γ ‖stop_grad(z′) − z‖²: α moves z′ alone, so its gradient does not change."""
    config = LEOConfig(latent_dim=LATENT, dropout=0.0, sampling=False, kl_weight=0.0, l2_weight=0.0,
                    encoder_penalty=1.0, orthogonality=0.0, finetuning_steps=0)  # fmt: skip
    learner = LEO(config, InputSpec(kind="array", shape=(SIZE,)), 3)
    s, p = support(), params()
    episode = Episode(s.x, s.y, s.x, s.y, torch.arange(s.y.shape[1]))
    noise = learner.training_noise(Episode(*(t[None] for t in episode)), generator())
    rate = p["latent_lr"].clone().requires_grad_()
    one_noise = {n: t[0] for n, t in noise.items()}
    with_penalty, _ = learner.meta_loss({**p, "latent_lr": rate}, episode, one_noise, 0.0)
    slope = torch.autograd.grad(with_penalty, rate)[0]
    without = LEO(LEOConfig(**{**vars(config), "encoder_penalty": 0.0}), learner.spec, 3)
    plain, _ = without.meta_loss({**p, "latent_lr": rate}, episode, one_noise, 0.0)
    torch.testing.assert_close(slope, torch.autograd.grad(plain, rate)[0])
    assert with_penalty.item() > plain.item()


def test_noise_is_of_the_right_size_and_dropout_keeps_the_mean() -> None:
    data = vectors()
    learner = LEO(LEOConfig(latent_dim=6, latent_steps=2, dropout=0.25), data.input, 5)
    episodes = sample(data, TaskSize(5, 2, 3), tasks=40, generator=generator())
    noise = learner.training_noise(episodes, generator())
    assert {name: tuple(t.shape) for name, t in noise.items()} == {
        "z_noise": (40, 5, 6),
        "w_noise": (40, 3, 5, 10),
        "keep": (40, 3, 10, 10),
        "keep_query": (40, 15, 10),
    }
    assert sorted(set(noise["keep"].flatten().tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert float(noise["keep"].mean()) == pytest.approx(1.0, abs=0.02)
    still = LEO(LEOConfig(sampling=False), data.input, 5).training_noise(episodes, generator())
    assert float(still["z_noise"].abs().sum() + still["w_noise"].abs().sum()) == 0.0


def test_the_features_are_frozen_and_nothing_else() -> None:
    learner = LEO(LEOConfig(latent_dim=4, network=conv4("running")), IMAGE, 5)
    names = learner.init(generator())
    free = {name for name in names if not learner.is_frozen(name)}
    assert free == {
        "encoder", "relation.0", "relation.1", "relation.2", "decoder", "latent_lr",
        "finetuning_lr",
    }  # fmt: skip


def test_pictures_without_a_network_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        LEO(LEOConfig(), IMAGE, 5)
    assert str(caught.value) == (
        "leo without a network reads vectors [D], found examples of shape [20, 20, 1]"
    )
    assert (
        caught.value.hint
        == "set learner.network.kind for a network, or data.backbone for embeddings"
    )
