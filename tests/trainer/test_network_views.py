"""Views: the mean embedding over a picture moved by a pixel, worked by hand and exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from handful.runtime.learner import load
from handful.runtime.tools.evaluate import embed
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.learners.prototypical import Prototypical, PrototypicalConfig
from handful.trainer.networks import NetworkConfig, build_network
from handful.trainer.networks.wrapped import SHIFTS, move
from handful.trainer.parts.features import running_statistics
from handful.trainer.settings.errors import ConfigError

from ..each import each
from .small import IMAGE, SIZE, generator, pictures


def test_a_moved_picture_repeats_its_border() -> None:
    x = torch.arange(6.0).reshape(1, 2, 3, 1)
    rows = {
        (0, 0): [[0, 1, 2], [3, 4, 5]],
        (1, 0): [[0, 1, 2], [0, 1, 2]],
        (-1, 0): [[3, 4, 5], [3, 4, 5]],
        (0, 1): [[0, 0, 1], [3, 3, 4]],
        (0, -1): [[1, 2, 2], [4, 5, 5]],
        (1, -1): [[1, 2, 2], [1, 2, 2]],
    }
    for shift, wanted in rows.items():
        assert move(x, *shift)[0, ..., 0].tolist() == wanted


@each("views", [5, 9])
def test_an_embedding_is_the_mean_over_the_views(views: int) -> None:
    shifts = SHIFTS[views]  # type: ignore[index]
    assert len(set(shifts)) == views
    one, several = (
        build_network(NetworkConfig(filters=4, views=n), (SIZE, SIZE, 1), "convolution")  # type: ignore[arg-type]
        for n in (1, views)
    )
    params, x = one.init(generator()), torch.rand(3, SIZE, SIZE, 1, generator=generator(1))
    assert several.features == one.features
    assert all(torch.equal(p, params[n]) for n, p in several.init(generator()).items())
    statistics = running_statistics(params)
    by_hand = sum(one(params, move(x, *shift), statistics)[0] for shift in shifts) / views
    torch.testing.assert_close(several(params, x, statistics)[0], by_hand)
    batch = several(params, x), one(params, x)  # normalised by their own moments, as in training
    assert torch.equal(batch[0][0], batch[1][0])
    assert batch[0][1].keys() == batch[1][1].keys()


def test_a_network_that_adapts_has_one_view() -> None:
    with pytest.raises(ConfigError) as caught:
        build_network(NetworkConfig(views=5), (SIZE, SIZE, 1), "matmul")
    assert f"{caught.value}\n\nhint: {caught.value.hint}" == (
        "learner.network.views is 5, but this network adapts to each task\n"
        "\n"
        "hint: set learner.network.views = 1; only a network that is frozen has more views"
    )


def test_an_exported_embedding_has_the_views_in_its_graph(tmp_path: Path) -> None:
    network = NetworkConfig(filters=4, views=5)
    learner = Prototypical(PrototypicalConfig(network=network), IMAGE, 5)
    params = learner.init(generator())
    data = pictures(30)
    export(Source(learner=learner, params=params, test=data, training={}), tmp_path / "package")
    x = data.as_float(data.x[:3])
    h = embed(load(tmp_path / "package"), x.numpy())
    torch.testing.assert_close(torch.from_numpy(h), learner.embed(params, x))
