"""The network that draws a pen's trace: what lands in which channel, and what leaves it alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from handful.runtime.learner import load
from handful.runtime.tools.evaluate import embed
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.learners.prototypical import Prototypical, PrototypicalConfig
from handful.trainer.networks import NetworkConfig, Trace, build_network
from handful.trainer.networks.series import CHANNELS, draw
from handful.trainer.parts.features import running_statistics
from handful.trainer.settings.errors import ConfigError

from ..each import each
from .small import generator, series

SIDE = 16
INK, COS, SIN, RIGHT, UP, TIME, AIR = range(CHANNELS)


def trace(*places: tuple[float, float, float]) -> Tensor:
    """One trace [1, T, 3]."""
    return torch.tensor([places])


def middle(x: Tensor) -> Tensor:
    """What the channels hold in the middle of a trace's picture, [CHANNELS]."""
    return draw(x, 17)[0, 8, 8]


LEVEL = trace((10, 50, 1), (20, 50, 1), (30, 50, 1))


def test_a_level_line_by_hand() -> None:
    """Its middle: the ink of the tent Λ, summed over eight points of a line across the picture."""
    picture = draw(LEVEL, 17)[0]
    assert (picture[..., INK].sum(dim=1) > 1e-3).nonzero().flatten().tolist() == [7, 8, 9]
    points = torch.tensor([k / 4 + 1 / 8 for k in range(-4, 4)]) * 0.9  # of −0.9 … 0.9
    across = torch.relu(1 - points.abs() * 17 / 2 / 1.2)
    ink = 17 * 4 / 3 / 4 * 0.9 * across.sum()  # each segment is 0.9 long
    assert float(picture[8, 8, INK]) == pytest.approx(float(torch.tanh(ink)), abs=1e-5)
    found = middle(LEVEL)
    share = float(ink / (1 + ink))
    assert found[[COS, SIN, RIGHT, UP]].tolist() == pytest.approx([share, 0, share, 0], abs=1e-4)
    assert float(found[TIME]) == pytest.approx(0, abs=1e-4)  # as much before the middle as after
    assert float(found[AIR]) == pytest.approx(0, abs=1e-4)


@each(
    ("places", "signs"),
    [
        (((0, 0, 1), (0, 9, 1)), (-1, 0, 0, 1)),  # upwards: cos 2θ, sin 2θ, right, up
        (((0, 9, 1), (0, 0, 1)), (-1, 0, 0, -1)),
        (((9, 0, 1), (0, 0, 1)), (1, 0, -1, 0)),
        (((0, 0, 1), (9, 9, 1)), (0, 1, 1, 1)),
        (((0, 9, 1), (9, 0, 1)), (0, -1, 1, -1)),
    ],
)
def test_directions(places: tuple[tuple[float, float, float], ...], signs: tuple[int, ...]) -> None:
    first, last = torch.tensor(places)
    line = first + torch.linspace(0, 1, 9)[:, None] * (last - first)
    found = middle(line[None])[[COS, SIN, RIGHT, UP]]
    assert torch.where(found.abs() < 1e-3, 0.0, found).sign().tolist() == list(signs)


def test_time_runs_along_the_length_and_the_way_in_the_air_is_apart() -> None:
    line = torch.linspace(0, 40, 17)
    pen = ((line <= 10) | (line > 20)).float()  # the second quarter is in the air
    x = torch.stack([line, torch.zeros(17), pen], dim=1)[None]
    picture = draw(x, 16)[0].sum(dim=0)  # [P, CHANNELS]: along the line
    assert float(picture[:3, TIME].max()) < 0 < float(picture[12:, TIME].min())
    assert float(picture[5:7, INK].max()) < 1e-3 < float(picture[5:7, AIR].min())
    assert float(picture[:3, AIR].max()) < 1e-3
    plain = draw(x[..., :2], 16)[0].sum(dim=0)
    assert float(plain[5:7, INK].min()) > 0.5  # without a pen all is drawn


def test_where_how_large_and_how_densely_sampled_do_not_matter() -> None:
    x = torch.rand(4, 12, 3, generator=generator())
    x[..., 2] = (x[..., 2] > 0.3).float()
    picture = draw(x, SIDE)
    moved = torch.cat([x[..., :2] * 300 - 40, x[..., 2:]], dim=-1)
    torch.testing.assert_close(draw(moved, SIDE), picture, atol=1e-4, rtol=0)
    padded = torch.cat([x, x[:, -1:].expand(-1, 5, -1)], dim=1)
    torch.testing.assert_close(draw(padded, SIDE), picture, atol=1e-5, rtol=0)
    other_pen = torch.cat([x[..., :2], 2 * x[..., 2:] - 1], dim=-1)  # −1 is up as well
    assert torch.equal(draw(other_pen, SIDE), picture)
    angle = torch.linspace(0, 5, 24)
    x = torch.stack([angle.cos(), angle.sin(), (angle < 4).float()], dim=1)[None]
    between = (x[:, 1:, :2] + x[:, :-1, :2]) / 2
    twice = torch.stack([torch.cat([between, x[:, 1:, 2:]], dim=-1), x[:, 1:]], dim=2)
    twice = torch.cat([x[:, :1], twice.flatten(1, 2)], dim=1)
    assert float((draw(twice, SIDE) - draw(x, SIDE)).abs().mean()) < 0.01


def test_a_pen_that_stands_still_is_an_empty_picture_with_a_gradient() -> None:
    x = torch.full((1, 8, 3), 5.0, requires_grad=True)
    picture = draw(x, SIDE)
    assert float(picture.detach().abs().max()) < 1e-3
    (gradient,) = torch.autograd.grad(picture.square().sum(), x)
    assert bool(gradient.isfinite().all())


def test_the_network_is_conv4_of_the_picture() -> None:
    config = NetworkConfig(kind="trace", filters=(4, 5, 6, 7), pixels=SIDE)
    network = build_network(config, (12, 3), "convolution")
    assert isinstance(network, Trace)
    params = network.init(generator())
    x = torch.randn(3, 12, 3, generator=generator(1))
    h, statistics = network(params, x)
    expected = network.picture(params, draw(x, SIDE))
    assert torch.equal(h, expected[0])
    assert statistics.keys() == expected[1].keys()
    assert h.shape == (3, network.features) == (3, 7)


@each("shape", [(64, 4), (1, 3), (64, 1), (28, 28, 1)])
def test_what_is_no_trace_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        build_network(NetworkConfig(kind="trace"), shape, "convolution")
    assert str(caught.value) == (
        'learner.network.kind is "trace", which draws series [T, 2] or [T, 3] of x, y and pen,'
        f" the examples have the shape {list(shape)}"
    )
    assert caught.value.hint == "other series have conv1d, images conv4, vectors mlp"


def test_the_picture_is_drawn_in_the_exported_graph(tmp_path: Path) -> None:
    data = series(30)
    network = NetworkConfig(kind="trace", filters=4, pixels=SIDE)
    learner = Prototypical(PrototypicalConfig(network=network), data.input, 5)
    params = learner.init(generator())
    export(Source(learner=learner, params=params, test=data, training={}), tmp_path / "package")
    h = embed(load(tmp_path / "package"), data.x[:3].numpy())
    assert learner.network is not None
    wanted = learner.network(params, data.x[:3], running_statistics(params))[0]
    torch.testing.assert_close(torch.from_numpy(h), wanted, atol=1e-5, rtol=1e-4)
