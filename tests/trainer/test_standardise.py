"""Standardisation: by hand, in every learner with an embedding network, in a run, in a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.runtime.learner import load
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.evaluate import embed
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.learners import LEARNERS
from handful.trainer.learners.prototypical import Prototypical, PrototypicalConfig
from handful.trainer.networks import NetworkConfig, build_network
from handful.trainer.networks.wrapped import (
    MEAN,
    SCALE,
    Standardise,
    fit,
    is_standardisation,
    standardise_itself,
)
from handful.trainer.parts.embedding import EmbeddingLearner
from handful.trainer.settings.errors import ConfigError, SettingError
from handful.trainer.training.checkpoint import BEST, read_checkpoint
from handful.trainer.training.config import from_dict
from handful.trainer.training.run import train

from ..each import each
from .small import generator, series

FRESH = {MEAN: torch.zeros(3), SCALE: torch.ones(3)}


def config(standardise: Standardise, **settings: Any) -> NetworkConfig:
    return NetworkConfig(**{"kind": "conv1d", "filters": 4, "standardise": standardise, **settings})


def test_the_data_s_mean_and_deviation_of_each_channel_by_hand() -> None:
    x = torch.tensor([[[1.0, 20_000.0, 5.0]], [[3.0, 20_000.0, 1.0]], [[5.0, 20_000.0, 0.0]]])
    found = fit({"w": torch.ones(1), **FRESH}, x)
    torch.testing.assert_close(found[MEAN], torch.tensor([3.0, 20_000.0, 2.0]))
    scale = torch.tensor([(8 / 3) ** -0.5, 0.0, (14 / 3) ** -0.5])  # the second never changed
    torch.testing.assert_close(found[SCALE], scale)
    assert torch.equal(found["w"], torch.ones(1))
    assert fit({"w": torch.ones(1)}, x) == {"w": torch.ones(1)}


def test_each_example_by_itself_by_hand() -> None:
    x = torch.tensor([[[1.0, 7.0], [3.0, 9.0], [8.0, 2.0]], [[0.0, 4.0], [1.0, 4.5], [5.0, 3.5]]])
    array = x.numpy()
    wanted = (array - array.mean(1, keepdims=True)) / array.std(1, keepdims=True)
    np.testing.assert_allclose(standardise_itself(x).numpy(), wanted, rtol=1e-4)
    torch.testing.assert_close(
        standardise_itself(x * 1000 + 50), standardise_itself(x), atol=1e-3, rtol=0
    )


@each("level", [0.0, 0.1, 20_000.3, -3e8, 1e-9])
def test_a_constant_does_not_divide_by_zero(level: float) -> None:
    x = torch.full((1, 64, 3), level, requires_grad=True)
    still = standardise_itself(x)
    assert float(still.detach().abs().max()) < 0.01
    (gradient,) = torch.autograd.grad(still.square().sum(), x)
    assert bool(gradient.isfinite().all())
    params = fit(FRESH, x.detach())
    assert params[SCALE].tolist() == [0, 0, 0]


def names_with_an_embedding_network() -> list[str]:
    """Learners whose `embed` is, or begins with, the network of their setting `network`."""
    return [name for name, kind in LEARNERS.items() if issubclass(kind, EmbeddingLearner)]


@each("name", names_with_an_embedding_network())
def test_every_learner_with_an_embedding_network_standardises(name: str) -> None:
    """With m and s, raw readings give what standardised ones give without."""
    data, kind = series(4), LEARNERS[name]
    settings: dict[str, dict[str, Any]] = {
        "relation": {"shots": "mean"},
        "classifier": {"classes": 4},
    }
    more = settings.get(name, {})
    learner = kind(kind.Config(network=config("data"), **more), data.input, 4)
    fresh = learner.init(generator())
    raw = data.x * torch.tensor([300.0, 0.01, 7.0]) + torch.tensor([2000.0, 0.0, -5.0])
    params = fit(fresh, raw)
    buffers = [name for name in params if is_standardisation(name)]
    assert len(buffers) == 2
    assert all(learner.is_frozen(name) for name in buffers)
    own = raw.reshape(-1, 3)
    standardised = (raw - own.mean(dim=0)) / own.std(dim=0, correction=0)
    h, wanted = learner.embed(params, raw), learner.embed(fresh, standardised)
    torch.testing.assert_close(h, wanted, atol=1e-4, rtol=1e-3)


def test_networks_that_adapt_standardise_too() -> None:
    network = build_network(config("example", kind="mlp", hidden=(5,)), (16, 3), "matmul")
    params, x = network.init(generator()), series(2).x
    torch.testing.assert_close(network(params, 50 * x + 3)[0], network(params, x)[0])
    network = build_network(config("data", kind="mlp", hidden=(5,)), (16, 3), "matmul")
    params = fit(network.init(generator()), 50 * x + 3)
    scaled = fit(params, x)
    torch.testing.assert_close(network(params, 50 * x + 3)[0], network(scaled, x)[0])


def test_one_value_has_no_deviation_and_a_trace_is_scaled_already() -> None:
    with pytest.raises(ConfigError) as refused:
        build_network(config("example", kind="mlp"), (10,), "convolution")
    assert f"{refused.value}\n{refused.value.hint}" == (
        'learner.network.standardise is "example", but the examples have the shape [10]: one value'
        " of each channel\n"
        'set learner.network.standardise = "data"'
    )
    with pytest.raises(SettingError) as caught:
        config("data", kind="trace")
    assert f"{caught.value}\n{caught.value.hint}" == (
        'standardise is "data", wanted "no" with kind trace\n'
        "a trace is centred and scaled where it is drawn"
    )


def test_a_run_takes_them_from_its_meta_training_data_and_keeps_them(tmp_path: Path) -> None:
    data = series(30)
    x = data.x * torch.tensor([5.0, 0.1, 300.0]) + torch.tensor([100.0, 0.0, 1.0])
    labels = [f"{data.classes[c]:0>9}" for c in data.labels.tolist()]  # of one length: sorted alike
    np.savez(tmp_path / "series.npz", x=x.numpy(), y=np.array(labels))
    names = sorted(set(labels))
    parts = {"train": names[:20], "val": names[20:25], "test": names[25:]}
    (tmp_path / "split.json").write_text(str(parts).replace("'", '"'))
    loop = {"steps": 2, "tasks": 1, "way": [5], "shot": [1], "queries": 2, "lr": 0.1,
            "validation_episodes": 2, "validation_queries": 2, "batching": "loop"}  # fmt: skip
    run = {
        "learner": {
            "name": "proto-maml",
            "network": {"kind": "conv1d", "filters": 4, "standardise": "data"},
        },
        "data": {"source": str(tmp_path / "series.npz"), "split": str(tmp_path / "split.json")},
        "pretrain": loop,
        "meta": loop,
    }
    train(from_dict(run, where="a test"), tmp_path / "run")
    rows = x[: 20 * 8].reshape(-1, 3)
    for folder, prefix in (("run", "embed."), ("run/pretrained", "")):
        params, _ = read_checkpoint(tmp_path / folder / BEST)
        torch.testing.assert_close(params[prefix + MEAN], rows.mean(dim=0))
        torch.testing.assert_close(params[prefix + SCALE], 1 / rows.std(dim=0, correction=0))


@each("standardise", ["data", "example"])
def test_it_is_in_the_exported_graph(standardise: Standardise, tmp_path: Path) -> None:
    raw = series(30)
    x = raw.x * 1000 + 20_000
    learner = Prototypical(
        PrototypicalConfig(network=config(standardise)),
        InputSpec(kind="array", shape=(16, 3)),
        5,
    )
    params = fit(learner.init(generator()), x)
    data = type(raw)(x, raw.counts, raw.classes, raw.input)
    export(Source(learner=learner, params=params, test=data, training={}), tmp_path / "package")
    h = embed(load(tmp_path / "package"), x[:3].numpy())
    wanted = learner.embed(params, x[:3])
    torch.testing.assert_close(torch.from_numpy(h), wanted, atol=1e-4, rtol=1e-4)


def test_an_examples_level_says_nothing_where_the_network_takes_it_away() -> None:
    """Then a package has no `input.seen` to warn by."""
    assert config("example").levels_free
    assert NetworkConfig(kind="trace").levels_free
    assert not config("data").levels_free
    assert not config("no").levels_free
